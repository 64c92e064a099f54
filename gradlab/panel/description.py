"""`Description`: what a panel shows of its run, for the stage, for a screen reader and for code."""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from gradlab.compare import differences, knob_words, who_is_ahead
from gradlab.config import Config
from gradlab.diagnosis import Verdict, diagnose, verdict
from gradlab.engine import Trainer
from gradlab.growth import number_words
from gradlab.history import History
from gradlab.locale import Text
from gradlab.network import uses
from gradlab.panel.controller import Controller
from gradlab.panel.start import RULES, without_effect
from gradlab.plots import LIGHT, Theme, View, anchored, picture_in_words, row_beside
from gradlab.plots.fonts import PACKAGE, can_draw
from gradlab.presets import PRESETS
from gradlab.stage import Lane, Shown
from gradlab.stage.learned import LearnedLooks, Seldom
from gradlab.theory import Band, Prediction, predict

_C = ctypes.CDLL(None) if os.name == "posix" else None  # the C library, whose malloc torch takes memory from
_AGREE = 1e-4  # finite differences in float64 of a right backward pass err by less
_HELD_UP = 0.75  # share of the time below which the thread that trains waits for others
_PATIENCE = 5.0  # seconds that a check which a button asks for may take
_MOST = 16  # characters of a ghost's settings that the legend has room for


