"""`SlowMotion`: one step, stage by stage, on the strip and in its lines of PyTorch."""

from __future__ import annotations

import html
import inspect
from collections.abc import Iterator

import numpy as np

from gradlab.config import Config
from gradlab.engine import Stage, Trainer
from gradlab.export.lines import step_lines
from gradlab.panel.controller import Controller
from gradlab.panel.layout import WidgetSet, in_words

_HERE = "\N{BLACK RIGHT-POINTING TRIANGLE} "


class SlowMotion:
    """Walks through one step of the panel's run; only whole steps count.

    Whatever else moves the run while a step stands half-way abandons that step.
    """

    width = 372

    def __init__(self, controller: Controller, make: WidgetSet) -> None:
        self._of, self._text = controller, make.text
        self._walk: Iterator[Stage] | None = None  # while a step stands half-way
        self._trainer = controller.trainer
        self._shown: Config | None = None
        self._stages: list[Stage] = []  # of the step shown, so far
        further = make.button("slow.next", "tip.next", lambda: controller.act(self._advance), "strong key-m")
        finish = make.button("slow.finish", "tip.finish", lambda: controller.act(lambda: self._advance(to_end=True)))
        self._said, self._code = make.html(), make.html(css="code")
        self.page = make.box("page", make.box("row", further, finish), self._said, self._code)
        self._say(self._text("slow.about"))
        self.show()

    @property
    def slow_stage(self) -> tuple[str, str] | None:
        """The stage that plays on the strip, with its lines of PyTorch; None unless a step stands half-way."""
        if self._walk is None or not self._stages:
            return None
        stage = self._stages[-1]
        code = step_lines(self._trainer.config, self._trainer.data.loss)
        lines = [line.text.strip() or f"# {self._text(line.note)}" for line in code if stage.name in line.stages]
        return stage.name, "\n".join(lines[-2:])

    # ------------------------------------------------------------------ under the run's lock
    def _advance(self, to_end: bool = False) -> None:
        """Reach the next stage, or the last, and say what it did."""
        moved = self._reach()
        while to_end and self._walk is not None:
            self._reach()
        if moved:
            self._tell()

    def _reach(self) -> bool:
        """Reach the next stage; False if there is none, as in a run that is stopped or waits for a prediction."""
        if self._of.locked:
            self._say(self._text("tip.predict_first"))
            return False
        self._of.playing = False
        self._notice()
        begins = self._walk is None
        if self._walk is None:
            self._trainer = self._of.trainer
            self._walk = self._trainer.stages()
        stage = next(self._walk, None)
        if stage is None:
            self._walk = None
            self._say(self._text("slow.stopped"))
            return False
        self._stages = [stage] if begins else [*self._stages, stage]
        if stage.record is not None:
            self._walk = None
            self._of.alert = ""
            self._of.took(stage.record.step)
        return True

    def _notice(self) -> None:
        """Notice that the run moved on another way, which closes a walk, or has another trainer."""
        moved = self._of.trainer is not self._trainer
        closed = inspect.isgenerator(self._walk) and inspect.getgeneratorstate(self._walk) == inspect.GEN_CLOSED
        if self._walk is not None and (moved or closed):
            self._walk, self._stages = None, []
            self._say(self._text("slow.abandoned"))
        self._trainer = self._of.trainer

    # ------------------------------------------------------------------ showing
    def show(self) -> None:
        """Follow the run."""
        self._notice()
        if self._shown != self._trainer.config:
            self._show_code(None)

    def _tell(self) -> None:
        stage = self._stages[-1]
        self._show_code(stage)
        words = [self._sentence(stage, self._trainer)] + ([self._text("slow.half")] if self._walk is not None else [])
        self._say(" ".join(words).replace("e+", "e"))

    def _sentence(self, stage: Stage, trainer: Trainer) -> str:
        """Say what a stage did, with its numbers."""
        facts: dict[str, object] = {
            "m": stage.micro_batch,
            "count": stage.micro_batches,
            "samples": stage.samples,
            "loss": f"{stage.loss:.4g}",
            "norm": f"{stage.total_norm:.4g}",
        }
        if stage.name == "backward":  # the window stays until the step ends
            facts["weight"] = f"{trainer.next_window().weights[stage.micro_batch - 1]:.4g}"
        if stage.name == "clip":
            before = next(s.total_norm for s in reversed(self._stages) if s.name == "accumulate")
            facts |= {"before": f"{before:.4g}", "share": f"{stage.total_norm / before:.4g}" if before else "1"}
            return self._text(f"slow.{_clip_key(trainer.config, before, stage.total_norm)}", **facts)
        if stage.record is not None and stage.name == "update":
            ratios = np.nan_to_num(stage.record.update_ratio, nan=-1.0)
            layer = int(ratios.argmax())
            facts |= {"step": stage.record.step, "layer": layer + 1, "ratio": f"{ratios[layer]:.2g}"}
            return self._text("slow.update" if stage.record.applied else "slow.kept", **facts)
        key = "single" if stage.name == "accumulate" and stage.micro_batches == 1 else stage.name
        return self._text(f"slow.{key}", **facts)

    def _show_code(self, stage: Stage | None) -> None:
        """Show the step as PyTorch; the lines of a stage have a mark, not only a colour."""
        self._shown = self._trainer.config
        lines = []
        for line in step_lines(self._shown, self._trainer.data.loss):
            now = stage is not None and stage.name in line.stages
            mark, style = (_HERE, ' class="gradlab-now" aria-current="step"') if now else ("  ", "")
            note = f"{'  ' if line.text else ''}# {self._text(line.note)}" if line.note else ""
            lines.append(f"<div{style}>{mark}<code>{html.escape(line.text)}</code>{html.escape(note)}</div>")
        label = html.escape(self._text("slow.code"), quote=True)
        self._code.value = f'<div role="group" aria-label="{label}">{"".join(lines)}</div>'

    def _say(self, words: str) -> None:
        self._said.value = in_words(words, 'aria-live="polite"')

    def close(self) -> None:
        """Let the step under way go."""
        self._walk, self._stages = None, []


def _clip_key(config: Config, before: float, after: float) -> str:
    """Return which sentence tells of the clipping."""
    if config.clip == "none":
        return "clip_off"
    if config.clip_order == "each_micro_batch":
        return "clip_early"
    return "clip" if after < before else "clip_kept"
