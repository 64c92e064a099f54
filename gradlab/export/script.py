"""`config_to_code`: a `Config` as a script of plain PyTorch that prints the same losses; `to_call`: as one line."""

from __future__ import annotations

import textwrap

from torch import nn

from gradlab.config import WRITERS, Config
from gradlab.data import DATASETS
from gradlab.engine.check import check_count
from gradlab.engine.precision import LossScale
from gradlab.export.facts import Facts, conversions, entry_call, find_facts
from gradlab.export.lines import training
from gradlab.export.sources import Lines, Sources, definitions, indented
from gradlab.registry import brief

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
    check_count("steps", steps)
    facts, sources = find_facts(config), Sources(_NAMES.split())
    sources.imports.need("torch", "nn", "F")
    stages = [
        ("the data", data(facts, sources)),
        ("the network", network(facts, sources)),
        ("the first weights", first_weights(facts, sources)),
        (_VECTORS, vectors(facts, sources)),
        ("the optimizer", optimizer(facts, sources)),
        (_BATCHES[facts.micro], batches(facts, sources)),
        ("training", training(facts, sources, steps)),
    ]
    body = "\n\n\n".join(_stage(i, title, lines) for i, (title, lines) in enumerate(stages, start=1))
    threads = "torch.set_num_threads(1)  # sums in one fixed order: the digits do not depend on the number of cores"
    future = "from __future__ import annotations"  # types of the definitions need no import
    return f"{_header(config)}\n\n{future}\n\n{sources.imports.text()}\n\n{threads}\n\n\n{body}\n"


WRITERS["code"] = config_to_code


def to_call(config: Config) -> str:
    """Return a one-line ``GradLab(...)`` call that opens the panel with this config.

    Fields at their defaults are left out; the arguments that are given read back to the same values.
    """
    if not isinstance(config, Config):
        raise ValueError(f"config={brief(config)}; expected a Config")
    moved = config.differences(Config())
    return f"GradLab({', '.join(f'{name}={here!r}' for name, (here, _) in moved.items())})"


_VECTORS = """all weights as one vector, all gradients as another
Every parameter becomes a piece of one long vector, so that one operation updates all layers."""
_BATCHES = {
    False: "the batches",
    True: "the windows: the micro-batches of one step\nNo window spans two epochs; an epoch's last may be short.",
}


def _stage(number: int, title: str, lines: list[str]) -> str:
    first, *rest = title.split("\n")
    head = [f"# {'-' * 20} {number}. {first}", *(f"# {line}" for line in rest)]
    return "\n".join([*head, *lines]).rstrip()


def _header(config: Config) -> str:
    """Return the script's first comment; a name of an entry may hold quotes, so that it stands in no string."""
    lines = [
        "A run of gradlab as plain PyTorch; it prints the loss of every step.",
        *textwrap.wrap(repr(config), 100, subsequent_indent="    ", break_long_words=False),
        "On one thread of one machine the digits are the lab's, all of them.",
    ]
    return "\n".join(f"# {line}" for line in lines)


# ---------------------------------------------------------------------- before training
def data(facts: Facts, sources: Sources) -> Lines:
    """Make x and y."""
    config = facts.config
    arguments = [repr(config.n_samples), repr(config.noise), f"torch.Generator().manual_seed({config.data_seed})"]
    arguments += [repr(config.sequence_length)] if DATASETS[config.dataset].options.get("sequence") else []
    made = entry_call(sources, config, "dataset", *arguments)
    lines = [*definitions(sources), "", "", f"x, y = {made}"]
    for name, raw, prepared in zip("xy", facts.raw, (facts.data.x, facts.data.y), strict=True):
        converted = conversions(name, raw, prepared)
        if converted != name:
            lines.append(f"{name} = {converted}")
    return lines


def network(facts: Facts, sources: Sources) -> Lines:
    """Define the network."""
    config = facts.config
    hidden = f"[{facts.inputs}, *[{config.width}] * {config.depth}, {facts.data.outputs}]"
    sizes = f"[{facts.inputs}, {facts.data.outputs}]" if config.depth == 0 else hidden
    sources.imports.member_of("itertools", "pairwise")
    make = "nn.Linear(n_in, n_out)"
    if facts.draws:  # nn.Linear's own first weights would take random numbers too
        make = "nn.utils.skip_init(nn.Linear, n_in, n_out)"
    attributes = [f"self.linears = nn.ModuleList({make} for n_in, n_out in pairwise({sizes}))"]
    for name, plural, shared, call in _modules(facts, sources):
        attributes.append(f"self.{name} = {call}" if shared else f"self.{plural} = {_module_list(facts, call)}")
    seed = [f"torch.manual_seed({config.weight_seed})  # for what the modules draw when they are made"]
    return [
        *definitions(sources),
        "",
        "",
        "class Network(nn.Module):",
        *indented(["def __init__(self):", *indented(["super().__init__()", *attributes])]),
        "",
        *indented(["def forward(self, h):", *indented(_forward_method(facts, sources))]),
        "",
        "",
        *(seed if facts.draws else []),
    ]


