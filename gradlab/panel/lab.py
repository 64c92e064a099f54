"""`GradLab`: the panel. Mouse, notebook and test take one path through it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, ClassVar

import ipywidgets as widgets
from torch import nn

from gradlab.config import Config
from gradlab.data import Loss
from gradlab.history import History
from gradlab.panel.bridge import Bridge, key
from gradlab.panel.cells import OpenPanels
from gradlab.panel.controls import OWN, Controls, seeds
from gradlab.panel.phase import PhaseView
from gradlab.panel.picture import Picture
from gradlab.panel.run import Run
from gradlab.panel.start import first_trainer, starting_config, without_effect
from gradlab.panel.timeline import Timeline
from gradlab.panel.view import Face
from gradlab.plots import LiveFigure
from gradlab.presets import PRESETS
from gradlab.strings import Text
from gradlab.trainer import Trainer


class GradLab(widgets.VBox):
    """A laboratory for gradients: controls, pictures and a network that trains.

    Parameters
    ----------
    config : Config, optional
        Where to start. Default: ``Config()``.
    network, data, loss
        Your own, as for `Trainer`.
    preset : str, optional
        A name from `PRESETS`, instead of `config`.
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
        lang: str = "en",
        **knobs: Any,
    ) -> None:
        start = starting_config(config, preset, knobs)
        text = Text(lang)
        own = {"network": network, "data": data, "loss": loss}
        trainer, problem = first_trainer(start, own, preset)
        self._controls = Controls(text, self._moved)
        self._controls.show(trainer.config, preset if problem is None and not knobs else OWN)
        self._controls.disable(without_effect(network, data))
        self._picture = Picture(LiveFigure())
        self.bridge = Bridge()
        self._face = Face(text, self._controls, self._picture)
        self._run = Run(trainer, own, text, self._face, self._picture, self._controls)
        self.phase = PhaseView(self._run, own, text)
        self.time = Timeline(self._run, self._picture, self.bridge, text)
        self._face.below_picture.children = [self.time.box]
        super().__init__([*self._face.children, self.phase.box, self.bridge])
        self.add_class("gradlab")
        self._view_count = 0  # from now on the front end counts the views
        self.observe(self._views_changed, "_view_count")
        self._wire()
        self._panels.enter(self, GradLab.close)
        self._run.refresh(problem or "")

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
        self._controls.preset.observe(lambda change: self._choose(change["new"]), "value")

    def _moved(self, knobs: Mapping[str, Any]) -> None:
        self._run.post_knobs(knobs)

    def _choose(self, preset: str) -> None:
        if preset != OWN and not self._controls.silent:
            self._run.post_knobs(PRESETS[preset].to_dict(), preset)

    def _views_changed(self, change: Any) -> None:
        if change["old"] and not change["new"]:
            self._run.no_view()

    # ------------------------------------------------------------------ from code
    @property
    def config(self) -> Config:
        """The config in force."""
        return self._run.trainer.config

    @property
    def trainer(self) -> Trainer:
        """The trainer; a restart knob replaces it."""
        return self._run.trainer

    @property
    def history(self) -> History:
        """What was measured since the last start."""
        return self._run.trainer.history

    @property
    def playing(self) -> bool:
        """Whether training runs in the background."""
        return self._run.playing

    @property
    def closed(self) -> bool:
        """Whether the panel was closed."""
        return self._run.closed

    @property
    def frames(self) -> tuple[int, int]:
        """Frames sent to the browser so far, and acknowledged by it."""
        return self._picture.frames, self._picture.acknowledged

    @property
    def alert(self) -> str:
        """What the panel says went wrong; empty if nothing did."""
        return self._run.display.alert

    @property
    def status(self) -> str:
        """What the status line says."""
        return self._run.display.status

    @property
    def insight(self) -> dict[str, str]:
        """What theory, diagnosis and the gradient check say of the run, by heading; empty where silent."""
        return self._run.display.insight.sentences(self._run.trainer, theory=True)

    def set(self, **knobs: Any) -> None:
        """Change knobs: live ones at the next step, others by a new start from the same seeds.

        Raises
        ------
        ValueError
            If a value is not accepted; nothing is changed then.
        """
        self._run.call(lambda: self._run.apply(knobs, from_code=True))

    def step(self, n: int = 1) -> None:
        """Take `n` steps now, in the thread that calls, and show the last."""
        self._run.run_now(n)

    def run(self, n: int) -> History:
        """Take `n` steps now, in the thread that calls, fewer if the run diverges; return the history.

        Training in the background is paused first.
        """
        self._run.run_now(n)
        return self.history

    def play(self) -> None:
        """Train in the background until `pause`; a second call changes nothing."""
        self._run.play()

    def pause(self) -> None:
        """Stop training after the step that is running, and wait for it."""
        self._run.pause()

    def reset(self) -> None:
        """Start again from the same seeds."""
        self._run.call(self._run.restart)

    def rewind(self, step: int) -> None:
        """Go back to the state after `step` steps, bit for bit."""
        self._run.pause()
        self._run.call(lambda: self._run.rewind(step))

    def show_step(self, step: int | None) -> None:
        """Show a recorded step in every picture, training paused; None shows the latest again.

        The network stays at the latest step; `rewind` makes an earlier one live. Raises ValueError if no such
        step was taken.
        """
        self.time.show_step(step)

    def pin(self) -> None:
        """Keep the current run as a ghost behind the coming ones; with no step taken, take the ghost away."""
        self._run.call(self._run.pin)

    def close(self) -> None:
        """Stop training, end the thread and close every widget; the panel stays closed."""
        run = getattr(self, "_run", None)
        if run is None or run.closed:
            return
        run.close()
        for part in (self.time, self.phase, self.bridge, self._face, self._picture, self._controls):
            part.close()
        super().close()

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
