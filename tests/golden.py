"""Every number of two versions of gradlab, side by side: `python -m tests.golden d3f972e`.

Trains some two hundred configs for ten steps with the code as it is and with that of an older commit, checked out
beside it, and compares the losses and the final weights bit for bit, and every measured column as closely as a sum
in another order allows. Both sides are computed on the machine at hand: bits depend on its kernels.
"""

import argparse
import contextlib
import io
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np

STEPS = 10
SMALL = {"n_samples": 100, "depth": 3, "width": 9, "batch_size": 16}
MICRO = {"accumulation": "mean", "accumulation_steps": 3}
ACTIVATIONS = ["linear", "relu", "leaky_relu", "tanh", "sigmoid", "gelu", "selu", "silu"]
INITS = ["normal", "kaiming", "kaiming_uniform", "xavier", "xavier_uniform", "orthogonal", "pytorch", "fixed"]
NORMS, DTYPES = ["none", "batch", "layer", "rms"], ["float32", "float64"]
ACCUMULATIONS = ["none", "mean", "sum", "naive_mean"]
CARRY_OVERS = ["none", "running_sum", "delayed", "scalar_sum"]
CLIPS = ["none", "value", "global_norm", "per_layer_norm", "agc"]
OPTIMIZERS = ["sgd", "adam", "rmsprop", "adamw"]
DATASETS = ["moons", "circles", "spirals", "xor", "blobs", "regression", "digits", "article"]


def cases():
    """Yield (name, knobs)."""
    for activation, norm, residual in product(ACTIVATIONS, NORMS, [False, True]):
        yield {"activation": activation, "norm": norm, "residual": residual}
    for accumulation, clip, order in product(ACCUMULATIONS, CLIPS, ["after", "each_micro_batch"]):
        yield {"accumulation": accumulation, "accumulation_steps": 3, "clip": clip, "clip_order": order} | TIGHT
    for optimizer, carry_over, dtype in product(OPTIMIZERS, CARRY_OVERS, DTYPES):
        yield {
            "optimizer": optimizer,
            "carry_over": carry_over,
            "dtype": dtype,
            "lr": 0.003,
            "momentum": 0.5,
            **MICRO,
        }
    for init, dtype in product([*INITS, "zeros", "constant"], DTYPES):
        yield {"init": init, "dtype": dtype, "bias_std": 0.1}
    for dataset, dtype in product(DATASETS, DTYPES):
        yield {"dataset": dataset, "dtype": dtype}
    for depth, width, batch in [(0, 8, 16), (1, 1, 1), (30, 8, 100), (12, 33, 50), (4, 64, 64), (3, 5, 1000)]:
        yield {"depth": depth, "width": width, "batch_size": batch}
    for norm, dtype in product(NORMS, DTYPES):
        yield {"norm": norm, "dtype": dtype, "carry_over": "running_sum", "clip": "agc", **MICRO, **TIGHT}
    for nonfinite, gain in product(["stop", "skip", "continue"], [3.0, 1e30]):
        yield {"nonfinite": nonfinite, "gain": gain, "lr": 5.0, "init": "fixed", "norm": "none", "depth": 6}
    yield {"weight_decay": 0.1, "momentum": 0.9}
    yield {"optimizer": "adamw", "weight_decay": 0.1, "lr": 0.01}


TIGHT = {"clip_threshold": 0.02}


def kept(found, name, trainer):
    """Keep what a run left behind: bits, and measured columns."""
    history = trainer.history
    found[f"bits/{name}/loss"] = history.column("loss")
    for key, value in trainer.network.state_dict().items():
        found[f"bits/{name}/{key}"] = value.detach().numpy().copy()
    for column in COLUMNS:
        found[f"near/{name}/{column}"] = history.column(column)
    found[f"bits/{name}/applied"] = history.column("applied")
    found[f"text/{name}/marks"] = np.array([f"{m.step} {m.kind} {m.text}" for m in history.marks])
    found[f"text/{name}/diverged"] = np.array([str(history.diverged)])


COLUMNS = [
    *("epoch", "samples", "micro_batches", "updates", "total_norm", "clipped_total_norm", "clip_coef", "clip_cosine"),
    *("grad_norm", "clipped_norm", "weight_norm", "update_ratio", "delta_norm", "activation_std"),
    *("saturated", "dead", "has_gradient"),
]


def own_networks():
    """Yield (name, network, data, loss, knobs)."""
    import torch
    from torch import nn

    import gradlab

    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(70, 4, generator=generator), torch.arange(70) % 3
    images = torch.randn(40, 1, 8, 8, generator=generator)
    sequence = torch.randn(30, 5, 4, generator=generator)

    class Twice(nn.Module):
        """A layer used twice, and a tuple from a recurrent cell."""

        def __init__(self):
            super().__init__()
            self.rnn, self.shared, self.head = nn.GRU(4, 6, batch_first=True), nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x):
            h = self.rnn(x)[0][:, -1]
            return self.head(torch.tanh(self.shared(torch.relu(self.shared(h)))))

    with torch.random.fork_rng():
        torch.manual_seed(5)
        frozen = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        frozen[0].requires_grad_(False)
        mlp = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3))
        conv = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3))
        total = nn.Sequential(nn.Linear(4, 8), gradlab.CumulativeGradient(), nn.Sigmoid(), nn.Linear(8, 3))
        twice = Twice()
        tied = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 3))
        tied[2].weight = tied[0].weight
    yield "mlp", mlp, (x, y), None, {}
    yield "mlp adam", mlp, (x, y), None, {"optimizer": "adam", "accumulation": "mean", "clip": "agc"}
    yield "conv", conv, (images, torch.arange(40) % 3), None, {"momentum": 0.9}
    yield "twice", twice, (sequence, torch.arange(30) % 3), None, {"clip": "global_norm", "clip_threshold": 0.01}
    yield "frozen", frozen, (x, y), None, {"carry_over": "delayed"}
    yield "total", total, (x[:64], y[:64]), None, {"lr": 0.01}
    yield "tied", tied, (x, y), None, {"dtype": "float64", "accumulation": "sum"}
    yield "loss", mlp, (x, x[:, :3]), nn.functional.smooth_l1_loss, {"optimizer": "rmsprop", "lr": 0.001}
    yield "built, own data", None, (x, y), None, {"depth": 2}
    yield "built, own loss", None, (x, x[:, :2]), nn.functional.l1_loss, {"norm": "layer"}