def _blocks(facts: Facts) -> int:
    """Hidden layers that have a norm and an activation: the first of a residual network has none."""
    return max(facts.config.depth - facts.config.residual, 0)


def _modules(facts: Facts, sources: Sources) -> list[tuple[str, str, bool, str]]:
    """Return (name, plural, whether one serves all layers, how it is made) of norm and activation."""
    if not _blocks(facts):
        return []
    config = facts.config
    norm, phi = entry_call(sources, config, "norm", repr(config.width)), entry_call(sources, config, "activation")
    both = [("norm", "norms", False, norm), ("phi", "phis", facts.phi_is_shared, phi)]
    found = zip(both, (facts.norm, facts.phi), strict=True)
    return [parts for parts, module in found if type(module) is not nn.Identity]


def _module_list(facts: Facts, call: str) -> str:
    if facts.draws and facts.config.residual:  # the first one is made, and not used
        return f"nn.ModuleList([{call} for _ in range({facts.config.depth})][1:])"
    return f"nn.ModuleList({call} for _ in range({_blocks(facts)}))"


def _forward_method(facts: Facts, sources: Sources) -> Lines:
    config = facts.config
    lines = ["h = h.flatten(1)"] if facts.data.x.dim() > 2 else []
    linears = "self.linears[:-1]"
    if config.residual and config.depth:
        lines.append("h = self.linears[0](h)  # to the width, without a branch")
        linears = "self.linears[1:-1]"
    if _blocks(facts):
        modules = _modules(facts, sources)
        lists = [(name, f"self.{plural}") for name, plural, shared, _ in modules if not shared]
        inner = "h" if config.residual else "linear(h)"
        for name, _, shared, _ in modules:
            inner = f"{'self.' if shared else ''}{name}({inner})"
        names = ", ".join(["linear", *(name for name, _ in lists)])
        over = ", ".join([linears, *(where for _, where in lists)])
        lines.append(f"for {names} in {f'zip({over}, strict=True)' if lists else over}:")
        lines.append(f"    h = h + linear({inner})" if config.residual else f"    h = {inner}")
    return [*lines, "return self.linears[-1](h)"]


def first_weights(facts: Facts, sources: Sources) -> Lines:
    """Make the network and fill its weights."""
    config = facts.config
    call = entry_call(sources, config, "init", "module.weight", repr(config.gain), "generator")
    made = definitions(sources)
    rounded = config.dtype != "float64"
    zeros = "" if config.bias_std else "  # zeros, yet drawn: weights follow"
    return [
        *([*made, "", ""] if made else []),
        f"network = Network().double(){'  # drawn in float64, then rounded' if rounded else ''}",
        f"generator = torch.Generator().manual_seed({config.weight_seed})",
        "with torch.no_grad():",
        "    for module in network.modules():",
        "        if isinstance(module, nn.Linear):",
        f"            {call}",
        f"            nn.init.normal_(module.bias, 0.0, {config.bias_std!r}, generator=generator){zeros}",
        *([f"network = network.to({config.torch_dtype})"] if rounded else []),
    ]


def vectors(facts: Facts, sources: Sources) -> Lines:
    """Make all parameters views of one vector."""
    config, half = facts.config, []
    if config.half_dtype is not None:
        sources.imports.need("copy")
        half = [
            f"half = copy.deepcopy(network).to({config.half_dtype})  # does the passes; `network` keeps float32",
            "half_params = list(half.parameters())",
        ]
    if facts.scaled:
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


def optimizer(facts: Facts, sources: Sources) -> Lines:
    """Make the optimizer."""
    config = facts.config
    knobs = map(repr, (config.lr, config.momentum, config.weight_decay))
    call = entry_call(sources, config, "optimizer", "[weights]", *knobs)
    made = definitions(sources)
    return [*([*made, "", ""] if made else []), f"optimizer = {call}"]


def batches(facts: Facts, sources: Sources) -> Lines:
    """Define the generator of micro-batches, or of windows of them."""
    config = facts.config
    size = config.batch_size * (config.accumulation_steps if facts.micro else 1)
    inner = f"yield from order.split({size})"
    if facts.micro:
        inner = f"yield from (window.split({config.batch_size}) for window in order.split({size}))"
    return [
        "",
        "",
        f"def {'windows' if facts.micro else 'batches'}():",
        f"    generator = torch.Generator().manual_seed({config.batch_seed})",
        "    while True:  # an epoch is one shuffled pass; its last batch may be short",
        f"        order = torch.randperm({facts.data.n}, generator=generator)",
        f"        {inner}",
    ]
