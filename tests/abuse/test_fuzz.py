"""Random configs of every architecture and rule against a plain PyTorch loop: losses and weights, bit for bit.

``GRADLAB_ABUSES=all pytest -n 0 tests/abuse/test_fuzz.py`` tries 500 of them, as `python -m tests.abuse` does.

The oracle trains a copy of the network with torch's own optimizer over separate tensors and `torch.autograd.grad`;
the trainer's parameters are one flat tensor. Three roundings that the textbook leaves open are fixed as the
trainer's:

- The norm over all gradients is the root of one sum of float64 squares, in the order in which they lie in memory.
  Another order, or the norm of the tensors' norms as `clip_grad_norm_` takes it, is another last digit of the
  coefficient. In float64 some weight was then another in 41 of 53 runs: by 1e-16 at most with SGD, by up to 8e-5 with
  RMSprop, as Adam and RMSprop divide a gradient that all but cancels by a root as small as itself.
- The loss of a step of several micro-batches is a running mean, ``mean += (loss - mean) * share``.
- `scalar_sum` adds the entries of a tensor in their own order, not in that of a transposed gradient's memory.
"""

import copy
import os
import random

import pytest
import refusals
import torch

from gradlab import Config, Trainer

STEPS = 6
COUNT = 500 if os.environ.get("GRADLAB_ABUSES") else 40
OPTIMIZERS = {
    "sgd": lambda p, c: torch.optim.SGD(p, c.lr, momentum=c.momentum, weight_decay=c.weight_decay, foreach=False),
    "adam": lambda p, c: torch.optim.Adam(p, c.lr, weight_decay=c.weight_decay, foreach=False),
    "adamw": lambda p, c: torch.optim.AdamW(p, c.lr, weight_decay=c.weight_decay, foreach=False),
    "rmsprop": lambda p, c: torch.optim.RMSprop(
        p, c.lr, momentum=c.momentum, weight_decay=c.weight_decay, foreach=False
    ),
}


def random_config(seed):
    draw = random.Random(seed)
    architecture = draw.choice(["mlp", "mlp", "rnn", "lstm", "gru", "conv", "transformer"])
    sequence = architecture in ("rnn", "lstm", "gru", "transformer")
    datasets = (
        ["latch", "parity", "adding"] if sequence else ["digits"] if architecture == "conv" else ["moons", "blobs"]
    )
    return Config(
        architecture=architecture,
        dataset=draw.choice(datasets),
        sequence_length=draw.randint(2, 7),
        n_samples=draw.randint(8, 40),
        depth=draw.randint(1, 3),
        width=draw.choice([4, 8]),
        heads=2,
        residual=draw.choice([False, True]),
        norm=draw.choice(["none", "layer", "rms"]),
        truncate=draw.choice([0, 2]) if architecture in ("rnn", "lstm", "gru") else 0,
        norm_position=draw.choice(["pre", "post"]),
        activation=draw.choice(["relu", "tanh", "gelu", "selu"]),
        gain=draw.choice([0.5, 1.0, 2.0]),
        optimizer=draw.choice([*OPTIMIZERS]),
        lr=draw.choice([1e-3, 0.03]),
        momentum=draw.choice([0.0, 0.9]),
        weight_decay=draw.choice([0.0, 0.01]),
        warmup=draw.choice([0, 0, 4]),
        batch_size=draw.randint(3, 40),
        accumulation=draw.choice(["none", "mean", "sum", "naive_mean"]),
        accumulation_steps=draw.randint(1, 3),
        carry_over=draw.choice(["none", "none", "none", "running_sum", "delayed", "scalar_sum"]),
        clip=draw.choice(["none", "value", "global_norm", "per_layer_norm"]),
        clip_threshold=draw.choice([0.01, 1.0]),
        clip_order=draw.choice(["after", "after", "each_micro_batch"]),
        weight_seed=seed,
        batch_seed=seed,
        dtype=draw.choice(["float32", "float64"]),
    )


