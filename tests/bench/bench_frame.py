"""What a frame of the stage costs the kernel, and how large it is: `python -m tests.bench.bench_frame`."""

import io
import json
import time

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gradlab import Config, History, Trainer
from gradlab.plots import View
from gradlab.stage import GRID, Lane, Learned, PacketEncoder, Shown
from tests.bench.report import options, ratio, save

LAYERS, STEPS, LONG = 50, 300, 100_000
WANTED = {"bytes": 4096, "milliseconds": 1.5, "redraw": 0.01, "long": 1.5}


def recorded(steps):
    """Return the records of 300 steps, and a history in which they are repeated until there are so many."""
    trainer = Trainer(Config(depth=LAYERS - 1, width=32, lr=0.01))
    records = list(trainer.run(STEPS))
    history = History(trainer.layer_names)
    for step in range(steps):
        history.append(repeated(records[step % STEPS], step))
    return records, history


def repeated(record, step):
    return type(record)(**{**vars(record), "step": step})


def frames(history, records, size):
    """Return a function that adds `size` steps and encodes what is new, with a boundary that moved."""
    encoder, view = PacketEncoder(), View(measure="both", clip=True, units=True)
    points, turn = np.zeros((200, 3)), [0]

    def frame():
        for _ in range(size):
            history.append(repeated(records[len(history) % STEPS], int(history.row("step", -1)) + 1))
        turn[0] += 1
        learned = Learned(grid=bytes([turn[0] % 256]) * GRID**2, points=points, held=points)
        return encoder.new(Shown(1, (Lane(history, learned=learned),), view, rate=100.0))

    frame()
    return frame


def weighed(frame, rounds):
    """Return the mean bytes of a frame, and the milliseconds of the processor that it takes."""
    sizes, start = [], time.process_time()
    for _ in range(rounds):
        head, buffers = frame()
        sizes.append(len(json.dumps(head)) + len(buffers[0]))
    return float(np.mean(sizes)), 1e3 * (time.process_time() - start) / rounds


def naive(history):
    """Clear three axes, plot the same numbers and save them: what a first try would do."""
    figure = Figure(figsize=(10, 3.6), dpi=200)
    canvas = FigureCanvasAgg(figure)

    def draw():
        figure.clear()
        loss, profile, heat = figure.subplots(1, 3)
        loss.semilogy(history.column("step"), history.column("loss"))
        signal = history.column("delta_norm")
        profile.semilogy(range(1, signal.shape[1] + 1), signal[-1], "o-")
        heat.imshow(signal.T, aspect="auto", origin="lower")
        out = io.BytesIO()
        canvas.print_png(out)
        return out.getvalue()

    return draw


def main(arguments=None):
    found = options(__doc__, arguments, rounds=40)
    torch.set_num_threads(1)
    records, history = recorded(STEPS)
    single, many = (frames(recorded(STEPS)[1], records, size) for size in (1, 40))
    (small, quick), (large, slow) = (weighed(frame, found.rounds) for frame in (single, many))
    against = ratio(single, naive(history), found.rounds)
    length = ratio(frames(recorded(LONG)[1], records, 1), single, found.rounds)
    print(f"{LAYERS} layers, both measures, clipping, a boundary that moves; {found.rounds} rounds")
    print(f"  one step a frame: {small:.0f} bytes, {quick:.2f} ms of the processor, appending the step included")
    print(f"  forty steps a frame: {large:.0f} bytes, {slow:.2f} ms")
    print(f"  wanted: {WANTED['bytes']} bytes, {WANTED['milliseconds']} ms")
    print(f"  frame / naive redraw: {against}, wanted {WANTED['redraw']}")
    print(f"  frame at {LONG} steps / at {STEPS}: {length}, wanted {WANTED['long']}")
    rows = [
        {"what": "one step", "bytes": small, "milliseconds": quick, "wanted": WANTED["bytes"]},
        {"what": "forty steps", "bytes": large, "milliseconds": slow, "wanted": WANTED["bytes"]},
        {"what": "frame / naive redraw", **against._asdict(), "wanted": WANTED["redraw"]},
        {"what": f"frame at {LONG} steps / at {STEPS}", **length._asdict(), "wanted": WANTED["long"]},
    ]
    save("frame", rows)


if __name__ == "__main__":
    main()
