"""One optimizer step as the few lines of PyTorch that a person would write, each with the stages it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch.nn import functional as F

from gradlab.config import Config
from gradlab.export.loop import carry_and_update
from gradlab.export.parts import Lines, indented
from gradlab.export.sources import Sources
from gradlab.registry import Entry
from gradlab.rules.accumulation import ACCUMULATIONS
from gradlab.rules.clipping import CLIPS
from gradlab.rules.optimizers import OPTIMIZERS

_NAMES = "x y network params optimizer micro_batches samples rows weight loss clipped gradients carry apply p n"
_TORCH_CLIPS = {
    "value": "torch.nn.utils.clip_grad_value_(params, {threshold})",
    "global_norm": "torch.nn.utils.clip_grad_norm_(params, {threshold})",
    "per_layer_norm": "for p in params:\n    torch.nn.utils.clip_grad_norm_([p], {threshold})",
}
"""How PyTorch itself writes a rule of the table."""

_LOSSES: dict[Any, str] = {F.cross_entropy: "F.cross_entropy", F.mse_loss: "F.mse_loss"}


@dataclass(frozen=True)
class CodeLine:
    """A line of source.

    Attributes
    ----------
    text : str
        The line, indented.
    stages : tuple of str
        Names of the `Stage`s that it belongs to; empty for what stands before the step.
    note : str
        Key of the comment behind it in the table of strings; empty if there is none.
    """

    text: str
    stages: tuple[str, ...] = ()
    note: str = ""


def step_lines(config: Config, loss: Callable[..., Any] = F.cross_entropy) -> list[CodeLine]:
    """Return one step of a config as lines of PyTorch.

    They use ``network``, its trainable parameters ``params``, the data ``x``, ``y``, and the row numbers of the
    step's ``micro_batches`` (or ``rows``); ``carry`` is what a carry-over keeps, at first ``{}``, and ``clipped`` are
    the parameters without the output layer's. What PyTorch has no function for is called by its name in gradlab.

    Parameters
    ----------
    config : Config
        The step's knobs. What is done to a step that is not finite is left out.
    loss : callable, default cross-entropy
        The loss function.
    """
    call = _Calls(config)
    forward = CodeLine(f"loss = {_LOSSES.get(loss, 'loss_function')}(network(x[rows]), y[rows])", ("forward",))
    lines = [CodeLine(f"optimizer = {call.optimizer()}"), CodeLine("optimizer.zero_grad()")]
    if ACCUMULATIONS[config.accumulation].options.get("single"):
        lines += [forward, CodeLine("loss.backward()", ("backward", "accumulate"))]
        early = False
    else:
        early = config.clip_order == "each_micro_batch" and config.clip != "none"
        inside = [forward, CodeLine("(loss * weight).backward()", ("backward",), "code.adds")]
        inside += call.clip(("backward", "clip")) if early else []
        lines += [
            CodeLine("samples = [len(rows) for rows in micro_batches]"),
            CodeLine(f"for rows, weight in zip(micro_batches, {call.weights()}):", ("accumulate",)),
            *(replace(line, text=indented([line.text])[0]) for line in inside),
        ]
    lines += [] if early else call.clip(("clip",))
    return lines + [CodeLine(text, ("update",)) for text in call.update()]


class _Calls:
    """The calls of a config's table entries, as source."""

    def __init__(self, config: Config) -> None:
        self._config, self._sources = config, Sources(_NAMES.split())

    def _call(self, entry: Entry, table: str, arguments: list[str]) -> str:
        """Return a call of an entry; one that cannot be written down is called by its place in its table."""
        try:
            return self._sources.call(entry.function, arguments, entry.name)
        except ValueError:
            return f"{table}[{entry.name!r}]({', '.join(arguments)})"

    def optimizer(self) -> str:
        config = self._config
        arguments = ["params", repr(config.lr), repr(config.momentum), repr(config.weight_decay)]
        return self._call(OPTIMIZERS[config.optimizer], "OPTIMIZERS", arguments)

    def weights(self) -> str:
        return self._call(ACCUMULATIONS[self._config.accumulation], "ACCUMULATIONS", ["samples"])

    def clip(self, stages: tuple[str, ...]) -> list[CodeLine]:
        name, threshold = self._config.clip, repr(self._config.clip_threshold)
        if name == "none":
            return [CodeLine("", stages, "code.no_clip")]
        if name in _TORCH_CLIPS:
            return [CodeLine(text, stages) for text in _TORCH_CLIPS[name].format(threshold=threshold).split("\n")]
        exempt = CLIPS[name].options.get("exempt_output")
        call = self._call(CLIPS[name], "CLIPS", ["clipped" if exempt else "params", threshold])
        return [CodeLine(call, stages, "code.exempt" if exempt else "")]

    def update(self) -> Lines:
        try:
            return carry_and_update(self._config, self._sources)
        except ValueError:
            call = f"CARRY_OVERS[{self._config.carry_over!r}](gradients, carry)"
            return ["gradients = [p.grad for p in params]", f"if {call}:", "    optimizer.step()"]
