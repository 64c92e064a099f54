"""`GradLab`: the panel. Mouse, notebook and test take one path through it."""

from __future__ import annotations

import html
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Unpack

import ipywidgets as widgets
from torch import nn

from gradlab.config import SEEDS, Config, Knobs
from gradlab.data import Loss
from gradlab.engine import Trainer
from gradlab.engine.check import check_count
from gradlab.history import History
from gradlab.locale import Text
from gradlab.panel.column import Column
from gradlab.panel.controller import Controller
from gradlab.panel.description import Description
from gradlab.panel.layout import CSS, WidgetSet, close_all
from gradlab.panel.stage_widget import PlainPicture, StageWidget
from gradlab.panel.start import Cells, chosen, close_earlier, first_trainer, look_of, starting_config, with_picture
from gradlab.plots import BOTH, CONTRAST, draw_view, figure_png
from gradlab.plots.draw import DEFAULT
from gradlab.registry import brief
from gradlab.rules.optimizers import adopt
from gradlab.stage import Shown, replay_html
from gradlab.stage.learned import Seldom

_FRAME = '<iframe srcdoc="{page}" sandbox="allow-scripts" style="width: 100%; height: 640px; border: 0"></iframe>'
_EVERY = 0.1  # seconds between two pictures while a cell trains


