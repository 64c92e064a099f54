"""What `watch` costs somebody's own loop, beside what people use today: `python -m tests.bench.bench_watch`.

Processor time of the watched loop over that of the same loop unwatched, in turns; and the peak memory of a conv net.
"""

import contextlib
import re
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from gradlab import watch
from tests.bench import report

ROUNDS = 20
BLOCKS = {"mlp": 50, "transformer": 10, "cnn": 10}  # steps in turn
WANTED = {
    ("mlp", 1): 1.35,
    ("transformer", 1): 1.10,
    ("cnn", 1): 1.15,
    ("mlp", 10): 1.06,
    ("transformer", 10): 1.03,
    ("cnn", 10): 1.03,
}
PEAK = 1.1


def mlp():
    """The MLP of README: 20 hidden layers of 64 units, batch 64."""
    sizes = [2, *[64] * 20]
    layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(64, 2)), torch.randn(64, 2), torch.randint(0, 2, (64,))


def transformer():
    """Four pre-LN blocks of width 128, 64 tokens, batch 16."""
    block = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True, norm_first=True)
    network = nn.Sequential(nn.Embedding(100, 128), nn.TransformerEncoder(block, 4, enable_nested_tensor=False))
    network.append(nn.Linear(128, 100))
    x = torch.randint(0, 100, (16, 64))
    return network, x, x.roll(1, 1).flatten()


def cnn(batch=32):
    """Six convolutions with batch norm on 32 x 32 pixels."""
    sizes = [3, 32, 32, 64, 64, 64, 64]
    body = []
    for i, (a, b) in enumerate(pairwise(sizes)):
        body += [nn.Conv2d(a, b, 3, padding=1, stride=1 + (i % 2)), nn.BatchNorm2d(b), nn.ReLU()]
    network = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    return network, torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,))


NETWORKS = {"mlp": mlp, "transformer": transformer, "cnn": cnn}


def loop(make, look=None):
    """Return a step of a training loop, its network and its optimizer."""
    torch.manual_seed(0)
    network, x, y = make()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)

    def step():
        optimizer.zero_grad()
        F.cross_entropy(network(x).flatten(0, -2), y).backward()
        if look is not None:
            look(network)
        optimizer.step()

    return step, network, optimizer


def minai_hooks(network):
    """Mean and standard deviation of every activation, read at once, as minai's ActivationStats takes them."""
    found = []

    def hook(module, inputs, output):
        found.append((output.detach().mean().item(), output.detach().std().item()))

    return [m.register_forward_hook(hook) for m in network.modules() if not list(m.children())]


def items(network):
    """The norm of each parameter and of its gradient, read one by one, as most training scripts do."""
    for p in network.parameters():
        p.grad.norm().item()
        p.detach().norm().item()


def grad_norm(network):
    """Lightning's `grad_norm`: the norm of each gradient, read one by one, and their total."""
    norms = {name: p.grad.data.norm(2) for name, p in network.named_parameters()}
    total = torch.tensor(list(norms.values())).norm(2)
    return {name: value.item() for name, value in norms.items()} | {"total": total.item()}


def histograms(network):
    """A 64-bin histogram of each gradient, as `wandb.watch` takes it at every step."""
    for p in network.parameters():
        low, high = p.grad.min().item(), p.grad.max().item()
        torch.histc(p.grad, 64, low, high).tolist()


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


def cockpit_step():
    """Return one step of the MLP with Cockpit's economy set of instruments (Schneider et al. 2021)."""
    import backpack
    import cockpit
    from cockpit.utils.configuration import configuration

    torch.manual_seed(0)
    network, x, y = mlp()
    network = backpack.extend(network)
    loss_of_all, loss_of_each = (backpack.extend(nn.CrossEntropyLoss(reduction=r)) for r in ("mean", "none"))
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    panel = cockpit.Cockpit(network.parameters(), quantities=configuration("economy"))
    steps = iter(range(10**9))

    def step():
        output = network(x)
        loss, each = loss_of_all(output, y), loss_of_each(output, y)
        info = {"batch_size": len(x), "individual_losses": each, "loss": loss, "optimizer": optimizer}
        optimizer.zero_grad()
        with panel(next(steps), info=info):
            loss.backward(create_graph=panel.create_graph(0))
        optimizer.step()

    return step


