"""A bar with rate and time left, in a terminal or a notebook."""

from __future__ import annotations

from collections.abc import Callable

from gradlab.sweep.results import Results

Bar = Callable[[int | None], None]


def open_bar(results: Results, steps: int) -> Bar:
    """Return a function that moves a bar on by steps of networks, or closes it when given None."""
    from tqdm.auto import tqdm

    each = max(steps, 1)
    bar = tqdm(total=results.grid.size * each, initial=int(results.done.sum()) * each, unit="step", unit_scale=True)

    def move(done: int | None) -> None:
        if done is None:
            bar.close()
        else:
            bar.update(done)

    return move


def no_bar(done: int | None) -> None:
    """Show nothing."""