class GradLab(widgets.VBox):
    """A laboratory for gradients: controls, a stage and a network that trains.

    Parameters
    ----------
    config : Config, optional
        Where to start. Default: ``Config()``.
    network, data, loss
        Your own, as for `Trainer`.
    preset : str, optional
        A name from `PRESETS`, instead of `config`. A cure opens beside the failure that it is about.
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
    replay : bool, default False
        Whether a saved notebook keeps the run as a replay, which an exported page plays without a kernel, beside the
        picture that it always keeps.
    **knobs
        Fields of `Config` that differ from it. ``optimizer`` may be a callable ``(params) -> Optimizer`` of yours; it
        gets lr, momentum and weight_decay where it names them.

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

    _by_cell: ClassVar[Cells] = {}

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
        replay: bool = False,
        **knobs: Unpack[Knobs],
    ) -> None:
        for name, flag in (("predict", predict), ("lecture", lecture), ("replay", replay)):
            if not isinstance(flag, bool):
                raise ValueError(f"{name}={brief(flag)}; expected True or False")
        self._replay = replay
        names = chosen(show, lecture)
        if callable(made := knobs.get("optimizer")):
            knobs["optimizer"] = adopt(made)
        text, own = Text(lang), {"network": network, "data": data, "loss": loss}
        start = starting_config(config, preset, exercise, own, dict(knobs), text)
        trainer, problem = first_trainer(start, own, preset)
        self._controller = controller = Controller(trainer, own, text, predict, self._show)
        self._description = Description(controller)
        if lecture:
            controller.measure = "delta_norm" if controller.measure == BOTH else controller.measure
            self._description.theme = CONTRAST
        if preset is not None and problem is None and not knobs:
            controller.choose(preset)
        elif problem is not None:
            controller.reject(problem)
        self._make = make = WidgetSet(text)
        look = look_of(text, names, lecture, predict)
        self._stage = make(
            StageWidget, self._asked, self._failed, controller.lock, look=look, speed="paced", layout=widgets.Layout()
        )
        self._column = Column(controller, self._description, self._stage, make, names, lecture)
        self._plain = PlainPicture(make, controller)
        classes = ("gradlab", "gradlab-lecture") if lecture else ("gradlab",)
        parts = [make.html(CSS), self._stage, self._column.box, self._plain.box]
        super().__init__(parts, _dom_classes=classes)
        self._view_count = 0  # from now on the front end counts the views
        self.observe(self._views_changed, "_view_count")
        self._stage.observe(self._played, "playing")
        if exercise is not None:
            self._column.section("exercise").start(exercise)
            self._column.open("exercise")
        close_earlier(self, self._by_cell)
        self._column.show()

    # ------------------------------------------------------------------ what the front end asks
    def _asked(self, kind: str, message: dict[str, Any]) -> Iterator[tuple[Shown, int]]:
        """Do what the stage asks for; give what it is to show, and how many pictures are still to come."""
        controller = self._controller
        if kind == "work":
            self._column.section("phase").work()
            self._column.show()
        elif kind == "tick" and message.get("run") == controller.run:
            for left in controller.ticks(message.get("steps"), message.get("ms"), message.get("pictures", 1)):
                self._column.follow()
                if self._stage.playing != controller.playing:
                    self._settle()
                yield self._shown(), left
        else:
            if kind == "command":
                controller.attempt(self._command(str(message.get("name")), message.get("value")))
                self._settle()
            yield self._shown(), 0

    def _command(self, name: str, value: Any) -> Callable[[], object]:
        """Return what a command of the stage's bar does."""
        controller = self._controller
        commands: dict[str, Callable[[], object]] = {
            "step": lambda: controller.take(int(value or 1)),
            "reset": controller.restart,
            "seed": lambda: controller.set(dict.fromkeys(SEEDS, value)),
            "preset": lambda: controller.choose(str(value)),
            "guess": lambda: controller.prediction.guess(value),
            "reveal": lambda: controller.prediction.reveal(self.config),
            "rewind": lambda: controller.rewind(value),
            "pin": controller.pin,
            "measure": lambda: setattr(controller, "measure", str(value)),
            "live": lambda: controller.look_at(None),
            "look_at": lambda: controller.look_at(value),
        }
        return commands[name]

    def _failed(self, error: BaseException) -> tuple[str, str]:
        """Take an exception of an answer: the run pauses, and the panel says why."""
        self._controller.fail(error)
        self._stage.playing = False
        return self._controller.alert, self._controller.trace

    def _played(self, change: Any) -> None:
        """Hear Play or Pause; Pause does not wait for the tick under way, which then ends early."""
        self._controller.playing = bool(change["new"])
        if not change["new"]:
            with self._controller.lock:
                self._column.show()

    def _views_changed(self, change: Any) -> None:
        if change["old"] and not change["new"]:
            self._stage.playing = False

    # ------------------------------------------------------------------ showing
    def _shown(self) -> Shown:
        slow = self._column.sections.get("slow")
        return self._description.shown(None if slow is None else slow.slow_stage)

    def _settle(self) -> None:
        """Bring buttons, knobs and sections to where the run stands."""
        self._stage.playing = self._controller.playing
        self._column.show()
        self._plain.show(self.png)

    def _show(self, refused: Sequence[str] = ()) -> None:
        """Show everything as it is now; what was typed and not accepted stays where it stands."""
        if self._controller.closed:
            return
        if refused:
            self._column.refuse(list(refused))
        else:
            self._settle()
        self._stage.publish(self._shown())

    # ------------------------------------------------------------------ from code
    @property
    def config(self) -> Config:
        """The config in force."""
        return self._controller.trainer.config

    @property
    def trainer(self) -> Trainer:
        """The trainer; a restart knob replaces it."""
        return self._controller.trainer

    @property
    def history(self) -> History:
        """What was measured since the last start."""
        return self._controller.trainer.history

    @property
    def rival(self) -> Trainer | None:
        """Lane A, while two lanes are compared."""
        return self._controller.rival

    @property
    def playing(self) -> bool:
        """Whether the panel trains while somebody looks at it."""
        return self._stage.playing

    @property
    def closed(self) -> bool:
        """Whether the panel was closed."""
        return self._controller.closed

    @property
    def frames(self) -> tuple[int, int]:
        """Packets sent to the browser so far, and how many of them answered a question of it."""
        return self._stage.sent, self._stage.answered

    @property
    def alert(self) -> str:
        """What the panel says went wrong; empty if nothing did."""
        return self._controller.alert

    @property
    def status(self) -> str:
        """What the status line says."""
        rate = self._controller.rate
        speed = "" if rate is None else f" | {self._make.text('status.speed', speed=f'{rate:.0f}')}"
        return (self._controller.note or self._description.counts()) + speed

    @property
    def words(self) -> str:
        """The picture in words and numbers, as a screen reader tells it."""
        return self._description.words

    @property
    def said(self) -> dict[str, str]:
        """Sentences about the run, by heading."""
        return self._description.said

    @property
    def insight(self) -> dict[str, str]:
        """What theory, diagnosis and the gradient check say of the run, by heading; empty where silent."""
        return self._description.insight()

    def set(self, **knobs: Unpack[Knobs]) -> None:
        """Change knobs: live ones at the next step, others by a new start from the same seeds.

        Raises
        ------
        ValueError
            If a value is not accepted; nothing is changed then.
        """
        self._do(lambda: self._controller.set(dict(knobs)))

    def _do(self, work: Callable[[], object]) -> None:
        """Do what code asks for; the panel says what was not accepted, and the caller hears it too."""
        with self._controller.alone():
            if self.closed:
                raise RuntimeError(self._make.text("status.closed"))
            try:
                work()
            except ValueError as error:
                self._controller.reject(error)
                raise
            finally:
                self._show()

    def step(self, n: int = 1) -> None:
        """Take `n` steps now, in the thread that calls, and show the last."""
        check_count("n", n)
        seldom = Seldom(_EVERY)

        def show() -> None:
            if seldom.due:
                with seldom.spend():
                    self._stage.publish(self._shown())

        self._do(lambda: self._controller.take(n, show))  # interrupted, it leaves a picture of the last whole step

    def run(self, n: int) -> History:
        """Take `n` steps now, in the thread that calls, fewer if the run diverges; return the history.

        Playing is paused first.
        """
        self.step(n)
        return self.history

    def play(self) -> None:
        """Train as long as a browser shows the panel, until `pause`; a second call changes nothing."""
        self._do(self._start_playing)

    def _start_playing(self) -> None:
        self._controller.playing = self._stage.playing = not self.trainer.stopped and not self._controller.locked

    def pause(self) -> None:
        """Stop training after the step that is running, and wait for it."""
        self._controller.playing = False
        with self._controller.lock:
            self._stage.playing = False

    def interrupt(self) -> None:
        """Pause as an interrupt of the kernel does, and say so; a panel that does not play is left alone."""
        self._controller.interrupted = self._controller.playing

    def reset(self) -> None:
        """Start again from the same seeds."""
        self._do(self._controller.restart)

    def rewind(self, step: int) -> None:
        """Go back to the state after `step` steps, bit for bit."""
        self._do(lambda: self._controller.rewind(step))

    def show_step(self, step: int | None) -> None:
        """Show a recorded step in every picture, training paused; None shows the latest again.

        The network stays at the latest step; `rewind` makes an earlier one live. Raises ValueError if no such
        step was taken.
        """
        self.pause()
        self._do(lambda: self._controller.look_at(step))

    def pin(self) -> None:
        """Keep the current run as a ghost behind the coming ones; with no step taken, take the ghost away."""
        self._do(self._controller.pin)

    def compare(self, **knobs: Unpack[Knobs]) -> None:
        """Keep the settings in force as lane A, move `knobs` of lane B, and train both in lockstep from step 0.

        From then on `set` and the controls move lane B; lane A is the trainer ``rival``. Called again, it
        keeps the settings of lane B as the new lane A; `uncompare` ends it.

        Raises
        ------
        ValueError
            If a value is not accepted; nothing is changed then.
        """
        self._do(lambda: self._controller.compare(dict(knobs)))

    def uncompare(self) -> None:
        """Drop lane A; the run of lane B goes on."""
        self._do(self._controller.uncompare)

    def guess(self, growth: float) -> None:
        """Predict a growth of the backward signal per layer toward the input; below 1 it shrinks."""
        self._do(lambda: self._controller.prediction.guess(growth))

    def reveal(self) -> None:
        """Show what was measured beside the prediction, and score it."""
        self._do(lambda: self._controller.prediction.reveal(self.config))

    # ------------------------------------------------------------------ the end
    def close(self) -> None:
        """Stop training and close every widget; the panel stays closed."""
        controller = getattr(self, "_controller", None)
        if controller is None or controller.closed:
            return
        with controller.alone():
            self._stage.playing = False
            controller.close()
            self._column.close()
            self._description.forget()
            super().close()
            close_all([self])
            self._make.close()

    def __del__(self) -> None:
        """A script that ends with an open panel says nothing: there is no front end left to tell."""

    # ------------------------------------------------------------------ shown without a kernel
    def png(self) -> bytes:
        """Return the picture as matplotlib draws it, as a PNG; before the first step the layers alone, and small."""
        figure = draw_view(*self._description.picture(), DEFAULT if len(self.history) else ("profile",))
        if not len(self.history):  # a panel is opened to be played: nobody should wait for its first picture
            figure.set_dpi(100)
        png = figure_png(figure, compression=1)
        figure.clear()  # else a megabyte waits until garbage is collected
        return png

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """Return the widget with its picture, which stands in the notebook when there is no kernel."""
        bundle = super()._repr_mimebundle_(**kwargs)
        if self.closed or bundle is None:
            return bundle or {"text/plain": repr(self)}
        data = with_picture(bundle, self.png())
        if self._replay and len(self.history):
            page = replay_html(self.history, config=self.config, lang=self._make.text.lang)
            data["text/html"] = _FRAME.format(page=html.escape(page))
        _, *metadata = self._stage._repr_mimebundle_(**kwargs) or ({},)  # where Colab finds anywidget's manager
        return (data, *metadata) if any(metadata) else data

    def _display_(self) -> widgets.Widget:
        """Return what marimo shows, which knows a single anywidget and no boxes: the stage; knobs move by `set`."""
        self._stage.controls_width = 0
        return self._stage

    def __reduce_ex__(self, protocol: Any = 2) -> Any:
        """Refuse to be copied or pickled."""
        raise TypeError("a panel cannot be copied or pickled; expected GradLab(lab.config), or lab.history")

    __copy__ = __deepcopy__ = __reduce_ex__  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        controller = getattr(self, "_controller", None)
        if controller is None:
            return "GradLab()"
        knobs = repr(controller.trainer.config).removeprefix("Config(").removesuffix(")")
        steps = controller.trainer.step_count
        return f"<GradLab({knobs}), {steps} step{'' if steps == 1 else 's'}>"


def _name_the_knobs(function: Any, defaults: bool) -> inspect.Signature:
    """Return a signature with every knob by its name, for `help` and for a notebook that completes it."""
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    knobs = inspect.signature(Config).parameters.values()
    parameters = [*own, *(p if defaults else p.replace(default=p.empty) for p in knobs)]
    return signature.replace(parameters=parameters)


for _method in (GradLab.set, GradLab.compare):
    _method.__signature__ = _name_the_knobs(_method, defaults=False)
GradLab.__signature__ = _name_the_knobs(GradLab, defaults=True)  # pyright: ignore[reportAttributeAccessIssue]
