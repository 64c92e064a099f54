"""`SlowMotion`: one step, stage by stage, with its picture and its lines of PyTorch."""

from __future__ import annotations

import html
import inspect
from collections.abc import Iterator

import ipywidgets as widgets
import numpy as np

from gradlab.config import Config
from gradlab.engine import Stage, Trainer
from gradlab.export.idiom import step_lines
from gradlab.panel.bridge import key
from gradlab.panel.kit import Kit
from gradlab.panel.run import Run
from gradlab.plots import View, figure_png
from gradlab.plots.stages import draw_stages

_HERE = "\N{BLACK RIGHT-POINTING TRIANGLE} "
_CSS = """<style>
.gradlab .gradlab-slow-words {font-size: 14px; line-height: 1.4; white-space: normal; max-width: 1100px;
  color: var(--jp-ui-font-color1, #222);}
.gradlab .gradlab-slow-picture {max-width: 1000px;}
.gradlab .gradlab-slow-code {overflow-x: auto; margin: 4px 0;}
.gradlab .gradlab-slow-code div {white-space: pre; font-size: 13px; line-height: 19px;
  font-family: var(--jp-code-font-family, monospace); color: var(--jp-ui-font-color1, #222);}
.gradlab .gradlab-slow-code code {font: inherit; color: inherit; background: none; padding: 0;}
.gradlab .gradlab-slow-code [role=group] div {border-left: 4px solid transparent; padding-left: 4px;}
.gradlab .gradlab-slow-code [role=group] .gradlab-now {border-left-color: #d55e00; font-weight: 700;
  background: var(--jp-layout-color2, #eee);}
</style>"""


