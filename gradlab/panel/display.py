"""What the panel shows of its run: picture, counters, alert and words, each as often as it should."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from gradlab.config import Config
from gradlab.engine import Trainer
from gradlab.history import History
from gradlab.locale import Text
from gradlab.panel.controls import Controls
from gradlab.panel.insight import Insight
from gradlab.panel.names import preset_lesson
from gradlab.panel.pace import Pace
from gradlab.panel.picture import Picture
from gradlab.panel.view import Face
from gradlab.panel.words import counts, describe
from gradlab.plots import View
from gradlab.plots.fonts import PACKAGE, can_draw

_WORDS_EVERY = 2.0  # seconds between two tellings of the picture while it moves

Lens = Callable[[View, Trainer], View]
Teller = Callable[[Trainer], Mapping[str, str]]
Caption = Callable[[Trainer, View], str]


class Display:
    """Shows a trainer on the panel's face.

    Attributes
    ----------
    alert : str
        What went wrong, in words; empty if nothing did.
    status : str
        The status line shown last.
    words : str
        The picture in words, for those who do not see it.
    said : Mapping of str to str
        The sentences below the picture, by heading.
    insight : Insight
        What theory and diagnosis say.
    watchers : list of callable
        Each is told the config in force whenever it may have changed.
    lenses : list of callable
        Each changes what the picture shows: ``lens(view, trainer) -> View``.
    tellers : list of callable
        Each has sentences to add below the picture, by heading: ``teller(trainer) -> mapping``.
    captions : list of callable
        Each adds to the picture in words: ``caption(trainer, view) -> str``.
    ghost : History or None
        A pinned run, drawn behind.
    shown : (History, View)
        What the picture shows.
    """

    def __init__(self, text: Text, face: Face, picture: Picture, controls: Controls, insight: Insight) -> None:
        self._closer = face.closer
        self.insight = insight
        self.watchers: list[Callable[[Config], None]] = []
        self.lenses: list[Lens] = []
        self.tellers: list[Teller] = []
        self.captions: list[Caption] = []
        self.alert = self.status = self.words = ""
        self.said: Mapping[str, str] = {}
        self.ghost: History | None = None
        self.shown = (History(()), View(text=text))
        self._text, self._face, self._picture, self._controls = text, face, picture, controls
        self._told = 0.0
        self._pace = Pace()
        self._previewed: tuple[Trainer, Config, History] | None = None

    def draw(self, trainer: Trainer, playing: bool, say: bool = False) -> None:
        """Show everything; the words for those who do not see it only now and then, unless `say`."""
        history, measure = self.shown_history(trainer), self._controls.shown_measure
        for watch in self.watchers:
            watch(trainer.config)
        self._pace.see(trainer, playing)
        waits = "" if len(trainer.history) else self._face.locked
        self.status = waits or counts(trainer.history, self._text, self._pace.speed)
        self._face.show_status(self.status)
        self._face.show_alert(self.alert)
        view = self._view(trainer, history, measure)
        self.shown = (history, view)
        self._picture.show(history, view, ask=say or not playing)
        if not view.hidden:
            self._closer.update(trainer, view, now=say)
        if say or time.monotonic() - self._told > _WORDS_EVERY:
            self._tell(trainer, history, view)

    def _view(self, trainer: Trainer, history: History, measure: str) -> View:
        band = self.insight.band(trainer, history) if self._controls.theory.value else None
        clipped = trainer.config.clip != "none"
        units = self._closer.on("units")
        view = View(measure=measure, clip=clipped, units=units, ghost=self.ghost, theory=band, text=self._text)
        for lens in self.lenses:
            view = lens(view, trainer)
        return view

    def _tell(self, trainer: Trainer, history: History, view: View) -> None:
        self._told = time.monotonic()
        row = -1 if view.at is None else view.at
        captions = (caption(trainer, view) for caption in self.captions)
        words = [describe(history, view.measure, self._text, row), *filter(None, captions)]
        self.words = self._text("alt.hidden") if view.hidden else self._text("alt.between").join(words)
        self._face.show_words(self.words)
        said = {} if view.hidden else self._sentences(trainer)
        if not can_draw(self._text.lang):
            said[self._text("info.font")] = self._text("font.missing", package=PACKAGE)
        said[self._text("info.threads")] = self._pace.advice(self._text)
        for teller in self.tellers:
            said |= teller(trainer)
        self.said = {head: sentence for head, sentence in said.items() if sentence}
        self._face.show_info(self.said)
        knobs = {} if view.hidden else self.insight.suggestion
        self._face.offer_try(", ".join(f"{name}={value}" for name, value in knobs.items()))

    def _sentences(self, trainer: Trainer) -> dict[str, str]:
        """Return the lesson of the preset, if one is chosen, and what theory and diagnosis say."""
        lesson = preset_lesson(str(self._controls.preset.value), self._text)
        return {self._text("info.lesson"): lesson} | self.insight.sentences(
            trainer, bool(self._controls.theory.value)
        )

    def shown_history(self, trainer: Trainer) -> History:
        """Return the run's history; before the first step, what that step would show."""
        if len(trainer.history):
            return trainer.history
        if self._previewed is None or self._previewed[0] is not trainer or self._previewed[1] != trainer.config:
            self._previewed = (trainer, trainer.config, preview_of(trainer))
        return self._previewed[2]

    @property
    def measure(self) -> str:
        """The measure chosen: a key of `MEASURES`, or both."""
        return self._controls.shown_measure


def preview_of(trainer: Trainer) -> History:
    """Return what the next step would show, as a history of one row."""
    preview = History(trainer.layer_names, trainer.history.tiny)
    preview.append(trainer.preview())
    return preview
