"""How a panel starts: the config and the first trainer that its arguments ask for, and what it shows."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from IPython.core.getipython import get_ipython

from gradlab.config import SEEDS, Config
from gradlab.data import DATASETS
from gradlab.engine import Trainer
from gradlab.exercise import exercise as open_exercise
from gradlab.locale import Said, Text
from gradlab.network import KNOBS, step_size, uses
from gradlab.presets import PRESETS
from gradlab.registry import brief, items_of
from gradlab.stage import stage_words

EXTRAS = ("preset", "new_seed", "seed", "measure", "theory", "check")
SECTIONS = ("time", "compare", "exercise", "slow", "home", "closeup", "phase")
LECTURE = (
    *("preset", "depth", "gain", "lr", "init", "activation", "accumulation", "clip"),
    *("measure", "theory", "time", "compare", "seed", "slow"),
)
_POLLIN = 1  # zmq's, which not every kernel has
_GETS_USUAL = 1 / 8  # of a task that is there question for question: it is the user's own
RULES = {"accumulation": ("mean", "accumulation_steps"), "clip": ("global_norm", "clip_threshold")}
"""Knobs with a switch: the rule that it turns on at first, and the number that stands beside it."""

WITHIN = {number: name for name, (_, number) in RULES.items()}
MOST_PRODUCTS = 1e11  # multiplications of a step: four seconds of a fast core, ten of a slow one
MOST_HELD = 5e8  # numbers: 2 GB in float32
_SIDE = 8  # of an image of digits


def chosen(show: Any, lecture: bool) -> tuple[str, ...] | None:
    """Return what is to be shown, in the order asked for, None for everything; ValueError for what there is not."""
    if show is None:
        return LECTURE if lecture else None
    if (names := items_of(show)) is None:
        raise ValueError(f"show={brief(show)}; expected a list of names such as {list(LECTURE[:4])}")
    knobs = (name for name in Config.knobs() if name not in (*SEEDS, *WITHIN))
    known = (*EXTRAS, *knobs, *SECTIONS)
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise ValueError(f"show: {brief(name)}; expected names of {', '.join(known)}")
    return tuple(dict.fromkeys(names))


def starting_config(
    config: Config | None,
    preset: str | None,
    exercise: str | None,
    own: Mapping[str, Any],
    knobs: Mapping[str, Any],
    text: Text,
) -> Config:
    """Return the config that a panel's arguments ask for, or raise ValueError."""
    given = {"config": config, "preset": preset, "exercise": exercise}
    if len(named := [f"{name}={brief(value)}" for name, value in given.items() if value is not None]) > 1:
        raise ValueError(f"{' together with '.join(named)}; expected one of the two")
    if exercise is not None:
        start = open_exercise(exercise).config
        if mine := [name for name, value in own.items() if value is not None]:
            raise ValueError(f"exercise={exercise!r} together with {', '.join(mine)}; {text('task.own')}")
        return start.replace(**knobs)
    if config is not None and not isinstance(config, Config):
        raise ValueError(f"config={brief(config)}; expected a Config (or knobs by name, as in GradLab(depth=30))")
    start = PRESETS[preset] if preset is not None else config or Config()
    return start.replace(**knobs)


def first_trainer(config: Config, own: Mapping[str, Any], preset: str | None) -> tuple[Trainer, ValueError | None]:
    """Return the first trainer; a preset that cannot be trained says why over the default network."""
    try:
        check_size(config, own)
        return Trainer(config, **own), None
    except ValueError as error:
        if preset is None:
            raise
        return Trainer(Config()), error


def check_size(config: Config, own: Mapping[str, Any], networks: int = 1) -> None:
    """Raise ValueError if a step of a network of the tables would take a panel minutes, or gigabytes.

    As `step_size` counts them, for so many `networks`.
    """
    if own["network"] is not None:
        return
    sequence = own["data"] is None and DATASETS[config.dataset].options.get("sequence")
    known = config.n_samples if own["data"] is None else config.batch_size * config.accumulation_steps
    products, held = (networks * n for n in step_size(config, known, config.sequence_length if sequence else _SIDE))
    if products > MOST_PRODUCTS or held > MOST_HELD:
        knobs = {name: getattr(config, name) for name in ("architecture", "depth", "width", "batch_size")}
        named = ", ".join(f"{name}={value}" for name, value in knobs.items())
        numbers = {"products": products, "held": held, "most": MOST_PRODUCTS, "room": MOST_HELD}
        raise ValueError(Said("error.size", knobs=named, **numbers))


def without_effect(own: Mapping[str, Any], config: Config | None = None) -> set[str]:
    """Return the knobs that own data, an own network, or the network of a config leave without effect."""
    of_data = {"dataset", "n_samples", "noise", "sequence_length"} if own["data"] is not None else set()
    if own["network"] is not None:
        return of_data | {*KNOBS, "architecture", "truncate"}
    return of_data | (set(KNOBS) - set(uses(config.architecture)) if config is not None else set())


def failure_of(preset: str) -> Config | None:
    """Return the failure that a preset cures, or does not cure; None for one that is about itself alone."""
    failure = PRESETS.entry(preset).options.get("failure")
    return PRESETS[failure] if failure else None


