"""Clip gradients, and accumulate them, by Keras's optimizers on the torch backend: python answer_keras.py FOLDER."""

import json
import sys
from pathlib import Path

import keras
import numpy as np

keras.config.set_floatx("float64")  # else thresholds are rounded to float32
folder = Path(sys.argv[1])
settings = json.loads((folder / "settings.json").read_text())
given, found = dict(np.load(folder / "in.npz")), {}


def tensors(prefix: str) -> list[np.ndarray]:
    return [given[key] for key in sorted(given) if key.startswith(prefix)]


def applied(sequence: list[list[np.ndarray]], **arguments) -> list[np.ndarray]:
    """Return what SGD with lr 1 subtracted from zeros: the gradient as the optimizer used it."""
    variables = [keras.Variable(np.zeros_like(g), dtype="float64") for g in sequence[0]]
    optimizer = keras.optimizers.SGD(learning_rate=1.0, **arguments)
    for gradients in sequence:
        optimizer.apply([keras.ops.convert_to_tensor(g, dtype="float64") for g in gradients], variables)
    return [-keras.ops.convert_to_numpy(v) for v in variables]


for name, argument, threshold in settings["clips"]:
    answers = applied([tensors(f"{name}|")], **{argument: threshold})
    found |= {f"{name}|{argument}|{threshold}|{i}": g for i, g in enumerate(answers)}
sequence = [tensors(f"{name}|") for name in settings["accumulate"]]
answers = applied(sequence, gradient_accumulation_steps=len(sequence))
found |= {f"accumulated|{i}": g for i, g in enumerate(answers)}
np.savez(folder / "out.npz", **found)
