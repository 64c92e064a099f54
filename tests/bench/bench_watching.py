"""What watching gradients costs, gradlab against what people use today: `python -m tests.bench.bench_watching`.

Every way trains the same network at every step; the table says how many times the plain loop's step each takes.
gradlab measures thirteen numbers and nine measures of every layer; the others what their row says.
"""

import contextlib
import tempfile

import torch

from gradlab import Config, Trainer
from tests.bench import report
from tests.bench.bench_step import DEPTHS, plain_network, plain_step

ROUNDS, BINS = 200, 64


def items(network):
    """The norm of each parameter and of its gradient, read one by one, as most training scripts do."""
    for p in network.parameters():
        p.grad.norm().item()
        p.detach().norm().item()


def histograms(network):
    """A 64-bin histogram of each gradient, as `wandb.watch` takes it."""
    for p in network.parameters():
        low, high = p.grad.min().item(), p.grad.max().item()
        torch.histc(p.grad, BINS, low, high).tolist()


def tensorboard(stack):
    """TensorBoard's `add_histogram` of each gradient."""
    from torch.utils.tensorboard import SummaryWriter

    writer = stack.enter_context(SummaryWriter(stack.enter_context(tempfile.TemporaryDirectory())))
    steps = iter(range(10**9))

    def look(network):
        step = next(steps)
        for name, p in network.named_parameters():
            writer.add_histogram(name, p.grad, step)

    return look


def cockpit_step(trainer):
    """Return one step with Cockpit's economy set of instruments at every step (Schneider et al. 2021)."""
    import backpack
    import cockpit
    from cockpit.utils.configuration import configuration

    config, data = trainer.config, trainer.data
    network = backpack.extend(plain_network(trainer))
    loss_of_all = backpack.extend(torch.nn.CrossEntropyLoss(reduction="mean"))
    loss_of_each = backpack.extend(torch.nn.CrossEntropyLoss(reduction="none"))
    optimizer = torch.optim.SGD(network.parameters(), lr=config.lr)
    panel = cockpit.Cockpit(network.parameters(), quantities=configuration("economy"))
    rows, steps = torch.arange(config.batch_size), iter(range(10**9))

    def step():
        output = network(data.x[rows])
        loss = loss_of_all(output, data.y[rows])
        info = {
            "batch_size": len(rows),
            "individual_losses": loss_of_each(output, data.y[rows]),
            "loss": loss,
            "optimizer": optimizer,
        }
        optimizer.zero_grad()
        with panel(next(steps), info=info):
            loss.backward(create_graph=panel.create_graph(0))
        optimizer.step()

    return step


def ways(trainer, stack):
    """Return (name, a function that builds its step, the package it needs or None)."""
    return [
        ("gradlab, every measure of every layer", lambda: trainer.step, None),
        (".item() of each norm", lambda: plain_step(trainer, items), None),
        (f"{BINS}-bin histogram of each gradient", lambda: plain_step(trainer, histograms), None),
        ("TensorBoard add_histogram", lambda: plain_step(trainer, tensorboard(stack)), "tensorboard"),
        (
            "Cockpit, economy",
            lambda: cockpit_step(trainer),
            "cockpit-for-pytorch backpack-for-pytorch 'setuptools<80'",
        ),
    ]


def measure(depth, rounds):
    trainer = Trainer(Config(depth=depth, width=64, batch_size=64, lr=1e-3))
    with contextlib.ExitStack() as stack:
        for name, build, package in ways(trainer, stack):
            row = {"depth": depth, "way": name, "against": "plain loop"}
            try:
                step = build()
            except ImportError as error:
                print(f"depth {depth:2}  {name:38} not installed ({error}): pip install {package}", flush=True)
                yield {**row, "not installed": str(error)}
                continue
            found = report.ratio(step, plain_step(trainer), max(4, rounds // (10 if package else 1)), warmup=3)
            print(f"depth {depth:2}  {name:38} {found}", flush=True)
            yield {**row, **found._asdict()}


def main(arguments=None):
    options = report.options(__doc__, arguments, rounds=ROUNDS)
    torch.set_num_threads(1)
    print(f"against a plain loop, MLP of width 64, batch 64, SGD, one thread, {options.rounds} rounds, medians")
    report.save("bench_watching", [row for depth in DEPTHS for row in measure(depth, options.rounds)])


if __name__ == "__main__":
    main()