def moved(gradlab):
    """A run whose knobs move, that goes back and on again, and looks on the way."""
    config = gradlab.Config(**SMALL, optimizer="adam", norm="batch", lr=0.01)
    trainer = gradlab.Trainer(config)
    trainer.run(20)
    trainer.reconfigure(lr=0.05, carry_over="running_sum")
    trainer.run(8)
    trainer.preview()
    trainer.reconfigure(batch_size=7, accumulation="sum", clip="value", clip_threshold=0.1)
    trainer.run(12)
    trainer.rewind(26)
    list(trainer.stages())
    trainer.evaluate()
    trainer.run(5)
    return trainer


def compute(path):
    """Run everything with the gradlab that is imported and write the arrays to a file."""
    import torch

    import gradlab

    torch.set_num_threads(1)
    found, names = {}, []
    for knobs in cases():
        config = gradlab.Config(**{**SMALL, **knobs})
        name = repr(config)
        names.append(name)
        trainer = gradlab.Trainer(config)
        trainer.run(STEPS)
        kept(found, name, trainer)
        if len(names) % 9 == 0:  # slow motion, and the script
            slow = gradlab.Trainer(config)
            for k in range(STEPS):
                stages = list(slow.stages())
                for stage in stages:
                    found[f"near/{name}/stage {k} {stage.name} {stage.micro_batch}"] = stage.partial_norm
            kept(found, f"slow {name}", slow)
            script = config.to_code(steps=STEPS)
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile_script(script), {"__name__": "script"})
            found[f"text/script {name}"] = np.array([printed.getvalue()])
    for name, network, data, loss, knobs in own_networks():
        trainer = gradlab.Trainer(gradlab.Config(**{**SMALL, **knobs}), network=network, data=data, loss=loss)
        trainer.run(STEPS)
        kept(found, f"own {name}", trainer)
    kept(found, "moved", moved(gradlab))
    for label, knobs in SWEEPS.items():
        config = gradlab.Config(**{**SMALL, **knobs})
        swept = gradlab.sweep(config, {"gain": [0.5, 1.5], "lr": [0.01, 0.1]}, steps=STEPS, seeds=2, progress=False)
        for measure in ("final_loss", "growth", "diverged_at", "eval_loss", "clipped"):
            found[f"swept/{label}/{measure}"] = np.asarray(swept.column(measure))
    np.savez(path, **found)
    print(f"{len(names)} configs, {len(found)} arrays", flush=True)


SWEEPS = {
    "plain": {},
    "adam": {"optimizer": "adam", "accumulation": "mean", "clip": "global_norm", "clip_threshold": 0.1},
    "layer": {"norm": "layer", "residual": True, "carry_over": "running_sum", "clip": "agc"},
    # float64: the gradient of a bias before batch norm is rounding alone, which RMSprop turns into whole steps; only
    # running means see them: in float32, two orders of a sum give losses in evaluation mode that differ by a third
    "batch": {"norm": "batch", "optimizer": "rmsprop", "carry_over": "delayed", "clip": "value", "dtype": "float64"},
}
CLOSE = {
    "near": 1e-9,  # float64 sums of some thousand terms
    "swept": 1e-5,  # ten steps of float32 whose products are taken of all networks at once: 5e-7 was seen
}
CHANGED = {
    # the old one measured what the layer returns, not the activation that is called as a function on it: the spread
    # of relu(z_1) and tanh(z_2) together is 0.1690 at step 0, that of z_1 and z_2 0.2111
    "near/own twice/activation_std",
}
"""Columns that mean something else since d3f972e."""


def compile_script(text):
    return compile(text, "<script>", "exec")


def compare(old, new):
    """Return the names of what differs."""
    differing = [f"{name}: only on one side" for name in sorted(set(old.files) ^ set(new.files))]
    for name in sorted(set(old.files) & set(new.files) - CHANGED):
        a, b, close = old[name], new[name], CLOSE.get(name.split("/")[0])
        same = a.shape == b.shape and a.dtype == b.dtype
        if same and close:
            same = np.allclose(a, b, rtol=close, atol=0, equal_nan=True)
        elif same:
            same = a.tobytes() == b.tobytes()
        if not same:
            differing.append(name)
    return differing


def run(tree, path):
    """Compute with the package of a tree, in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--compute", str(path)]
    subprocess.run(command, check=True, cwd=tree, env={"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", nargs="?", help="the older version")
    parser.add_argument("--compute", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compute:
        compute(options.compute)
        return
    here = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as folder:
        tree, git = Path(folder) / "old", ["git", "-C", str(here), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), options.commit], check=True)
        try:
            run(tree, Path(folder) / "old.npz")
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)
        run(here, Path(folder) / "new.npz")
        differing = compare(np.load(Path(folder) / "old.npz"), np.load(Path(folder) / "new.npz"))
    print("\n".join(differing) or "every bit the same")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
