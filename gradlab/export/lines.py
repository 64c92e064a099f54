"""One optimizer step as lines of PyTorch, each with its stages: what slow motion shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch.nn import functional as F

from gradlab.config import Config
from gradlab.export.sources import Lines, Sources, indented
from gradlab.rules.accumulation import ACCUMULATIONS
from gradlab.rules.clipping import CLIPS

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
    """A line of source."""

    text: str  # the line, indented
    stages: tuple[str, ...] = ()  # names of the `Stage`s that it belongs to; empty for what stands before the step
    note: str = ""  # key of the comment behind it in the table of strings; empty if there is none


def step_lines(config: Config, loss: Callable[..., Any] = F.cross_entropy) -> list[CodeLine]:
    """Return one step of a config as lines of PyTorch, without what is done to a step that is not finite.

    They use ``network``, its trainable parameters ``params``, the data ``x``, ``y``, and the row numbers of the
    step's ``micro_batches`` (or ``rows``); ``carry`` is what a carry-over keeps, at first ``{}``, and ``clipped`` are
    the parameters without the output layer's; in half precision ``half`` is the copy that does the passes, and
    ``scale`` the loss scale. What PyTorch has no function for is called by its name in gradlab.
    """
    call = partial(_call, config, Sources(_NAMES.split()))
    output = "network(x[rows])" if config.half_dtype is None else f"half(x[rows].to({config.half_dtype})).float()"
    forward = [CodeLine(f"loss = {_LOSSES.get(loss, 'loss_function')}({output}, y[rows])", ("forward",))]
    if config.half_dtype is not None:
        forward.insert(0, CodeLine("half.load_state_dict(network.state_dict())", ("forward",)))
    knobs = map(repr, (config.lr, config.momentum, config.weight_decay))
    lines = [CodeLine(f"optimizer = {call('optimizer', 'params', *knobs)}"), CodeLine("optimizer.zero_grad()")]
    if ACCUMULATIONS[config.accumulation].options.get("single"):
        lines += [*forward, *_backward(config, "", ("backward", "accumulate"))]
        early = False
    else:
        weights = call("accumulation", "samples")
        early = config.clip_order == "each_micro_batch" and config.clip != "none"
        inside = [*forward, *_backward(config, " * weight", ("backward",))]
        inside += _clip(config, call, ("backward", "clip")) if early else []
        lines += [
            CodeLine("samples = [len(rows) for rows in micro_batches]"),
            CodeLine(f"for rows, weight in zip(micro_batches, {weights}):", ("accumulate",)),
            *(replace(line, text=indented([line.text])[0]) for line in inside),
        ]
    lines += [] if early else _clip(config, call, ("clip",))
    return lines + [CodeLine(text, ("update",)) for text in carry_and_update(config.carry_over, call)]


def _backward(config: Config, weight: str, stages: tuple[str, ...]) -> list[CodeLine]:
    """Return the backward pass; gradients of a scaled loss, or of the half copy, are taken over without the scale."""
    if config.half_dtype is None and config.loss_scale == 1.0:
        text, note = (f"(loss{weight}).backward()", "code.adds") if weight else ("loss.backward()", "")
        return [CodeLine(text, stages, note)]
    computes = "network" if config.half_dtype is None else "half"
    taken = f"p.grad += g.float(){weight} / scale" if weight else "p.grad = g.float() / scale"
    return [
        CodeLine(f"gradients = torch.autograd.grad(loss * scale, {computes}.parameters())", stages),
        CodeLine("for p, g in zip(params, gradients, strict=True):", stages),
        CodeLine(f"    {taken}", stages),
    ]


def _call(config: Config, sources: Sources, field: str, *arguments: str) -> str:
    """Return a call of a table's entry; of one that cannot be written down, by its place in the table."""
    try:
        return sources.entry(config, field, *arguments)
    except ValueError:
        return f"{field.upper()}S[{getattr(config, field)!r}]({', '.join(arguments)})"


def _clip(config: Config, call: Callable[..., str], stages: tuple[str, ...]) -> list[CodeLine]:
    name, threshold = config.clip, repr(config.clip_threshold)
    if name == "none":
        return [CodeLine("", stages, "code.no_clip")]
    if name in _TORCH_CLIPS:
        return [CodeLine(text, stages) for text in _TORCH_CLIPS[name].format(threshold=threshold).split("\n")]
    exempt = CLIPS[name].options.get("exempt_output")
    text = call("clip", "clipped" if exempt else "params", threshold)
    return [CodeLine(text, stages, "code.exempt" if exempt else "")]


def carry_and_update(carry_over: str, call: Callable[..., str]) -> Lines:
    """Let the optimizer step, after what the carry-over makes of the gradients; `call` writes an entry's call."""
    if carry_over == "none":
        return ["optimizer.step()"]
    apply = f"    apply = {call('carry_over', 'gradients', 'carry')}"
    lines = ["gradients = [p.grad for p in params]", "with torch.no_grad():", apply]
    return [*lines, "if apply:", "    optimizer.step()"]
