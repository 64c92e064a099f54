"""`config_to_code`: a `Config` as a script of plain PyTorch that prints the same losses."""

from __future__ import annotations

import textwrap

from gradlab.config import Config
from gradlab.engine.check import check_count
from gradlab.export import loop, parts
from gradlab.export.facts import Facts, find_facts
from gradlab.export.sources import Sources

# what the script itself calls things; a function of a table's entry keeps off these names
_NAMES = (
    "copy math torch nn F pairwise x y Network network generator module params sizes weights gradient optimizer "
    "batches windows finite step rows micro_batches samples mean_loss seen value is_finite output loss gradients "
    "carry apply buffers kept readout clipped old_weights old_state old_carry p w g b t weight order"
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
        raise ValueError(f"config={config!r:.60}; expected a Config")
    check_count("steps", steps)
    facts, sources = find_facts(config), Sources(_NAMES.split())
    sources.imports.need("torch", "nn", "F")
    stages = [
        ("the data", parts.data(facts, sources)),
        ("the network", parts.network(facts, sources)),
        ("the first weights", parts.first_weights(facts, sources)),
        (_VECTORS, parts.vectors(facts, sources)),
        ("the optimizer", parts.optimizer(facts, sources)),
        (_BATCHES[facts.micro], parts.batches(facts, sources)),
        ("training", loop.training(facts, sources, steps)),
    ]
    body = "\n\n\n".join(_stage(i, title, lines) for i, (title, lines) in enumerate(stages, start=1))
    note = _FOREACH if "torch._foreach_" in body else ""
    threads = "torch.set_num_threads(1)  # sums in one fixed order: the digits do not depend on the number of cores"
    return f"{_docstring(facts)}\n\n{sources.imports.text()}\n\n{note}{threads}\n\n\n{body}\n"


_VECTORS = """all weights as one vector, all gradients as another
Every parameter becomes a piece of one long vector, so that one operation updates all layers."""
_BATCHES = {
    False: "the batches",
    True: "the windows: the micro-batches of one step\nNo window spans two epochs; an epoch's last may be short.",
}
_FOREACH = "# torch._foreach_add_(a, b) and its like do to every tensor of a list what a.add_(b) does to one\n"


def _stage(number: int, title: str, lines: list[str]) -> str:
    first, *rest = title.split("\n")
    head = [f"# {'-' * 20} {number}. {first}", *(f"# {line}" for line in rest)]
    return "\n".join([*head, *lines]).rstrip()


def _docstring(facts: Facts) -> str:
    config = facts.config
    described = textwrap.fill(repr(config), 100, subsequent_indent="    ", break_long_words=False)
    return (
        f'"""A run of gradlab as plain PyTorch; it prints the loss of every step.\n\n{described}\n\n'
        "On one thread of one machine the digits are the lab's, all of them.\n"
        '"""'
    )