def groups(text: Text, nameless: bool) -> list[dict[str, Any]]:
    """Return the presets in the groups of the stage's bar; `nameless`, by titles that tell the network alone."""
    found: dict[str, list[dict[str, str]]] = {}
    for number, name in enumerate(PRESETS, 1):
        entry = PRESETS.entry(name)
        if nameless:
            title = str(entry.options.get("title") or text("preset.case", number=number))
            group, label = "group.cases", text.name(f"title.preset.{name}", title)
        else:
            group, label = f"preset.group.{entry.options.get('group', 'more')}", entry.label
            label = text.name(f"label.preset.{name}", label)
        found.setdefault(group, []).append({"name": name, "label": label})
    return [{"label": text(group), "presets": presets} for group, presets in found.items()]


def look_of(text: Text, names: tuple[str, ...] | None, lecture: bool, predict: bool) -> dict[str, Any]:
    """Return what the browser needs to know once."""
    shown = ("preset", "time") if names is None else names
    return {
        "theme": "contrast" if lecture else "auto",
        "lecture": lecture,
        "lang": text.lang,
        "words": stage_words(text),
        "groups": groups(text, nameless=predict) if "preset" in shown else [],
        "hide": [] if "time" in shown else ["time"],
    }


Cells = dict[str, tuple[str, weakref.WeakSet[Any]]]
"""By notebook cell: the message that ran it last, and the panels that it made."""


def close_earlier(panel: Any, by_cell: Cells) -> None:
    """Note a new panel, and close those that an earlier run of the same notebook cell made."""
    request = _request()
    cell, run = request.get("metadata", {}).get("cellId"), request.get("header", {}).get("msg_id", "")
    if not cell:  # outside a front end that tells
        return
    old_run, panels = by_cell.get(cell, (run, weakref.WeakSet()))
    if old_run != run:
        for old in panels:
            old.close()
        panels = weakref.WeakSet()
    panels.add(panel)
    by_cell[cell] = (run, panels)
    _hear_interrupts(by_cell)


def _hear_interrupts(by_cell: Cells) -> None:
    """Let an interrupt while no cell runs, which Jupyter's kernel ignores, reach the panels that play."""
    kernel: Any = getattr(get_ipython(), "kernel", None)

    def interrupt(*_: Any) -> None:
        for panel in [panel for _, panels in by_cell.values() for panel in panels]:
            panel.interrupt()

    if getattr(kernel, "saved_sigint_handler", None) is signal.SIG_IGN:
        kernel.saved_sigint_handler = interrupt  # in force when the running cell ends


class Inbox:
    """What waits for the thread that answers a message, as far as its kernel shows it."""

    def __init__(self) -> None:
        self._usual: float | None = None  # tasks of the thread's loop while it answers

    @contextmanager
    def open(self) -> Iterator[Callable[[], bool] | None]:
        """Give what says whether another message waits; None where the kernel does not show it."""
        try:
            kernel: Any = getattr(get_ipython(), "kernel", None)
            stream, tasks = _stream(kernel), len(asyncio.all_tasks())
            stream.socket.EVENTS  # noqa: B018
        except (AttributeError, RuntimeError):
            yield None
            return
        # a message that the loop has read already has a task that has not begun, or in an old kernel a place in line
        line = kernel.msg_queue.qsize() if hasattr(kernel, "msg_queue") else 0
        read = self._usual is None or tasks > self._usual or line > 0
        self._usual = tasks if self._usual is None else min(tasks, self._usual + _GETS_USUAL)
        try:
            yield lambda: read or bool(stream.socket.EVENTS & _POLLIN)
        finally:  # a look takes a new message's one signal, for which the thread's loop waits: it looks for itself
            stream.io_loop.add_callback(stream.flush, limit=1)


def _stream(kernel: Any) -> Any:
    """Return where this thread of a kernel gets its messages from; ipykernel 7 has a thread that deals them out."""
    if (dealer := getattr(kernel, "shell_channel_thread", None)) is None:
        return kernel.shell_stream
    own = dealer.manager.subshell_id_from_thread_id(threading.get_ident())
    return dealer.manager.get_shell_channel_to_subshell_pair(own).to_stream


def with_picture(bundle: dict[str, Any], png: bytes) -> dict[str, Any]:
    """Return a widget's bundle with its picture; where nobody is there to use it, the picture alone.

    A program that runs a notebook to make a page of it, as nbclient does, takes no input. The widget would be dead in
    that page, and without a network blank. Voila runs cells that way, too, and does show widgets.
    """
    data = {**bundle, "image/png": base64.b64encode(png).decode()}
    takes_input = _request().get("content", {}).get("allow_stdin", True)
    if not takes_input and not os.environ.get("SERVER_SOFTWARE", "").startswith("voila"):
        del data["application/vnd.jupyter.widget-view+json"]
    return data


def _request() -> dict[str, Any]:
    """Return the message that runs the cell; empty outside a kernel."""
    kernel = getattr(get_ipython(), "kernel", None)
    return (kernel and kernel.get_parent()) or {}