class SlowMotion:
    """A foldable section that walks through one step of the panel's run; only whole steps count.

    Parameters
    ----------
    run : Run
        The panel's run. Whatever else moves it while a step stands half-way abandons that step.
    kit : Kit
        Makes the widgets.

    Attributes
    ----------
    box : ipywidgets.Accordion
        What is displayed, closed at first.
    next, finish : ipywidgets.Button
        To the next stage; to the end of the step.
    stages : list of Stage
        The stages of the step shown, so far.
    words : str
        What is said of the present stage.
    """

    def __init__(self, run: Run, kit: Kit) -> None:
        self._run, self._text = run, kit.text
        self._walk: Iterator[Stage] | None = None
        self._trainer = run.trainer
        self.stages: list[Stage] = []
        self.words = self._text("slow.about")
        self.next, self.finish = (kit.button(f"slow.{name}", f"tip.{name}") for name in ("next", "finish"))
        key(self.next, "m")
        self.next.on_click(lambda _: run.post(self._next))
        self.finish.on_click(lambda _: run.post(self._finish))
        self._said, self._code = kit.html(), kit.html()
        self._image = kit(widgets.Image, format="png", layout=widgets.Layout(display="none"))
        self._image.add_class("gradlab-slow-picture")
        self._code.add_class("gradlab-slow-code")
        row = kit.row(self.next, self.finish)
        page = kit(widgets.VBox, [kit.html(_CSS), row, self._said, self._code, self._image])
        self.box = kit.folded("slow.title", page)
        self._say(self.words)
        self._show_code(run.trainer, None)
        run.display.watchers.append(lambda _: self._look())

    @property
    def half_way(self) -> bool:
        """Whether a step stands half-way."""
        return self._walk is not None

    # ------------------------------------------------------------------ under the run's lock
    def _next(self) -> None:
        if self._advance():
            self._show()

    def _finish(self) -> None:
        """Go to the end of the step, and draw only that."""
        moved = self._advance()
        while self._walk is not None:
            self._advance()
        if moved:
            self._show()

    def _advance(self) -> bool:
        """Reach the next stage; False if there is none, as in a run that is stopped or waits for a prediction."""
        if self._run.locked:
            self._say(self._run.locked)
            return False
        self._pause()
        self._look()
        begins = self._walk is None
        if self._walk is None:
            self._trainer = self._run.trainer
            self._walk = self._trainer.stages()
        stage = next(self._walk, None)
        if stage is None:
            self._walk = None
            self._say(self._text("slow.stopped"))
            return False
        self.stages = [stage] if begins else [*self.stages, stage]
        if stage.record is not None:
            self._walk = None
            self._run.display.alert = ""
            self._run.took(stage.record)
            self._run.refresh()
        return True

    def _pause(self) -> None:
        if self._run.playing:
            self._run.playing = False
            self._run.refresh()

    def _look(self) -> None:
        """Notice that the run moved on another way, which closes a walk, or has another trainer."""
        moved = self._run.trainer is not self._trainer
        if self._walk is not None and (moved or _closed(self._walk)):
            self._walk, self.stages = None, []
            self._image.layout.display = "none"
            self._say(self._text("slow.abandoned"))
        if moved or self._shown != self._run.trainer.config:
            self._trainer = self._run.trainer
            self._show_code(self._trainer, None)

    # ------------------------------------------------------------------ showing
    def _show(self) -> None:
        trainer, stage = self._trainer, self.stages[-1]
        self._show_code(trainer, stage)
        view = View(text=self._text, theme=self._run.display.shown[1].theme)
        figure = draw_stages(self.stages, trainer.config, trainer.history.tiny, view)
        self._image.value = figure_png(figure, view.theme)
        self._image.layout.display = ""
        words = [self._sentence(stage, trainer)] + ([self._text("slow.half")] if self.half_way else [])
        self._say(" ".join(words))  # last: who hears it finds the picture

    def _sentence(self, stage: Stage, trainer: Trainer) -> str:
        """Say what a stage did, with its numbers."""
        facts: dict[str, object] = {
            "m": stage.micro_batch,
            "count": stage.micro_batches,
            "samples": stage.samples,
            "loss": f"{stage.loss:.4g}",
            "norm": f"{stage.total_norm:.4g}",
        }
        if stage.name == "backward":
            facts["weight"] = f"{self._weights()[stage.micro_batch - 1]:.4g}"
        if stage.name == "clip":
            before = next(s.total_norm for s in reversed(self.stages) if s.name == "accumulate")
            facts |= {"before": f"{before:.4g}", "share": f"{stage.total_norm / before:.4g}" if before else "1"}
            return self._text(f"slow.{_clip_key(trainer.config, before, stage.total_norm)}", **facts)
        if stage.record is not None and stage.name == "update":
            ratios = np.nan_to_num(stage.record.update_ratio, nan=-1.0)
            layer = int(ratios.argmax())
            facts |= {"step": stage.record.step, "layer": layer + 1, "ratio": f"{ratios[layer]:.2g}"}
            return self._text("slow.update" if stage.record.applied else "slow.kept", **facts)
        key_ = "single" if stage.name == "accumulate" and stage.micro_batches == 1 else stage.name
        return self._text(f"slow.{key_}", **facts)

    def _weights(self) -> list[float]:
        """Return what each micro-batch of the step under way is multiplied by; the window stays until it ends."""
        return self._trainer.next_window().weights

    def _show_code(self, trainer: Trainer, stage: Stage | None) -> None:
        """Show the step as PyTorch; the lines of a stage have a mark, not only a colour."""
        self._shown: Config = trainer.config
        lines = []
        for line in step_lines(trainer.config, trainer.data.loss):
            now = stage is not None and stage.name in line.stages
            mark, style = (_HERE, ' class="gradlab-now" aria-current="step"') if now else ("  ", "")
            note = f"{'  ' if line.text else ''}# {self._text(line.note)}" if line.note else ""
            lines.append(f"<div{style}>{mark}<code>{html.escape(line.text)}</code>{html.escape(note)}</div>")
        label = html.escape(self._text("slow.code"), quote=True)
        self._code.value = f'<div role="group" aria-label="{label}">{"".join(lines)}</div>'

    def _say(self, words: str) -> None:
        self.words = words
        self._said.value = f'<div class="gradlab-slow-words" aria-live="polite">{html.escape(words)}</div>'


def _closed(walk: Iterator[Stage]) -> bool:
    return inspect.isgenerator(walk) and inspect.getgeneratorstate(walk) == inspect.GEN_CLOSED


def _clip_key(config: Config, before: float, after: float) -> str:
    """Return which sentence tells of the clipping."""
    if config.clip == "none":
        return "clip_off"
    if config.clip_order == "each_micro_batch":
        return "clip_early"
    return "clip" if after < before else "clip_kept"
