"""`GradLab`: the panel. Mouse, notebook and test take one path through it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import ipywidgets as widgets
from torch import nn

from gradlab.config import Config
from gradlab.data import Loss
from gradlab.locale import Text
from gradlab.panel.badge import Badge
from gradlab.panel.bridge import Bridge, key
from gradlab.panel.cells import OpenPanels
from gradlab.panel.choose import check_flag, chosen
from gradlab.panel.controls import OWN, Controls, seeds
from gradlab.panel.home import TakeHome
from gradlab.panel.kit import Kit, close_all
from gradlab.panel.lanes import Comparing, Lanes
from gradlab.panel.phase import PhaseView
from gradlab.panel.picture import Picture
from gradlab.panel.predictor import Predictor
from gradlab.panel.remote import Remote
from gradlab.panel.run import Run
from gradlab.panel.slow import SlowMotion
from gradlab.panel.start import first_trainer, refuse_own, starting_config, without_effect
from gradlab.panel.task import Tasks
from gradlab.panel.timeline import Timeline
from gradlab.panel.view import Face
from gradlab.plots import LiveFigure, lecture_figure
from gradlab.plots.view import CONTRAST
from gradlab.presets import PRESETS


class GradLab(Comparing, Remote, widgets.VBox):
    """A laboratory for gradients: controls, pictures and a network that trains.

    Parameters
    ----------
    config : Config, optional
        Where to start. Default: ``Config()``.
    network, data, loss
        Your own, as for `Trainer`.
    preset : str, optional
        A name from `PRESETS`, instead of `config`.
    exercise : str, optional
        A name from `EXERCISES`: starts at its broken network, with the task unfolded.
    predict : bool, default False
        Whether the profile of a new network stays hidden until a prediction is made; then both are shown, and
        scored.
    lecture : bool, default False
        For a projector: large type, high contrast, few controls.
    show : sequence of str, optional
        The only controls and sections to show, in this order: names of knobs, and of parts of the panel such as
        ``"preset"``, ``"measure"``, ``"theory"``, ``"phase"``. Default: all; a lecture's few with `lecture`.
    lang : str, default "en"
        Language of everything visible.
    **knobs
        Fields of `Config` that differ from it.

    Raises
    ------
    ValueError
        If a value is not accepted; the message names the field, the value and what is accepted.

    Examples
    --------
    >>> lab = GradLab(depth=30, activation="tanh", init="normal", gain=2.0)
    >>> lab.run(200)  # deterministic, in the cell that calls it
    >>> lab.set(lr=0.01)  # the same as moving the slider
    """

    _panels: ClassVar[OpenPanels] = OpenPanels()

    def __init__(
        self,
        config: Config | None = None,
        *,
        network: nn.Module | None = None,
        data: Any = None,
        loss: Loss | None = None,
        preset: str | None = None,
        exercise: str | None = None,
        predict: bool = False,
        lecture: bool = False,
        show: Sequence[str] | None = None,
        lang: str = "en",
        **knobs: Any,
    ) -> None:
        check_flag("predict", predict)
        check_flag("lecture", lecture)
        names = chosen(show, lecture)
        start = starting_config(config, preset, exercise, knobs)
        text = Text(lang)
        self._kit = kit = Kit(text)
        own = {"network": network, "data": data, "loss": loss}
        refuse_own(exercise, own, text)
        trainer, problem = first_trainer(start, own, preset)
        self._controls = Controls(kit, self._moved)
        self._controls.show(trainer.config, preset if problem is None and not knobs else OWN)
        self._controls.disable(without_effect(network, data))
        self._picture = Picture(kit, lecture_figure() if lecture else LiveFigure())
        self.bridge = kit(Bridge)
        self._face = Face(kit, self._controls, self._picture, names, beside=lecture)
        self._run = Run(trainer, own, text, self._face, self._picture, self._controls)
        self.lanes = Lanes(self._run, self._face, own, text)
        self.home = TakeHome(self._run, self.bridge, own, lambda: self.lanes.rival is not None, kit)
        self.phase = PhaseView(self._run, own, kit)
        self.time = Timeline(self._run, self._picture, self.bridge, kit)
        if names is None or "time" in names:
            self._face.below_picture.children = [self.time.box]
        self.badge, self.slow = Badge(self._run, kit), SlowMotion(self._run, kit)
        self._controls.beside_accumulation.children = [self.badge.box]
        self.tasks = Tasks(self._run, own, kit)
        sections = {"exercise": self.tasks.box, "slow": self.slow.box, "home": self.home.box, "phase": self.phase.box}
        shown = [box for name, box in sections.items() if names is None or name in names]
        super().__init__([*self._face.children, *shown, self.bridge])
        self.add_class("gradlab")
        if lecture:
            self.add_class("gradlab-lecture")
            self._controls.measure.value = "delta_norm"  # one large profile rather than two small ones
            self._run.display.lenses.append(lambda view, _: replace(view, theme=CONTRAST))
        self._view_count = 0  # from now on the front end counts the views
        self.observe(self._views_changed, "_view_count")
        self.predictor = Predictor(self._run, self._picture, self.bridge, kit) if predict else None
        if self.predictor is not None:
            self._face.above_picture.children = [self.predictor.box]
        self._wire()
        if exercise is not None:
            self.tasks.open(exercise)
        self._panels.enter(self, GradLab.close)
        self._run.refresh("" if problem is None else str(text.say(problem)))

    def _wire(self) -> None:
        face, run = self._face, self._run
        for button, letter in ((face.play, "p"), (face.step, "s"), (face.reset, "r"), (face.back, "b")):
            key(button, letter)
        face.play.on_click(lambda _: run.toggle())
        face.step.on_click(lambda _: run.post(lambda: run.take(1)))
        face.reset.on_click(lambda _: run.post(run.restart))
        face.new_seed.on_click(lambda _: run.post_knobs(seeds(run.trainer.config.weight_seed + 1)))
        face.back.on_click(lambda _: run.post(run.back))
        face.check.on_click(lambda _: run.post(run.check_gradients))
        face.try_it.on_click(lambda _: run.post(run.try_suggestion))
        for shown in (self._controls.theory, self._controls.measure, *face.closer.boxes.values()):
            shown.observe(lambda _: run.post(run.refresh), "value")
        self.bridge.on_width.append(lambda width: run.post(lambda: run.fit(width)))
        self._controls.preset.observe(lambda change: self._choose(change["new"]), "value")

    def _moved(self, knobs: Mapping[str, Any]) -> None:
        self._run.post_knobs(knobs)

    def _choose(self, preset: str) -> None:
        if preset != OWN and not self._controls.silent:
            self._run.post_knobs(PRESETS[preset].to_dict(), preset)

    def _views_changed(self, change: Any) -> None:
        if change["old"] and not change["new"]:
            self._run.no_view()
        elif change["new"] and not self._run.trainer.prepared:  # now that the panel is seen there is time for it
            self._run.post(lambda: self._run.trainer.prepare())

    def close(self) -> None:
        """Stop training, end the thread and close every widget; the panel stays closed."""
        run = getattr(self, "_run", None)
        if run is None or run.closed:
            return
        run.close()
        for part in (self.tasks, self.phase, self.home, self.lanes, self._picture):
            part.close()
        super().close()
        close_all([self])
        self._kit.close()

    # ------------------------------------------------------------------ shown without a kernel
    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs)
        if bundle is None or not self._picture.image.value:
            return bundle or {"text/plain": repr(self)}
        return bundle | {"image/png": base64.b64encode(self._picture.image.value).decode()}

    def __repr__(self) -> str:
        run = getattr(self, "_run", None)
        if run is None:
            return "GradLab()"
        knobs = repr(run.trainer.config).removeprefix("Config(").removesuffix(")")
        steps = run.trainer.step_count
        return f"<GradLab({knobs}), {steps} step{'' if steps == 1 else 's'}>"
