"""What the panel says: the status line, and the picture in words for those who do not see it."""

from __future__ import annotations

import math

import numpy as np

from gradlab.history import History
from gradlab.locale import Text
from gradlab.measures import MEASURES, kinds_of
from gradlab.plots.view import measures_of


def counts(history: History, text: Text, speed: float | None) -> str:
    """Return step, updates, micro-batches, epoch, samples, loss and speed in one line."""
    if not len(history):
        return text("status.ready")
    last = history[-1]
    steps = last.step + (0 if history.diverged and history.diverged.step == last.step else 1)
    parts = [
        text(
            "status.counts",
            step=steps,
            updates=last.updates,
            micro_batches=last.micro_batches,
            epoch=last.epoch,
            samples=last.samples,
        ),
        text("status.loss", loss=f"{last.loss:.4g}"),
    ]
    if speed is not None:
        parts.append(text("status.speed", speed=f"{speed:.0f}"))
    return " | ".join(parts)


def describe(history: History, measure: str, text: Text, row: int = -1) -> str:
    """Return the picture at one row in words and numbers: loss, worst layers, decades from first to last layer."""
    if not len(history):
        return text("alt.empty")
    sentences = [text("alt.loss", steps=history[row].step + 1, loss=f"{history[row].loss:.4g}")]
    for name in measures_of(measure):
        sentences += _profile(history, name, text, row)
    if history.diverged:
        sentences.append(text.say(history.diverged.sentence))
    return text("alt.between").join(sentences)


def happened(history: History, row: int, text: Text) -> str:
    """Return what a recorded step was: its loss, knobs moved since the row before, and what was done to it."""
    record = history[row]
    before = history[row - 1].step if row > 0 else -1
    marks = [mark for mark in history.marks if before < mark.step <= record.step]
    notes = [mark.text for mark in marks if mark.kind == "knob"]
    if record.clip_coef < 1:
        notes.append(text("time.clipped", share=f"{record.clip_coef:.3g}"))
    failed = [mark.kind for mark in marks if mark.kind in ("skipped", "diverged") and mark.step == record.step]
    notes += [text(f"time.{kind}") for kind in failed]
    if not record.applied and not failed:
        notes.append(text("time.kept"))
    return text("time.then").join([text("time.row", step=record.step, loss=f"{record.loss:.4g}"), *notes])


def _profile(history: History, name: str, text: Text, row: int) -> list[str]:
    values = history.row(name, row)
    kinds = kinds_of(history, name, values)
    counted = np.where(kinds.plain | kinds.underflow, values, np.nan)
    sentences = []
    if np.isfinite(counted).any():
        largest, smallest = int(np.nanargmax(counted)), int(np.nanargmin(counted))
        measured = np.flatnonzero(np.isfinite(counted))
        first, last = int(measured[0]), int(measured[-1])
        decades = math.log10(counted[first]) - math.log10(counted[last])
        sentences.append(
            text(
                "alt.profile",
                measure=text(MEASURES[name].key),
                largest=largest + 1,
                largest_value=f"{counted[largest]:.2g}",
                smallest=smallest + 1,
                smallest_value=f"{counted[smallest]:.2g}",
                first=first + 1,
                last=last + 1,
                decades=f"{abs(decades):.1f}",
                direction=text("alt.above" if decades >= 0 else "alt.below"),
            )
        )
    for kind in ("underflow", "zero", "nonfinite", "missing"):
        count = int(np.count_nonzero(getattr(kinds, kind)))
        if count:
            sentences.append(text("alt.odd", count=count, kind=text(f"kind.{kind}")))
    return sentences
