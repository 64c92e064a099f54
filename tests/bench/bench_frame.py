"""What a frame of the panel costs against a redraw from nothing: `python -m tests.bench.bench_frame`."""

import argparse
import io
import statistics
import time

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gradlab import Config, Trainer
from gradlab.plots import LiveFigure, View

ROUNDS, LAYERS, STEPS = 30, 20, 300


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
        profile.semilogy(range(1, signal.shape[1] + 1), signal[0])
        heat.imshow(signal.T, aspect="auto", origin="lower")
        out = io.BytesIO()
        canvas.print_png(out)
        return out.getvalue()

    return draw


def timed(run):
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    trainer = Trainer(Config(depth=LAYERS - 1, width=32, lr=0.01))
    trainer.run(STEPS)
    live, draw = LiveFigure(size=(1000, 360)), naive(trainer.history)
    view = View(measure="delta_norm")
    live.render(trainer.history, view)
    frames, redraws = [], []
    for _ in range(options.rounds):
        trainer.step()
        frames.append(timed(lambda: live.render(trainer.history, view)))
        redraws.append(timed(draw))
    frame, redraw = (statistics.median(t for t, _ in side) for side in (frames, redraws))
    sizes = [statistics.median(len(png) for _, png in side) / 1000 for side in (frames, redraws)]
    print(
        f"{LAYERS} layers, {STEPS} steps, 1000 x 360 at twice the resolution, median of {options.rounds}: frame "
        f"{1e3 * frame:.1f} ms, {sizes[0]:.0f} KB; naive redraw {1e3 * redraw:.1f} ms, {sizes[1]:.0f} KB; "
        f"ratio {frame / redraw:.2f}"
    )


if __name__ == "__main__":
    main()
