"""What a frame of the panel costs against a redraw from nothing: `python -m tests.bench.bench_frame`."""

import io

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from gradlab import Config, History, Trainer
from gradlab.plots import LiveFigure, View
from tests.bench.report import options, ratio, save

LAYERS, STEPS, LONG = 20, 300, 100_000
SIZE = (1000, 360)  # logical pixels, drawn at twice the resolution
WANTED = {"redraw": 0.10, "long": 1.5, "bytes": 60_000}


def naive(history):
    """Clear three axes, plot the same numbers and save them: what a first try would do."""
    figure = Figure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=200)
    canvas = FigureCanvasAgg(figure)

    def draw():
        figure.clear()
        loss, profile, heat = figure.subplots(1, 3)
        loss.semilogy(history.column("step"), history.column("loss"))
        signal = history.column("delta_norm")
        profile.semilogy(range(1, signal.shape[1] + 1), signal[-1], "o-")
        profile.semilogy(range(1, signal.shape[1] + 1), signal[0])
        heat.imshow(signal.T, aspect="auto", origin="lower")
        out = io.BytesIO()
        canvas.print_png(out)
        return out.getvalue()

    return draw


def recorded(steps):
    """Return a trainer that took 300 steps, and a history in which they are repeated until there are so many."""
    trainer = Trainer(Config(depth=LAYERS - 1, width=32, lr=0.01))
    records = list(trainer.run(STEPS))
    history = History(trainer.layer_names)
    for step in range(steps):
        history.append(repeated(records[step % STEPS], step))
    return trainer, history


def repeated(record, step):
    return type(record)(**{**vars(record), "step": step})


def live(history, records):
    """Return a function that adds one step and draws the next frame, from data to PNG bytes."""
    figure, view = LiveFigure(size=SIZE), View(measure="delta_norm")
    figure.render(history, view)

    def frame():
        history.append(repeated(records[len(history) % STEPS], int(history.row("step", -1)) + 1))
        return figure.render(history, view)

    return frame


def bytes_of(history):
    """Return the bytes of a frame, and of a plain PNG of the same pixels."""
    figure, plain = LiveFigure(size=SIZE), io.BytesIO()
    frame = figure.render(history, View(measure="delta_norm"))
    Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).save(plain, "PNG")
    return {"frame": len(frame), "plain": len(plain.getvalue())}


def main(arguments=None):
    found = options(__doc__, arguments, rounds=40)
    torch.set_num_threads(1)
    trainer, short = recorded(STEPS)
    records = list(trainer.history)
    frame, redraw = live(short, records), naive(trainer.history)
    against = ratio(frame, redraw, found.rounds)
    _, long = recorded(LONG)
    length = ratio(live(long, records), frame, found.rounds)
    sizes = bytes_of(trainer.history)
    both = LiveFigure(size=(1000, 430))
    panel = ratio(lambda: both.render(trainer.history, View(measure="both")), redraw, found.rounds)
    rows = [
        {"what": "frame / naive redraw", **against._asdict(), "wanted": WANTED["redraw"]},
        {"what": f"frame at {LONG} steps / at {STEPS}", **length._asdict(), "wanted": WANTED["long"]},
        {"what": "whole panel, two profiles, 1000 x 430 / naive redraw", **panel._asdict()},
    ]
    print(f"{LAYERS} layers, {STEPS} steps, {SIZE[0]} x {SIZE[1]} at twice the resolution, {found.rounds} rounds")
    for row, measured in zip(rows, (against, length, panel), strict=True):
        print(f"  {row['what']}: {measured}" + (f", wanted {row['wanted']}" if "wanted" in row else ""))
    print(
        f"  bytes: frame {sizes['frame']}, wanted {WANTED['bytes']}; a plain PNG of the same pixels {sizes['plain']}"
    )
    save("frame", [*rows, {"what": "bytes", **sizes, "wanted": WANTED["bytes"]}])


if __name__ == "__main__":
    main()