def many(step, name):
    def steps():
        for _ in range(BLOCKS[name]):
            step()

    return steps


def watched(name, every, rounds):
    plain, (step, network, optimizer) = loop(NETWORKS[name])[0], loop(NETWORKS[name])
    watcher = watch(network, optimizer, every=every)

    def steps():
        with watcher_on(watcher):
            many(step, name)()

    found = report.ratio(steps, many(plain, name), rounds, warmup=2)
    wanted = WANTED[name, every]
    times = f"processor time {found.cpu:.3f} (wanted: {wanted} or less), clock {found.ratio:.2f}"
    print(f"{name:12} every={every:<3} {times}", flush=True)
    return {"network": name, "every": every, "wanted": wanted, **found._asdict()}


@contextlib.contextmanager
def watcher_on(watcher):
    """The hook for all modules is on for the watched steps alone: the plain ones in turn shall not pay for it."""
    watcher.start()
    try:
        yield
    finally:
        watcher.stop(quietly=True)


def others(rounds):
    with contextlib.ExitStack() as stack:
        looks = {
            ".item() of each norm": items,
            "Lightning's grad_norm": grad_norm,
            "wandb.watch's histograms": histograms,
        }
        looks["TensorBoard's histograms"] = tensorboard(stack)
        for name in NETWORKS:
            ways = {way: loop(NETWORKS[name], look)[0] for way, look in looks.items()}
            ways["minai-like hooks"], network, _ = loop(NETWORKS[name])
            minai_hooks(network)
            if name == "mlp":
                try:
                    ways["Cockpit, economy"] = cockpit_step()
                except ImportError as error:
                    packages = "cockpit-for-pytorch backpack-for-pytorch 'setuptools<80'"
                    print(f"Cockpit is not installed ({error}): pip install {packages}", flush=True)
            plain = many(loop(NETWORKS[name])[0], name)
            for way, step in ways.items():
                found = report.ratio(many(step, name), plain, max(2, rounds // 8), warmup=1)
                print(f"{name:12} {way:26} {found.cpu:.2f}", flush=True)
                yield {"network": name, "way": way, **found._asdict()}


def peak(way):
    """Print the peak memory (KiB) of a process that trains the conv net at batch 128, watched, not, or not at all."""
    torch.set_num_threads(1)
    step, network, optimizer = loop(lambda: cnn(128))
    with watch(network, optimizer) if way == "on" else contextlib.nullcontext():
        for _ in range(0 if way == "none" else 5):
            step()
    # not ru_maxrss: that of a process begins with what the one that started it had
    print(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def peaks():
    command = [sys.executable, "-m", "tests.bench.bench_watch"]
    off, on = (
        int(subprocess.run([*command, word], check=True, capture_output=True, text=True).stdout)
        for word in ("--peak=off", "--peak=on")
    )
    base = int(subprocess.run([*command, "--peak=none"], check=True, capture_output=True, text=True).stdout)
    print(f"peak memory of the conv net at batch 128: {on / off:.3f} of the whole process (wanted: {PEAK} or less)")
    print(f"{'':40} {(on - base) / (off - base):.3f} without what importing takes")
    return {"peak memory": on / off, "without imports": (on - base) / (off - base), "wanted": PEAK}


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0].startswith("--peak="):
        peak(arguments[0].removeprefix("--peak="))
        return
    options = report.options(__doc__, arguments, rounds=ROUNDS)
    torch.set_num_threads(1)
    rows = [watched(name, every, options.rounds) for name, every in WANTED]
    report.save("bench_watch", [*rows, *others(options.rounds), peaks()])


if __name__ == "__main__":
    main()
