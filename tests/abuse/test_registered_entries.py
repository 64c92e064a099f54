"""A registered entry that cannot work is refused by table, name and what is expected, before anything is trained."""

import pytest
import torch
from refusals import refusal
from torch import nn

from gradlab import (
    ACCUMULATIONS,
    ACTIVATIONS,
    ARCHITECTURES,
    CARRY_OVERS,
    CLIPS,
    DATASETS,
    EXERCISES,
    INITS,
    NORMS,
    OPTIMIZERS,
    PLOTS,
    PRESETS,
    Config,
    GradLab,
    Trainer,
    draw,
    exercise,
)

TABLES = (
    *(ACCUMULATIONS, ACTIVATIONS, ARCHITECTURES, CARRY_OVERS, CLIPS, DATASETS, EXERCISES, INITS, NORMS, OPTIMIZERS),
    *(PLOTS, PRESETS),
)
each_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.kind)


@pytest.fixture(autouse=True)
def _tables_as_they_were(monkeypatch):
    for table in TABLES:
        monkeypatch.setattr(table, "_own", dict(table._entries))


def add(table, function):
    function.__doc__ = "Registered by a test."
    table.register("odd", "Odd")(function)


@each_table
@pytest.mark.parametrize("name", ["", "  ", None, 3, ("a",)])
def test_a_name_that_is_no_text_is_refused(table, name):
    with pytest.raises(ValueError, match=f"{table.kind} name=.*expected a text"):
        table.register(name, "Odd")


@each_table
@pytest.mark.parametrize("function", [None, 3, "relu"])
def test_what_is_not_a_function_of_the_tables_arguments_is_refused(table, function):
    with pytest.raises(ValueError, match=rf"{table.kind} 'odd'.*expected a function of \("):
        table.register("odd", "Odd")(function)
    assert "odd" not in table


@each_table
def test_a_wrong_signature_is_refused(table):
    with pytest.raises(ValueError, match=rf"{table.kind} 'odd' takes .*expected a function of \("):
        add(table, lambda a, b, c, d, e: None)
    with pytest.raises(ValueError, match=f"{table.kind} 'odd' takes .*needed"):
        add(table, lambda *given, needed: None)
    assert "odd" not in table


def test_a_signature_with_defaults_or_stars_is_taken():
    add(CLIPS, lambda params, threshold=1.0, *more, **options: None)
    add(ACTIVATIONS, lambda slope=0.1: nn.LeakyReLU(slope))
    Trainer(Config(depth=2, width=4, activation="odd")).step()


@pytest.mark.parametrize(
    ("init", "said"),
    [
        (lambda weight, gain, generator: torch.ones_like(weight), "and returned a tensor"),
        (lambda weight, gain, generator: None, "left the weight as it was;"),
    ],
)
@pytest.mark.parametrize("architecture", ["mlp", "lstm"])
def test_an_init_that_writes_nothing_is_refused_before_the_first_step(init, said, architecture):
    add(INITS, init)
    sequence = {"dataset": "latch"} if architecture == "lstm" else {}
    with pytest.raises(ValueError, match=f"init='odd'.*{said}"):
        Trainer(Config(depth=1, width=4, init="odd", architecture=architecture, **sequence))


def fails(*given):
    raise KeyError("from the entry")


NO_USE = [
    *(
        (table, fails)
        for table in (INITS, CLIPS, ACCUMULATIONS, CARRY_OVERS, OPTIMIZERS, NORMS, ACTIVATIONS, DATASETS)
    ),
    *(
        (table, lambda *given: None)
        for table in (ACCUMULATIONS, CARRY_OVERS, OPTIMIZERS, NORMS, ACTIVATIONS, DATASETS)
    ),
    (ACCUMULATIONS, lambda sizes: [1.0]),
    (ACCUMULATIONS, lambda sizes: ["a" for _ in sizes]),
    (OPTIMIZERS, lambda params, lr, momentum, weight_decay: torch.optim.SGD),
    (DATASETS, lambda n, noise, generator: torch.ones(n, 2)),
    (ARCHITECTURES, fails),
    (ARCHITECTURES, lambda config, input_shape, outputs: nn.Linear),
]


@pytest.mark.parametrize(("table", "function"), NO_USE)
def test_an_entry_that_fails_or_returns_what_is_no_use_is_named_and_a_panel_keeps_its_run(table, function):
    add(table, function)
    knobs = {table.kind: "odd", "n_samples": 32, "batch_size": 4}
    refusal(lambda: Trainer(Config(depth=2, width=4, **knobs)).step(), f"{table.kind}='odd': ")
    lab = GradLab(depth=2, width=4, n_samples=32, batch_size=4)
    lab.run(2)
    weights = [p.clone() for p in lab.trainer.network.parameters()]
    refusal(lambda: lab.set(**{table.kind: "odd"}) or lab.run(1), f"{table.kind}='odd': ")
    assert f"{table.kind}='odd': " in lab.alert
    assert lab.trainer.step_count == 2
    assert all(map(torch.equal, weights, lab.trainer.network.parameters()))
    lab.close()


@pytest.mark.parametrize("function", [fails, lambda: None, lambda: 3, lambda: {"depth": 2}])
def test_a_preset_or_an_exercise_that_is_none(function):
    add(PRESETS, function)
    add(EXERCISES, function)
    lab = GradLab(depth=2, width=4)
    refusal(lambda: GradLab(preset="odd"), "preset='odd': ")
    refusal(lambda: PRESETS["odd"], "preset='odd': ")
    refusal(lambda: exercise("odd"), "exercise='odd': ")
    assert lab.trainer.step_count == 0


@pytest.mark.parametrize("function", [fails, lambda ax, history: 3])
def test_a_plot_that_fails_or_returns_what_is_no_use(function):
    add(PLOTS, function)
    refusal(lambda: draw(Trainer(Config(depth=2, width=4)).run(2), ["odd"]), "plot='odd': ")


@pytest.mark.parametrize("answer", [None, 1, "yes"])
def test_a_carry_over_that_says_neither_true_nor_false_is_refused_and_nothing_moves(answer):
    add(CARRY_OVERS, lambda gradients, state: answer)
    trainer = Trainer(Config(depth=2, width=4, carry_over="odd"))
    before = [p.clone() for p in trainer.network.parameters()]
    with pytest.raises(ValueError, match=r"carry_over='odd': returned .*expected True"):
        trainer.step()
    assert trainer.step_count == 0
    assert all(map(torch.equal, before, trainer.network.parameters()))


@pytest.mark.parametrize("answer", [True, False])
def test_a_carry_over_that_answers_is_obeyed(answer):
    add(CARRY_OVERS, lambda gradients, state: answer)
    assert len(Trainer(Config(depth=2, width=4, carry_over="odd")).run(2)) == 2


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nn.GLU(), r"maps shape \(2, 4\) to \(2, 2\)"),
        (nn.ReLU(), r"fails \(TypeError"),
        (lambda: None, "returned None;"),
        (lambda: torch.tanh, "expected a torch.nn.Module"),
        (lambda: nn.Linear(7, 7), "fails on a tensor"),
    ],
)
def test_an_activation_that_is_none_or_changes_the_shape_is_refused_before_the_first_step(make, said):
    add(ACTIVATIONS, make)
    with pytest.raises(ValueError, match=f"activation='odd': .*{said}"):
        Trainer(Config(depth=2, width=4, activation="odd"))
