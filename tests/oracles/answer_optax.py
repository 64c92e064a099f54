"""Clip gradients and train a network with JAX and optax alone: python answer_optax.py FOLDER."""

import json
import sys
from functools import partial
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_disable_most_optimizations", True)  # compiling takes longer than running

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

folder = Path(sys.argv[1])
settings = json.loads((folder / "settings.json").read_text())
given, found = dict(np.load(folder / "in.npz")), {}

CLIPS = {"global_norm": optax.clip_by_global_norm, "value": optax.clip, "agc": optax.adaptive_grad_clip}


def transposed(arrays):
    """optax's unit is a column of (in, out), torch's a row of (out, in); a kernel is HWIO there, OIHW here."""
    turn = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}
    return [jnp.transpose(jnp.asarray(a), turn[a.ndim]) for a in arrays]


def back(arrays):
    turn = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
    return [np.transpose(np.asarray(a), turn[a.ndim]) for a in arrays]


def tensors(prefix):
    return [given[f"{prefix}|{i}"] for i in range(sum(key.startswith(f"{prefix}|") for key in given))]


@partial(jax.jit, static_argnums=0)
def clip_all(rule, gradients, weights, threshold):
    transform = CLIPS[rule](threshold)
    return transform.update(gradients, transform.init(weights), weights)[0]


def clip(rule, name, threshold):
    return back(clip_all(rule, transposed(tensors(f"g|{name}")), transposed(tensors(f"w|{name}")), threshold))


def loss(parameters, x, y):
    """Cross-entropy of a tanh network; parameters are w, b of each layer in turn, w of shape (in, out)."""
    h = x
    for w, b in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
        h = jnp.tanh(h @ w + b)
    logits = h @ parameters[-2] + parameters[-1]
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def transformation(case):
    """Compose what a `Config` of gradlab says, in its order: clip, carry over, optimizer, all after accumulation."""
    lr, layers = case["lr"], len(tensors("weights"))
    optimizers = {
        "sgd": lambda: optax.sgd(lr, momentum=case["momentum"] or None),
        "adam": lambda: optax.adam(lr),
        "adamw": lambda: optax.adamw(lr, weight_decay=case["weight_decay"]),
        "rmsprop": lambda: optax.rmsprop(lr, decay=0.99, eps=1e-8, eps_in_sqrt=False),
    }
    chain = []
    if case["clip"] == "agc":  # the output layer is exempt
        exempt = [i < layers - 2 for i in range(layers)]
        chain.append(optax.masked(optax.adaptive_grad_clip(case["clip_threshold"]), exempt))
    elif case["clip"] != "none":
        chain.append(CLIPS[case["clip"]](case["clip_threshold"]))
    if case["carry_over"] == "running_sum":
        chain.append(optax.trace(decay=1.0))
    rule = optax.chain(*chain, optimizers[case["optimizer"]]())
    return optax.MultiSteps(rule, case["accumulation_steps"]) if case["accumulation"] == "mean" else rule


def train(case):
    parameters, x, y = transposed(tensors("weights")), jnp.asarray(given["x"]), jnp.asarray(given["y"])
    rule = transformation(case)

    def step(carried, rows):
        parameters, state = carried
        updates, state = rule.update(jax.grad(loss)(parameters, x[rows], y[rows]), state, parameters)
        return (optax.apply_updates(parameters, updates), state), None

    run = jax.jit(lambda start, batches: jax.lax.scan(step, start, batches)[0][0])
    return back(run((parameters, rule.init(parameters)), given["batches"][: case["micro_batches"]]))


for rule, name, threshold in settings["clips"]:
    found |= {f"{rule}|{name}|{threshold}|{i}": a for i, a in enumerate(clip(rule, name, threshold))}
for label, case in settings["runs"].items():
    found |= {f"run|{label}|{i}": a for i, a in enumerate(train(case))}
np.savez(folder / "out.npz", **found)
