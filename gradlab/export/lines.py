"""One optimizer step as lines of PyTorch: for slow motion, each with its stages, and as the loop of a script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch.nn import functional as F

from gradlab.config import Config
from gradlab.export.facts import Facts, entry_call
from gradlab.export.sources import Lines, Sources, definitions, indented
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
    call = _Calls(config)
    output = "network(x[rows])" if config.half_dtype is None else f"half(x[rows].to({config.half_dtype})).float()"
    forward = [CodeLine(f"loss = {_LOSSES.get(loss, 'loss_function')}({output}, y[rows])", ("forward",))]
    if config.half_dtype is not None:
        forward.insert(0, CodeLine("half.load_state_dict(network.state_dict())", ("forward",)))
    knobs = map(repr, (config.lr, config.momentum, config.weight_decay))
    lines = [CodeLine(f"optimizer = {call.entry('optimizer', 'params', *knobs)}"), CodeLine("optimizer.zero_grad()")]
    if ACCUMULATIONS[config.accumulation].options.get("single"):
        lines += [*forward, *_backward(config, "", ("backward", "accumulate"))]
        early = False
    else:
        weights = call.entry("accumulation", "samples")
        early = config.clip_order == "each_micro_batch" and config.clip != "none"
        inside = [*forward, *_backward(config, " * weight", ("backward",))]
        inside += call.clip(("backward", "clip")) if early else []
        lines += [
            CodeLine("samples = [len(rows) for rows in micro_batches]"),
            CodeLine(f"for rows, weight in zip(micro_batches, {weights}):", ("accumulate",)),
            *(replace(line, text=indented([line.text])[0]) for line in inside),
        ]
    lines += [] if early else call.clip(("clip",))
    return lines + [CodeLine(text, ("update",)) for text in call.update()]


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


class _Calls:
    """The calls of a config's table entries, as source."""

    def __init__(self, config: Config) -> None:
        self._config, self._sources = config, Sources(_NAMES.split())

    def entry(self, field: str, *arguments: str) -> str:
        """Return a call of an entry; one that cannot be written down is called by its place in its table."""
        try:
            return entry_call(self._sources, self._config, field, *arguments)
        except ValueError:
            return f"{field.upper()}S[{getattr(self._config, field)!r}]({', '.join(arguments)})"

    def clip(self, stages: tuple[str, ...]) -> list[CodeLine]:
        name, threshold = self._config.clip, repr(self._config.clip_threshold)
        if name == "none":
            return [CodeLine("", stages, "code.no_clip")]
        if name in _TORCH_CLIPS:
            return [CodeLine(text, stages) for text in _TORCH_CLIPS[name].format(threshold=threshold).split("\n")]
        exempt = CLIPS[name].options.get("exempt_output")
        call = self.entry("clip", "clipped" if exempt else "params", threshold)
        return [CodeLine(call, stages, "code.exempt" if exempt else "")]

    def update(self) -> Lines:
        try:
            return carry_and_update(self._config, self._sources)
        except ValueError:
            call = f"CARRY_OVERS[{self._config.carry_over!r}](gradients, carry)"
            return ["gradients = [p.grad for p in params]", f"if {call}:", "    optimizer.step()"]


# ---------------------------------------------------------------------- the loop of a script
def training(facts: Facts, sources: Sources, steps: int) -> Lines:
    """Train for a number of steps and print each loss."""
    config = facts.config
    window = _window(facts, sources) if facts.micro else _plain_batch(facts)
    clip = [] if facts.early else _clip(facts, sources)
    update = _update(facts, sources)
    finite = ["", "", "def finite(*tensors):", "    return all(bool(torch.isfinite(t).all()) for t in tensors)"]
    dynamic = config.loss_scale == "dynamic"
    above = [*(finite if config.nonfinite != "continue" or dynamic else []), *definitions(sources)]
    carry = ["carry = {}  # what the carry-over keeps from step to step"] if config.carry_over != "none" else []
    what, source = ("micro_batches", "windows") if facts.micro else ("rows", "batches")
    return [
        *([*above, "", ""] if above else []),
        *_exempt(facts),
        *carry,
        *(["good = 0  # steps since the scale last moved"] if dynamic else []),
        f"for step, {what} in zip(range({steps}), {source}(), strict=False):",
        *indented([*_keep_buffers(facts), *window, *_check(facts), *clip, *update]),
    ]


def _forward(facts: Facts) -> Lines:
    loss, dtype = f"loss = {facts.loss}(output, y[rows])", facts.config.half_dtype
    if dtype is None:
        return ["# forward", "output = network(x[rows])", loss]
    return [
        "# forward, with the weights rounded to the format; the loss is computed in float32",
        "half.load_state_dict(network.state_dict())",
        f"output = half(x[rows].to({dtype})).float()",
        loss,
    ]


def _plain_batch(facts: Facts) -> Lines:
    printed = [*_forward(facts), 'print(f"step {step} loss {loss.item()!r}")', ""]
    if not facts.scaled:
        return [*printed, "# backward, into the pieces of `gradient`", "gradient.zero_()", "loss.backward()"]
    taken = ["for p, g in zip(params, gradients, strict=True):", "    p.grad.copy_(g)"]
    return [*printed, "# backward, and without the scale into the pieces of `gradient`", *_gradients(facts), *taken]


