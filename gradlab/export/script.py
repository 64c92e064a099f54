"""`config_to_code`: a `Config` as a script of plain PyTorch that prints the same losses; `to_call`: as one line."""

from __future__ import annotations

import textwrap
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradlab.config import WRITERS, Config
from gradlab.data import DATASETS
from gradlab.engine import check
from gradlab.engine.precision import LossScale
from gradlab.export.lines import carry_and_update
from gradlab.export.sources import Lines, Sources, indented
from gradlab.locale import Said
from gradlab.network import ACTIVATIONS, NORMS
from gradlab.registry import brief
from gradlab.rules.clipping import CLIPS

# what the script itself calls things; a function of a table's entry keeps off these names
_NAMES = (
    "copy math torch nn F pairwise x y Network network generator module params sizes weights gradient "
    "optimizer batches windows finite step rows micro_batches samples mean_loss seen value is_finite output "
    "loss gradients carry apply half half_params scale good buffers kept readout clipped old_weights "
    "old_state old_carry p w g b t weight order"
)


def config_to_code(config: Config, steps: int = 100) -> str:
    """Return a standalone script, torch only, that prints the losses a `Trainer` of this config records.

    Only what this config needs is in it; functions of the tables, your own included, are copied in with all
    that they use. The digits are the trainer's where both run on one thread of the same machine.

    Parameters
    ----------
    config : Config
        The run; live knobs moved on the way are not part of it.
    steps : int, default 100
        Steps that the script trains, at least 0.

    Returns
    -------
    str
        Python source; run, it prints ``step 0 loss 0.7136...`` and so on, to the last digit.

    Raises
    ------
    ValueError
        If the config cannot be trained, or an entry of your own cannot be written down (a lambda, say); the
        message names the entry.
    """
    if not isinstance(config, Config):
        raise ValueError(f"config={brief(config)}; expected a Config")
    check.check_count("steps", steps)
    return _Script(config).text(steps)


WRITERS["code"] = config_to_code


def to_call(config: Config) -> str:
    """Return a one-line ``GradLab(...)`` call that opens the panel with this config.

    Fields at their defaults are left out; the arguments that are given read back to the same values.
    """
    if not isinstance(config, Config):
        raise ValueError(f"config={brief(config)}; expected a Config")
    return repr(config).replace("Config", "GradLab", 1)


_VECTORS = """all weights as one vector, all gradients as another
Every parameter becomes a piece of one long vector, so that one operation updates all layers."""
_WINDOWS = "the windows: the micro-batches of one step\nNo window spans two epochs; an epoch's last may be short."
_THREADS = "torch.set_num_threads(1)  # sums in one fixed order: the digits do not depend on the number of cores"
_FINITE = "def finite(*tensors):\n    return all(bool(torch.isfinite(t).all()) for t in tensors)"


