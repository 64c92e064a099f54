"""What a lecturer, or a student, may register in a cell; run, it prints what an exercise makes of it as JSON."""

import json

import torch

from gradlab import INITS, Config
from gradlab.exercise import EXERCISES, Goal, Setup, exercise

torch.set_num_threads(1)


@INITS.register("trained_elsewhere", "Trained elsewhere")
def trained_elsewhere(weight, gain, generator):
    """Kaiming's, which it might as well not be."""
    torch.nn.init.normal_(weight, 0.0, gain * (2 / weight.shape[1]) ** 0.5, generator=generator)


@EXERCISES.register("mine", "One of my own", hints=("Shorter.",))
def mine() -> Setup:
    """Make the three blobs learnable."""
    return Setup(
        config=Config(dataset="blobs", depth=1, lr=0.0),
        may=("lr",),
        goals=(Goal("loss", at_most=0.3),),
        steps=40,
        seeds=(5,),
    )


@EXERCISES.register("no_setup", "Not a setup")
def no_setup():
    """Returns something else."""
    return Config()


own = exercise("mine", "zh")
broken, solved = own.check(), own.check(lr=0.3)
refused = exercise("rescue-30").check(init="trained_elsewhere", gain=1.0, lr=0.01)
try:
    exercise("no_setup")
except ValueError as caught:
    error = str(caught)
print(
    json.dumps(
        {
            "title": own.title,
            "task": own.task,
            "hint": own.hint(1),
            "broken": broken.to_dict(),
            "solved": solved.to_dict(),
            "refused": refused.to_dict(),
            "error": error,
        }
    )
)