def _gradients(facts: Facts) -> Lines:
    """Go back through the loss, through that of the half copy, or through the scaled one and divide by the scale."""
    if not facts.scaled:
        return ["gradients = torch.autograd.grad(loss, params)"]
    params = "params" if facts.config.half_dtype is None else "half_params"
    return [
        f"gradients = torch.autograd.grad(loss * scale, {params})",
        "gradients = [g.to(weights.dtype) * (1 / scale) for g in gradients]",
    ]


def _window(facts: Facts, sources: Sources) -> Lines:
    config = facts.config
    checked, weights = config.nonfinite != "continue", entry_call(sources, config, "accumulation", "samples")
    seen = "finite(output, *gradients)" if facts.early else "finite(output)"
    sources.imports.need("math")
    inside = [
        *_forward(facts),
        "value, seen = loss.item(), seen + len(rows)",
        "mean_loss += (value - mean_loss) * (len(rows) / seen) if math.isfinite(value) else value",
        "",
        "# backward",
        *_gradients(facts),
        *([f"is_finite = is_finite and {seen}"] if checked else []),
        "",
        "# accumulate: the first micro-batch replaces the old gradient, the others are added",
        "for p, g in zip(params, gradients, strict=True):",
        "    if seen == len(rows):",
        "        p.grad.copy_(g).mul_(weight)",
        "    else:",
        "        p.grad.add_(g, alpha=weight)",
        *(_clip(facts, sources) if facts.early else []),
    ]
    return [
        "samples = [len(rows) for rows in micro_batches]",
        f"mean_loss, seen{', is_finite' if checked else ''} = 0.0, 0{', True' if checked else ''}",
        f"for rows, weight in zip(micro_batches, {weights}, strict=True):",
        *indented(inside),
        'print(f"step {step} loss {mean_loss!r}")',
    ]


def _check(facts: Facts) -> Lines:
    rule, dynamic = facts.config.nonfinite, []
    if facts.config.loss_scale == "dynamic":
        dynamic = [
            *("", "# a gradient that overflows is skipped and halves the scale; 2000 good steps double it"),
            "if not finite(gradient):",
            "    scale, good = scale / 2, 0",
            *("    continue", "good += 1", "if good == 2000:", "    scale, good = scale * 2, 0"),
        ]
    if rule == "continue":
        return dynamic
    several = "(is_finite and math.isfinite(mean_loss) and finite(gradient))"
    condition = several if facts.micro else "finite(output, loss, gradient)"
    end = [*indented(_put_buffers(facts)), "    continue"] if rule == "skip" else ["    break"]
    said = "ends the run" if rule == "stop" else "is skipped"
    return [*dynamic, "", f"# a step that is not finite {said}", f"if not {condition}:", *end]


def _keep_buffers(facts: Facts) -> Lines:
    if facts.config.nonfinite != "skip" or not facts.buffers:
        return []
    return ["# what a skipped step goes back to", "buffers = [b.clone() for b in network.buffers()]", ""]


def _put_buffers(facts: Facts) -> Lines:
    if not facts.buffers:
        return []
    return ["for b, kept in zip(network.buffers(), buffers, strict=True):", "    b.copy_(kept)"]


def _exempt(facts: Facts) -> Lines:
    if facts.config.clip == "none" or not CLIPS[facts.config.clip].options.get("exempt_output"):
        return []
    return [
        "readout = {id(p) for p in network.linears[-1].parameters()}  # the clipping rule leaves it out",
        "clipped = [p for p in params if id(p) not in readout]",
    ]


def _clip(facts: Facts, sources: Sources) -> Lines:
    config = facts.config
    if config.clip == "none":
        return []
    call = entry_call(sources, config, "clip", "clipped" if _exempt(facts) else "params", repr(config.clip_threshold))
    when = "after each micro-batch, which is wrong on purpose" if facts.early else "once per step"
    return ["", f"# clip, {when}", call]


def carry_and_update(config: Config, sources: Sources) -> Lines:
    """Let the optimizer step, after what the carry-over makes of the gradients."""
    if config.carry_over == "none":
        return ["optimizer.step()"]
    apply = f"    apply = {entry_call(sources, config, 'carry_over', 'gradients', 'carry')}"
    lines = ["gradients = [p.grad for p in params]", "with torch.no_grad():", apply]
    return [*lines, "if apply:", "    optimizer.step()"]


def _update(facts: Facts, sources: Sources) -> Lines:
    config = facts.config
    lines, skip = [], config.nonfinite == "skip"
    if skip:
        sources.imports.need("copy")
        kept = "weights.clone(), copy.deepcopy(optimizer.state[weights])"
        lines += ["", "# what an update that overflows goes back to", f"old_weights, old_state = {kept}"]
    carries = config.carry_over != "none"
    lines += ["old_carry = copy.deepcopy(carry)"] if skip and carries else []
    lines += ["", "# carry over, update" if carries else "# update", *carry_and_update(config, sources)]
    if config.nonfinite == "stop":
        lines += ["if not finite(weights):", "    break"]
    if skip:
        back = ["weights.copy_(old_weights)", "optimizer.state[weights] = old_state"]
        back += ["carry = old_carry"] if carries else []
        lines += ["if not finite(weights):", *indented([*back, *_put_buffers(facts)])]
    return lines