class _Script:
    """A config's script, stage by stage; one that cannot be trained is refused as usual."""

    def __init__(self, config: Config) -> None:
        data = check.prepare_data(config, None, None)
        sequence = DATASETS[config.dataset].options.get("sequence")
        kept_out = config.holdout and DATASETS[config.dataset].options.get("fixed")
        kept = config.norm == "batch" and config.half_dtype is not None  # float32 in a half network
        if config.architecture != "mlp" or data.every_step or config.warmup or kept_out or kept:
            raise ValueError(Said("error.no_script"))
        check.check_inputs(data)
        check.check_micro_batches(config, data.n)
        self.config, self.prepared, self.sources = config, data, Sources(_NAMES.split())
        self.call = partial(self.sources.entry, config)
        self.lengths = (config.sequence_length,) if sequence else ()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.weight_seed)
            before = torch.get_rng_state()
            self.norm, self.phi = NORMS[config.norm](config.width), ACTIVATIONS[config.activation]()
            self.draws = not torch.equal(before, torch.get_rng_state())  # whether making them takes random numbers
        # whether a step is made of several micro-batches, and clips the running gradient after each of them
        self.micro, self.clips = config.accumulation != "none", config.clip != "none"
        self.early = self.micro and self.clips and config.clip_order == "each_micro_batch"
        self.exempt = self.clips and CLIPS[config.clip].options.get("exempt_output")
        self.dynamic = config.loss_scale == "dynamic"
        # whether the backward pass is that of a scaled loss, or of a copy in half precision
        self.scaled = config.half_dtype is not None or config.loss_scale != 1.0
        # tensors that a forward pass changes
        self.buffers = [*self.norm.buffers(), *self.phi.buffers()]

    def text(self, steps: int) -> str:
        """Return the script."""
        self.sources.need("torch", "nn", "F")
        stages = {
            "the data": self.data,
            "the network": self.network,
            "the first weights": self.first_weights,
            _VECTORS: self.vectors,
            "the optimizer": self.optimizer,
            _WINDOWS if self.micro else "the batches": self.batches,
            "training": partial(self.training, steps),
        }
        body = "\n\n\n".join(self._stage(i, title, stages[title]()) for i, title in enumerate(stages, start=1))
        future = "from __future__ import annotations"  # types of the definitions need no import
        return f"{_header(self.config)}\n\n{future}\n\n{self.sources.imports()}\n\n{_THREADS}\n\n\n{body}\n"

    def _stage(self, number: int, title: str, lines: Lines) -> str:
        """Put a stage under its title, after the definitions that it asked for."""
        first, *rest = title.split("\n")
        head = [f"# {'-' * 20} {number}. {first}", *(f"# {line}" for line in rest), *self.sources.definitions()]
        return "\n".join([*head, *(["", ""] if len(head) > 1 + len(rest) else []), *lines]).rstrip()

    # ------------------------------------------------------------------ before training
    def data(self) -> Lines:
        config = self.config
        generator = f"torch.Generator().manual_seed({config.data_seed})"
        numbers = map(repr, self.lengths)
        lines = [f"x, y = {self.call('dataset', repr(config.n_samples), repr(config.noise), generator, *numbers)}"]
        generator = torch.Generator().manual_seed(config.data_seed)
        made = DATASETS[config.dataset](config.n_samples, config.noise, generator, *self.lengths)
        for name, raw, prepared in zip("xy", made, (self.prepared.x, self.prepared.y), strict=True):
            converted = _conversions(name, raw, prepared)
            lines += [f"{name} = {converted}"] if converted != name else []
        return lines

    def network(self) -> Lines:
        config, inputs, outputs = self.config, self.prepared.x[0].numel(), self.prepared.outputs
        hidden = f"[{inputs}, *[{config.width}] * {config.depth}, {outputs}]"
        sizes = f"[{inputs}, {outputs}]" if config.depth == 0 else hidden
        self.sources.need("pairwise")
        make = "nn.Linear(n_in, n_out)"
        if self.draws:  # nn.Linear's own first weights would take random numbers too
            make = "nn.utils.skip_init(nn.Linear, n_in, n_out)"
        attributes = [f"self.linears = nn.ModuleList({make} for n_in, n_out in pairwise({sizes}))"]
        for name, shared, call in self._modules():
            attributes.append(f"self.{name} = {call}" if shared else f"self.{name}s = {self._module_list(call)}")
        seed = [f"torch.manual_seed({config.weight_seed})  # for what the modules draw when they are made"]
        return [
            *("", "", "class Network(nn.Module):"),
            *indented(["def __init__(self):", *indented(["super().__init__()", *attributes])]),
            "",
            *indented(["def forward(self, h):", *indented(self._forward_method())]),
            *("", ""),
            *(seed if self.draws else []),
        ]

    @property
    def _blocks(self) -> int:
        """Hidden layers that have a norm and an activation: the first of a residual network has none."""
        return max(self.config.depth - self.config.residual, 0)

    def _modules(self) -> list[tuple[str, bool, str]]:
        """Return (name, whether one serves all layers, how it is made) of norm and activation."""
        if not self._blocks:
            return []
        norm, phi = self.call("norm", repr(self.config.width)), self.call("activation")
        # one of torch's activations, without state, can serve every layer
        stateless = not self.draws and not [*self.phi.parameters(), *self.phi.buffers()]
        shared = stateless and type(self.phi).__module__.startswith("torch.nn.")
        both = [(self.norm, ("norm", False, norm)), (self.phi, ("phi", shared, phi))]
        return [parts for module, parts in both if type(module) is not nn.Identity]

    def _module_list(self, call: str) -> str:
        if self.draws and self.config.residual:  # the first one is made, and not used
            return f"nn.ModuleList([{call} for _ in range({self.config.depth})][1:])"
        return f"nn.ModuleList({call} for _ in range({self._blocks}))"

    def _forward_method(self) -> Lines:
        residual = self.config.residual
        lines = ["h = h.flatten(1)"] if self.prepared.x.dim() > 2 else []
        linears = "self.linears[:-1]"
        if residual and self.config.depth:
            lines.append("h = self.linears[0](h)  # to the width, without a branch")
            linears = "self.linears[1:-1]"
        if self._blocks:
            modules = self._modules()
            inner = "h" if residual else "linear(h)"
            for name, shared, _ in modules:
                inner = f"{'self.' if shared else ''}{name}({inner})"
            names = ", ".join(["linear", *(name for name, shared, _ in modules if not shared)])
            over = ", ".join([linears, *(f"self.{name}s" for name, shared, _ in modules if not shared)])
            lines.append(f"for {names} in {f'zip({over}, strict=True)' if ', ' in names else over}:")
            lines.append(f"    h = h + linear({inner})" if residual else f"    h = {inner}")
        return [*lines, "return self.linears[-1](h)"]

    def first_weights(self) -> Lines:
        config, rounded = self.config, self.config.dtype != "float64"
        zeros = "" if config.bias_std else "  # zeros, yet drawn: weights follow"
        return [
            f"network = Network().double(){'  # drawn in float64, then rounded' if rounded else ''}",
            f"generator = torch.Generator().manual_seed({config.weight_seed})",
            "with torch.no_grad():",
            "    for module in network.modules():",
            "        if isinstance(module, nn.Linear):",
            f"            {self.call('init', 'module.weight', repr(config.gain), 'generator')}",
            f"            nn.init.normal_(module.bias, 0.0, {config.bias_std!r}, generator=generator){zeros}",
            *([f"network = network.to({config.torch_dtype})"] if rounded else []),
        ]

    def vectors(self) -> Lines:
        config, half = self.config, []
        if config.half_dtype is not None:
            self.sources.need("copy")
            half = [
                f"half = copy.deepcopy(network).to({config.half_dtype})  # does the passes; `network` keeps float32",
                "half_params = list(half.parameters())",
            ]
        if self.scaled:
            half += [f"scale = {LossScale.of(config.loss_scale).scale!r}  # of the loss, for the backward pass"]
        return [
            *half,
            "params = list(network.parameters())",
            "sizes = [p.numel() for p in params]",
            "weights = torch.cat([p.detach().reshape(-1) for p in params])",
            "gradient = torch.zeros_like(weights)",
            "weights.grad = gradient",
            "for p, w, g in zip(params, weights.split(sizes), gradient.split(sizes), strict=True):",
            "    p.data, p.grad = w.view(p.shape), g.view(p.shape)",
        ]

    def optimizer(self) -> Lines:
        knobs = map(repr, (self.config.lr, self.config.momentum, self.config.weight_decay))
        return [f"optimizer = {self.call('optimizer', '[weights]', *knobs)}"]

    def batches(self) -> Lines:
        config, size, inner = self.config, self.config.batch_size, "yield from order.split({})"
        if self.micro:
            size *= config.accumulation_steps
            inner = f"yield from (window.split({config.batch_size}) for window in order.split({{}}))"
        return [
            *("", "", f"def {'windows' if self.micro else 'batches'}():"),
            f"    generator = torch.Generator().manual_seed({config.batch_seed})",
            "    while True:  # an epoch is one shuffled pass; its last batch may be short",
            f"        order = torch.randperm({self.prepared.n}, generator=generator)",
            f"        {inner.format(size)}",
        ]

    # ------------------------------------------------------------------ the loop
    def training(self, steps: int) -> Lines:
        if self.config.nonfinite != "continue" or self.dynamic:
            self.sources.define(_FINITE)
        carry = ["carry = {}  # what the carry-over keeps from step to step"]
        exempt = [
            "readout = {id(p) for p in network.linears[-1].parameters()}  # the clipping rule leaves it out",
            "clipped = [p for p in params if id(p) not in readout]",
        ]
        what, source = ("micro_batches", "windows") if self.micro else ("rows", "batches")
        clip = [] if self.early else self._clip()
        loop = [*(self._window() if self.micro else self._plain_batch()), *self._check(), *clip, *self._update()]
        return [
            *(exempt if self.exempt else []),
            *(carry if self.config.carry_over != "none" else []),
            *(["good = 0  # steps since the scale last moved"] if self.dynamic else []),
            f"for step, {what} in zip(range({steps}), {source}(), strict=False):",
            *indented([*self._keep_buffers(), *loop]),
        ]

    def _forward(self) -> Lines:
        function = "F.cross_entropy" if self.prepared.loss is F.cross_entropy else "F.mse_loss"
        loss, dtype = f"loss = {function}(output, y[rows])", self.config.half_dtype
        if dtype is None:
            return ["# forward", "output = network(x[rows])", loss]
        return [
            "# forward, with the weights rounded to the format; the loss is computed in float32",
            "half.load_state_dict(network.state_dict())",
            f"output = half(x[rows].to({dtype})).float()",
            loss,
        ]

    def _plain_batch(self) -> Lines:
        printed = [*self._forward(), 'print(f"step {step} loss {loss.item()!r}")', ""]
        if not self.scaled:
            return [*printed, "# backward, into the pieces of `gradient`", "gradient.zero_()", "loss.backward()"]
        taken = ["for p, g in zip(params, gradients, strict=True):", "    p.grad.copy_(g)"]
        said = "# backward, and without the scale into the pieces of `gradient`"
        return [*printed, said, *self._gradients(), *taken]

    def _gradients(self) -> Lines:
        """Go back through the loss, or through the scaled one, of the half copy perhaps, and divide by the scale."""
        if not self.scaled:
            return ["gradients = torch.autograd.grad(loss, params)"]
        params = "params" if self.config.half_dtype is None else "half_params"
        return [
            f"gradients = torch.autograd.grad(loss * scale, {params})",
            "gradients = [g.to(weights.dtype) * (1 / scale) for g in gradients]",
        ]

    def _window(self) -> Lines:
        checked, weights = self.config.nonfinite != "continue", self.call("accumulation", "samples")
        seen = "finite(output, *gradients)" if self.early else "finite(output)"
        self.sources.need("math")
        inside = [
            *self._forward(),
            "value, seen = loss.item(), seen + len(rows)",
            "mean_loss += (value - mean_loss) * (len(rows) / seen) if math.isfinite(value) else value",
            "",
            "# backward",
            *self._gradients(),
            *([f"is_finite = is_finite and {seen}"] if checked else []),
            "",
            "# accumulate: the first micro-batch replaces the old gradient, the others are added",
            "for p, g in zip(params, gradients, strict=True):",
            "    if seen == len(rows):",
            "        p.grad.copy_(g).mul_(weight)",
            "    else:",
            "        p.grad.add_(g, alpha=weight)",
            *(self._clip() if self.early else []),
        ]
        return [
            "samples = [len(rows) for rows in micro_batches]",
            f"mean_loss, seen{', is_finite' if checked else ''} = 0.0, 0{', True' if checked else ''}",
            f"for rows, weight in zip(micro_batches, {weights}, strict=True):",
            *indented(inside),
            'print(f"step {step} loss {mean_loss!r}")',
        ]

    def _check(self) -> Lines:
        rule, dynamic = self.config.nonfinite, []
        if self.dynamic:
            dynamic = [
                *("", "# a gradient that overflows is skipped and halves the scale; 2000 good steps double it"),
                "if not finite(gradient):",
                "    scale, good = scale / 2, 0",
                *("    continue", "good += 1", "if good == 2000:", "    scale, good = scale * 2, 0"),
            ]
        if rule == "continue":
            return dynamic
        several = "(is_finite and math.isfinite(mean_loss) and finite(gradient))"
        condition = several if self.micro else "finite(output, loss, gradient)"
        end = [*indented(self._put_buffers()), "    continue"] if rule == "skip" else ["    break"]
        said = "ends the run" if rule == "stop" else "is skipped"
        return [*dynamic, "", f"# a step that is not finite {said}", f"if not {condition}:", *end]

    def _keep_buffers(self) -> Lines:
        if self.config.nonfinite != "skip" or not self.buffers:
            return []
        return ["# what a skipped step goes back to", "buffers = [b.clone() for b in network.buffers()]", ""]

    def _put_buffers(self) -> Lines:
        lines = ["for b, kept in zip(network.buffers(), buffers, strict=True):", "    b.copy_(kept)"]
        return lines if self.buffers else []

    def _clip(self) -> Lines:
        if not self.clips:
            return []
        call = self.call("clip", "clipped" if self.exempt else "params", repr(self.config.clip_threshold))
        when = "after each micro-batch, which is wrong on purpose" if self.early else "once per step"
        return ["", f"# clip, {when}", call]

    def _update(self) -> Lines:
        lines, rule, carries = [], self.config.nonfinite, self.config.carry_over != "none"
        if rule == "skip":
            self.sources.need("copy")
            kept = "weights.clone(), copy.deepcopy(optimizer.state[weights])"
            lines += ["", "# what an update that overflows goes back to", f"old_weights, old_state = {kept}"]
            lines += ["old_carry = copy.deepcopy(carry)"] if carries else []
        lines += ["", "# carry over, update" if carries else "# update"]
        lines += carry_and_update(self.config.carry_over, self.call)
        if rule == "stop":
            lines += ["if not finite(weights):", "    break"]
        if rule == "skip":
            back = ["weights.copy_(old_weights)", "optimizer.state[weights] = old_state"]
            back += ["carry = old_carry"] if carries else []
            lines += ["if not finite(weights):", *indented([*back, *self._put_buffers()])]
        return lines


def _header(config: Config) -> str:
    """Return the script's first comment; a name of an entry may hold quotes, so that it stands in no string."""
    lines = [
        "A run of gradlab as plain PyTorch; it prints the loss of every step.",
        *textwrap.wrap(repr(config), 100, subsequent_indent="    ", break_long_words=False),
        "On one thread of one machine the digits are the lab's, all of them.",
    ]
    return "\n".join(f"# {line}" for line in lines)


def _conversions(name: str, raw: object, prepared: Tensor) -> str:
    """Return the expression that makes of `name`, what a data set returned, what is trained on."""
    text = name
    if not isinstance(raw, Tensor):
        raw, text = torch.as_tensor(raw), f"torch.as_tensor({name})"
    text += "" if raw.dtype == prepared.dtype else f".to({prepared.dtype})"
    return text if raw.shape == prepared.shape else text + ".reshape(-1, 1)"