class Description:
    """Describes what a controller holds; keeps what is costly as long as it is true."""

    def __init__(self, controller: Controller) -> None:
        self._of, self._text, self._seldom = controller, controller.text, Seldom(0.5)
        self._idle = without_effect(controller.own)
        self._suggestion: Mapping[str, Any] = {}
        self._run = controller.run
        self.theme: Theme = LIGHT  # of pictures by matplotlib
        self.forget()

    # ------------------------------------------------------------------ histories
    def history(self, trainer: Trainer) -> History:
        """Return a run's history; before the first step, what that step would show."""
        if len(trainer.history):
            return trainer.history
        lane = int(trainer is self._of.rival)
        kept = self._previews.get(lane)
        if kept is None or kept[0] is not trainer or kept[1] != trainer.config:
            history = History(trainer.layer_names, trainer.history.tiny)
            history.append(trainer.preview())
            kept = self._previews[lane] = (trainer, trainer.config, history)
        return kept[2]

    @property
    def view(self) -> View:
        """How the run is shown."""
        c = self._of
        history = self.history(c.trainer)
        at = int(np.searchsorted(history.column("step"), c.at, "right")) - 1 if c.at is not None else None
        view = View(
            measure=c.measure,
            at=at,
            clip=c.trainer.config.clip != "none",
            units=c.units,
            guess=c.prediction.growth,
            hidden=c.locked,
            theme=self.theme,
            text=self._text,
        )
        if c.locked:  # neither theory nor an earlier run may tell
            return replace(view, measure="delta_norm")
        ghost = c.ghost[0] if c.ghost is not None else None
        theory = self._theory_band(history) if c.theory else None
        return replace(view, ghost=ghost, ghost_name=self._ghost_name(), theory=theory)

    def picture(self) -> tuple[History, View]:
        """Return what a picture by matplotlib shows."""
        rival, view = self._of.rival, self.view
        if rival is not None and not view.hidden:
            view = replace(view, rival=self.history(rival))
        return self.history(self._of.trainer), view

    # ------------------------------------------------------------------ the stage
    def shown(self, slow: tuple[str, str] | None = None) -> Shown:
        """Return everything that the stage shows now."""
        c, view = self._of, self.view
        if c.run != self._run:  # what was kept holds the run before, with all its snapshots
            self._run = c.run
            self.forget()
        trainers = [t for t in (c.rival, c.trainer) if t is not None]
        trainers = trainers[-1:] if view.hidden else trainers
        two = len(trainers) > 1
        verdicts, lesson = self._words_of(trainers)
        lanes = tuple(
            Lane(
                self.history(trainer),
                label=("A", "B")[n] if two else "",
                knobs=self._lane_knobs(trainer.config, trainers[1 - n].config) if two else "",
                verdict=verdicts[n],
                learned=None if view.hidden else self._looks[n].look(trainer, not c.playing),
                cuts=() if c.own.get("network") is not None else cuts_of(trainer),
            )
            for n, trainer in enumerate(trainers)
        )
        return Shown(
            run=c.run,
            lanes=lanes,
            view=view,
            lesson=lesson,
            alert=c.alert,
            status=c.note or self.counts(short=True),
            rate=c.rate,
            slow=slow,
            at=c.at,
            knobs={"seed": c.trainer.config.weight_seed},
            preset=c.preset,
            predict=self._prediction(),
        )

    def _words_of(self, trainers: list[Trainer]) -> tuple[list[tuple[str, str, str]], str]:
        """Return the verdict of each lane and the lesson; while the run plays, new ones now and then."""
        c = self._of
        of = (trainers, [t.config for t in trainers], c.preset, c.locked)
        if not c.playing or self._seldom.due or self._told[0] != of:
            with self._seldom.spend():
                short = len(trainers) > 1
                verdicts = [verdict_words(t.history, t.config, self._text, short) for t in trainers]
                self._told = (of, (verdicts, self.lesson()))
        return self._told[1]

    def _prediction(self) -> dict[str, str] | None:
        asked = self._of.prediction
        if not self._of.predicts:
            return None
        said, score = (asked.sentence, "") if asked.hidden else ("", asked.sentence)
        return {"question": asked.question, "said": said, "score": score}

    def lesson(self) -> str:
        """Return the lesson of the preset in force; without one how lanes differ, or what the diagnosis says."""
        c = self._of
        if c.locked:
            return ""
        if c.preset in PRESETS:
            return self._text.name(f"summary.preset.{c.preset}", PRESETS.entry(c.preset).summary)
        if c.rival is not None and c.rival.config == c.trainer.config:
            return self._text("lesson.lanes")
        return self._differences(c.rival) if c.rival is not None else self.diagnosis() or self._text("lesson.welcome")

    @property
    def suggestion(self) -> Mapping[str, Any]:
        """The knobs of the next experiment that the diagnosis suggests; while a run plays, the last one."""
        if not self._of.playing:
            self.diagnosis()
        return self._suggestion

    def diagnosis(self) -> str:
        """Return what the diagnosis says, and note what it suggests."""
        trainer, self._suggestion = self._of.trainer, {}
        if not len(trainer.history):
            return ""
        found = diagnose(trainer.history, trainer.config, lang=self._text.lang)
        self._suggestion = found.suggestion
        return found.sentence

    # ------------------------------------------------------------------ sentences
    @property
    def said(self) -> dict[str, str]:
        """The sentences about the run, by heading."""
        c, text = self._of, self._text
        said: dict[str, str] = {}
        if not c.locked:
            lesson = self.lesson() if c.preset in PRESETS else ""
            said = {text("info.lesson"): lesson} | self.insight(c.theory)
            said |= {text("info.ghost"): self.ghost_words(), text("info.lanes"): self._lanes_words()}
        if c.predicts and not c.locked:
            said[text("predict.head")] = c.prediction.sentence
        if not can_draw(text.lang):
            said[text("info.font")] = text("font.missing", package=PACKAGE)
        said[text("info.threads")] = self._threads()
        return {head: sentence for head, sentence in said.items() if sentence}

    def _threads(self) -> str:
        """Say what to do about threads that wait for one another, as they do beside a busy browser; or nothing."""
        threads, share = torch.get_num_threads(), self._of.computing
        if threads == 1 or share is None or share > _HELD_UP:
            return ""
        return self._text("threads.wait", share=f"{1 - share:.0%}", threads=threads)

    def insight(self, theory: bool = True) -> dict[str, str]:
        """Return what theory, diagnosis and the gradient check say, by heading."""
        trainer, text = self._of.trainer, self._text
        return {
            text("info.theory"): text.say(self._theory(trainer).sentence) if theory else "",
            text("info.diagnosis"): self.diagnosis(),
            text("info.check"): self._checked[1] if self._checked[0] is trainer else "",
        }

    def counts(self, short: bool = False) -> str:
        """Return step, updates, micro-batches, epoch, samples and loss in one line; `short` for a narrow place."""
        history, text = self._of.trainer.history, self._text
        if self._of.locked:
            return text("tip.predict_first")
        if not len(history):
            return text("status.ready")
        last = history[-1]
        names = ("updates", "micro_batches", "epoch", "samples")
        loss = number_words(last.loss)
        step = last.step + (0 if history.diverged and history.diverged.step == last.step else 1)
        if short and self._of.trainer.config.accumulation == "none":
            return text("status.short", step=step, epoch=last.epoch, samples=last.samples, loss=loss)
        line = text("status.counts", step=step, **{name: getattr(last, name) for name in names})
        return f"{line} | {text('status.loss', loss=loss)}"

    @property
    def words(self) -> str:
        """The picture in words, for those who do not see it."""
        c, text = self._of, self._text
        if c.locked:
            return text("alt.hidden")
        view, history = self.view, self.history(c.trainer)
        row = -1 if view.at is None else view.at
        said = [picture_in_words(history, view.measure, text, row)]
        if ghost := self.ghost_words():
            said.append(text("alt.ghost", ghost=ghost))
        if c.rival is not None:
            other = self.history(c.rival)
            at = row_beside(c.trainer.history, view.at, other)
            said.append(text("alt.lanes", words=picture_in_words(other, view.measure, text, at)))
        return text("alt.between").join(said)

    # ------------------------------------------------------------------ theory and gradient check
    def _theory(self, trainer: Trainer) -> Prediction:
        """Predict once for each trainer: the knobs that theory reads need a new one."""
        if self._predicted is None or self._predicted[0] is not trainer:
            own, data = self._of.own, {}
            if own["data"] is not None and own["network"] is None:
                x = trainer.data.x.flatten(1)
                norm = torch.linalg.vector_norm(x, 2, 1, dtype=torch.float64).numpy()
                data = {"inputs": x.shape[1], "outputs": trainer.data.outputs, "input_norm": norm}
            self._predicted = (trainer, predict(trainer.config, network=own["network"], **data))
        return self._predicted[1]

    def _theory_band(self, history: History) -> Band | None:
        """Return the predicted profile in measured units, None where theory is silent."""
        if self._band[0] is not history:
            self._band = (history, anchored(self._theory(self._of.trainer), history))
        return self._band[1]

    def check_gradients(self) -> None:
        """Compare autograd with finite differences and keep the result in a sentence."""
        self._checked = (self._of.trainer, self._check_of(self._of.trainer))

    def _check_of(self, trainer: Trainer) -> str:
        text = self._text
        try:
            found = trainer.check_gradients(seconds=_PATIENCE)
        except ValueError as error:
            return text("check.nothing", why=text.say(error))
        if math.isnan(found.worst):
            return text("check.nothing", why=text("check.undecided"))
        name = found.layer_names[found.errors.index(found.worst)]
        number = trainer.layer_names.index(name) + 1
        layer = text("check.layer", number=number) if name == f"layer {number}" else name
        return text("check.good" if found.worst < _AGREE else "check.bad", worst=f"{found.worst:.1e}", layer=layer)

    # ------------------------------------------------------------------ the ghost and the lanes
    def _ghost_knobs(self) -> list[str]:
        ghost = self._of.ghost
        return [] if ghost is None else other_knobs(ghost[1], self._of.trainer.config, self._idle)

    def _ghost_name(self) -> str:
        knobs = known = self._ghost_knobs()
        while len(known) > 1 and len(", ".join(known)) > _MOST:
            known = known[:-1]
        left = len(knobs) - len(known)
        return ", ".join([*known, f"+{left}"] if left else known)

    def ghost_words(self) -> str:
        """Say of which settings the ghost is, and what it had come to; empty without a ghost."""
        if self._of.ghost is None:
            return ""
        last, knobs = self._of.ghost[0][-1], ", ".join(self._ghost_knobs())
        values = {"steps": last.step + 1, "loss": f"{last.loss:.4g}"}
        return self._text("ghost.other", knobs=knobs, **values) if knobs else self._text("ghost.same", **values)

    def _lane_knobs(self, mine: Config, other: Config) -> str:
        """Say in a few words what a lane has of its own."""
        idle = self._idle | {number for rule, (_, number) in RULES.items() if getattr(mine, rule) == "none"}
        own = {name: here for name, (here, _) in mine.differences(other).items() if name not in idle}
        return self._text("compare.comma").join([knob_words(n, here, self._text) for n, here in own.items()][:3])

    def _differences(self, rival: Trainer) -> str:
        """Say how the lanes differ, but for settings without effect."""
        config = self._of.trainer.config
        alike = rival.config.replace(**{name: getattr(config, name) for name in self._idle})
        return differences({"A": alike, "B": config}, self._text.lang)

    def _lanes_words(self) -> str:
        """Say what lane A is, how the lanes differ and who is ahead."""
        if (rival := self._of.rival) is None:
            return ""
        words = self._text(
            "lanes.words",
            kept=", ".join(other_knobs(rival.config, Config(), self._idle)) or self._text("lanes.defaults"),
            differences=self._differences(rival),
            ahead=who_is_ahead({"A": rival.history, "B": self._of.trainer.history}, self._text.lang),
        )
        return words + (self._text("alt.between") + self._text("lanes.ended") if rival.stopped else "")

    def greyed(self) -> set[str]:
        """Return the knobs that change nothing here: of an own network or data, or unread by the architecture."""
        return without_effect(self._of.own, self._of.trainer.config)

    def forget(self) -> None:
        """Let what was kept go."""
        self._looks = (LearnedLooks(self._text), LearnedLooks(self._text))
        self._previews: dict[int, tuple[Trainer, Config, History]] = {}
        self._predicted: tuple[Trainer, Prediction] | None = None
        self._band: tuple[object, Band | None] = (None, None)
        self._told: tuple[object, Any] = (None, None)
        self._checked: tuple[Trainer | None, str] = (None, "")
        if (trim := getattr(_C, "malloc_trim", None)) is not None:
            trim(0)  # glibc would keep what is freed: a gigabyte after a large network


