"""The house rules that a parser can hold: import order, the users of matplotlib and ipywidgets, global randomness."""

import ast
import functools
from pathlib import Path

import pytest

import gradlab

PACKAGE = Path(gradlab.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

LEVELS = [
    {"registry", "locale"},
    {"data", "network", "rules"},
    {"config"},
    {"presets", "history"},
    {"engine", "growth", "blocks"},
    {"theory"},
    {"diagnosis", "export", "sweep", "watch", "compare", "inspect"},
    {"exercise", "integrations", "students"},
    {"plots"},
    {"stage"},
    {"panel"},
    {"cli"},
]
"""Lowest first; a module imports from lower levels, or from its own package."""

OWN_SEED_SITES = {
    "inspect/copied.py",  # the forward pass of a copy of somebody's own network with dropout
    "inspect/widths.py",  # training networks whose registered activation may draw
    "network/build.py",  # a registered activation or norm may draw when it is made
    "export/script.py",  # the same, to see what such a module draws
    "watch/trace.py",  # running a step of somebody's own network with dropout again
    "theory/moments.py",  # the same, to see whether an activation draws
    "engine/check.py",  # the rehearsal of somebody's own network
    "engine/gradient_check.py",  # the same forward pass again and again, of somebody's own network with dropout
    "engine/state.py",  # the forward pass of somebody's own network with dropout
}
"""Where the global torch generator is used at all: seeded, and put back at once."""


@functools.cache
def parse(path):
    return ast.parse(path.read_text())


def level(module):
    return next((i for i, names in enumerate(LEVELS) if module in names), None)


def module_of(path):
    """gradlab/plots/frame.py -> plots; gradlab/data.py -> data."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@functools.cache
def imports(path):
    """Return (line, dotted name, runs at import) of every import in a file."""
    return list(find_imports(path))


def find_imports(path):
    package = ("gradlab", *path.relative_to(PACKAGE).parts[:-1])
    tree = parse(path)
    later = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef)
        or (isinstance(outer, ast.If) and "TYPE_CHECKING" in ast.unparse(outer.test))
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, id(node) not in later) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                yield node.lineno, f"{source}.{alias.name}", id(node) not in later


def own_modules(path):
    """Yield (line, module of gradlab, runs at import) imported by a file."""
    for line, name, at_once in imports(path):
        parts = name.split(".")
        if parts[0] == "gradlab" and len(parts) > 1:
            yield line, parts[1], at_once


def test_a_module_imports_only_from_below():
    for path in FILES:
        mine = module_of(path)
        if mine == "__init__":
            continue
        assert level(mine) is not None, f"{mine} has no place in the import order"
        for line, other, _ in own_modules(path):
            where = f"{path}:{line}: {mine} imports {other}"
            assert level(other) is not None, f"{where}, which has no place in the import order"
            assert other == mine or level(other) < level(mine), where


def test_the_order_is_checked_on_relative_and_nested_imports_too(tmp_path, monkeypatch):
    (tmp_path / "network").mkdir()
    file = tmp_path / "network" / "x.py"
    file.write_text("from ..panel import a\ndef f():\n    from gradlab.cli import main\n    import gradlab.plots\n")
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    assert list(own_modules(file)) == [(1, "panel", True), (3, "cli", False), (4, "plots", False)]


@pytest.mark.parametrize(
    ("library", "user"),
    [("matplotlib", "plots"), ("ipywidgets", "panel"), ("traitlets", "panel"), ("IPython", "panel")],
)
def test_matplotlib_is_used_by_plots_alone_and_widgets_by_the_panel_alone(library, user):
    users = {module_of(p) for p in FILES for _, name, now in imports(p) if now and name.split(".")[0] == library}
    assert users <= {user}


def test_no_global_figure_no_output_widget():
    for path in FILES:
        names = [name for _, name, _ in imports(path)]
        assert not [n for n in names if n.startswith(("matplotlib.pyplot", "pylab"))], path
        assert "ipywidgets.Output" not in names, path


@functools.cache
def calls(path):
    """Return (line, callee as written, node) of every call."""
    found = [node for node in ast.walk(parse(path)) if isinstance(node, ast.Call)]
    return [(node.lineno, ast.unparse(node.func), node) for node in found]


GLOBAL_SEEDS = {
    "torch.manual_seed",
    "torch.seed",
    "torch.random.manual_seed",
    "torch.default_generator.manual_seed",
    "torch.set_rng_state",
}


def seeds(tree):
    """Return the lines that set the global torch generator inside and outside a `with torch.random.fork_rng(...)`."""
    all_lines = {n.lineno for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) in GLOBAL_SEEDS}
    forks = [
        (node.lineno, node.end_lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.With)
        and any(ast.unparse(item.context_expr).startswith("torch.random.fork_rng(") for item in node.items)
    ]
    inside = {line for line in all_lines if any(first <= line <= last for first, last in forks)}
    return inside, all_lines - inside


def test_the_global_torch_generator_is_seeded_only_where_documented_and_is_put_back():
    sites = set()
    for path in FILES:
        inside, outside = seeds(parse(path))
        assert not outside, f"{path}:{outside} sets the global generator for good"
        if inside:
            sites.add(str(path.relative_to(PACKAGE)))
    assert sites <= OWN_SEED_SITES


def test_a_seed_outside_of_a_fork_is_found():
    text = "torch.manual_seed(1)\nwith torch.random.fork_rng(devices=[]):\n    torch.manual_seed(2)\n"
    assert seeds(ast.parse(text)) == ({3}, {1})


DRAWS = {"rand", "randn", "randint", "randperm", "normal", "multinomial", "bernoulli", "rand_like", "randn_like"}
INIT_DRAWS = {"normal_", "uniform_", "orthogonal_", "kaiming_normal_", "kaiming_uniform_", "xavier_normal_"}


def test_whatever_draws_names_its_generator():
    for path, (line, name, node) in [(file, call) for file in FILES for call in calls(file)]:
        head, _, last = name.rpartition(".")
        draws = (head == "torch" and last in DRAWS) or (
            head in ("nn.init", "init", "torch.nn.init") and last in INIT_DRAWS
        )
        if draws:
            assert "generator" in {k.arg for k in node.keywords}, f"{path}:{line}: {name} without a generator"
        assert not name.startswith(("random.", "np.random.", "numpy.random.")), f"{path}:{line}: {name}"


def test_nothing_prints_or_swallows():
    for path in FILES:
        assert module_of(path) == "cli" or "print" not in {name for _, name, _ in calls(path)}, path
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ExceptHandler):
                anything = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
                silent = all(isinstance(s, ast.Pass | ast.Continue) for s in node.body)
                assert not (anything and silent), f"{path}:{node.lineno} swallows whatever happens"


HEAVY = ("matplotlib", "ipywidgets", "IPython", "traitlets", "pandas", "sklearn")
LAZY = {"history": {"pandas"}, "data": {"sklearn"}}


def test_the_engine_needs_neither_matplotlib_nor_widgets_nor_pandas():
    """pandas only in `History.to_frame`, when it is called."""
    headless = set().union(*LEVELS[:5])
    for path in FILES:
        if module_of(path) in headless:
            tops = {name.split(".")[0] for _, name, _ in imports(path)}
            assert not tops & set(HEAVY) - LAZY.get(module_of(path), set()), path