def windows(config, n):
    """Micro-batches of each step: none spans two epochs."""
    generator = torch.Generator().manual_seed(config.batch_seed)
    k = 1 if config.accumulation == "none" else config.accumulation_steps
    while True:
        parts = torch.randperm(n, generator=generator).split(config.batch_size)
        yield from (parts[i : i + k] for i in range(0, len(parts), k))


def weights_of(config, sizes):
    if config.accumulation == "mean":
        return [size / sum(sizes) for size in sizes]
    return [1 / len(sizes) if config.accumulation == "naive_mean" else 1.0] * len(sizes)


def clip(params, config, lying):
    gradients = [p.grad for p in params]
    if config.clip == "value":
        torch.nn.utils.clip_grad_value_(params, config.clip_threshold)
    if config.clip == "global_norm":
        shrink(gradients, as_they_lie(gradients, lying), config.clip_threshold)
    if config.clip == "per_layer_norm":
        for g in gradients:
            shrink([g], g.contiguous(), config.clip_threshold)


def shrink(gradients, entries, threshold):
    norm = float(torch.linalg.vector_norm(entries, dtype=torch.float64))
    for g in gradients:
        g.mul_(min(1.0, threshold / (norm + 1e-6)))


def as_they_lie(gradients, lying):
    """All entries in the order, and with the gaps of zeros, in which the trainer's gradients lie in memory."""
    memory = torch.zeros(lying[0].untyped_storage().nbytes() // lying[0].itemsize, dtype=lying[0].dtype)
    for g, place in zip(gradients, lying, strict=True):
        memory[place.storage_offset() :][: g.numel()] = g.reshape(-1)
    return memory


def carried_over(gradients, kept, rule):
    """Return what the step applies, or None for nothing; `kept` is what earlier steps left."""
    if rule == "scalar_sum":
        return [torch.full_like(g, g.contiguous().sum().item()) for g in gradients]
    if rule == "running_sum":
        kept[:] = [total + g for total, g in zip(kept, gradients, strict=True)] if kept else gradients
        return [total.clone() for total in kept]
    if rule == "delayed":
        before, kept[:] = kept[:], gradients
        return before or None
    return gradients


def trained_plainly(network, data, config, lying):
    """Return losses and weights of the same run in the textbook's words."""
    params = [p for p in network.parameters() if p.requires_grad]
    optimizer = OPTIMIZERS[config.optimizer](params, config)
    losses, kept, steps = [], [], windows(config, data.n)
    for step in range(STEPS):
        parts = next(steps)
        optimizer.zero_grad()
        mean, seen = 0.0, 0
        for rows, weight in zip(parts, weights_of(config, [*map(len, parts)]), strict=True):
            loss = data.loss(network(data.x[rows]), data.y[rows])
            for p, g in zip(params, torch.autograd.grad(loss, params), strict=True):
                p.grad = g * weight if p.grad is None else p.grad.add_(g, alpha=weight)
            if config.clip_order == "each_micro_batch":
                clip(params, config, lying)
            seen += len(rows)
            mean += (loss.item() - mean) * (len(rows) / seen)
        losses.append(mean)
        if config.clip_order == "after":
            clip(params, config, lying)
        applied = carried_over([p.grad for p in params], kept, config.carry_over)
        if applied is None:
            continue
        for p, g in zip(params, applied, strict=True):
            p.grad = g.clone()
        if config.warmup:
            optimizer.param_groups[0]["lr"] = config.lr * min(1.0, (step + 1) / config.warmup)
        optimizer.step()
    return losses, [p.detach() for p in params]


@pytest.mark.parametrize("seed", range(COUNT))
def test_a_random_config_trains_as_the_plain_loop(seed):
    config = random_config(seed)
    with refusals.in_time():
        trainer = Trainer(config)
        network = copy.deepcopy(trainer.network)
        found = trainer.run(STEPS).column("loss").tolist()
        there = [p for p in trainer.network.parameters() if p.requires_grad]
        losses, weights = trained_plainly(network, trainer.data, config, [p.grad for p in there])
    assert found == losses, config
    assert all(map(torch.equal, there, weights)), config