def other_knobs(config: Config, other: Config, idle: set[str]) -> list[str]:
    """Return ``name value`` of each knob of a config that differs from another's, but for those without effect."""
    return [f"{name} {here}" for name, (here, _) in config.differences(other).items() if name not in idle]


def verdict_words(history: History, config: Config | None, text: Text, short: bool = False) -> tuple[str, str, str]:
    """Return kind, headline and small print of a run's verdict; `short`, less of it, where two stand side by side."""
    found = verdict(history, config, lang=text.lang)
    return stage_kind(history, found), found.headline or text("verdict.waiting"), found.now if short else found.line


def stage_kind(history: History, found: Verdict) -> str:
    """Return which of the stage's colours a verdict has."""
    if not len(history):
        return "waiting"
    if history.diverged is not None:
        return "diverged"
    if found.kind in ("exploding", "vanishing"):
        return str(found.kind)
    return {"good": "level", "bad": "trouble"}.get(found.tone, "other")


def cuts_of(trainer: Trainer) -> tuple[int, ...]:
    """Return the time steps across whose start a truncated recurrent network sends no gradient back."""
    config, shape = trainer.config, trainer.data.x.shape
    if not config.truncate or "truncate" not in uses(config.architecture) or len(shape) < 3:
        return ()
    return tuple(t for t in range(1, shape[1]) if (shape[1] - t) % config.truncate == 0)
