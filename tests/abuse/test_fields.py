"""Fields and arguments: whatever comes from code, JSON or a panel is taken exactly or refused in a line."""

import dataclasses
import datetime
import decimal
import enum
import fractions
import itertools
import json
import math
import random
from functools import partial

import numpy as np
import pytest
import torch
from refusals import in_time, refusal

import gradlab
from gradlab import Config, GradLab, Trainer, diagnose, sharpness, sweep, watch

FIELDS = {field.name: type(field.default) for field in dataclasses.fields(Config)}
SMALL = Config(n_samples=24, batch_size=12, depth=1, width=4)


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


class Speechless:
    def __repr__(self):
        raise RuntimeError("no words")


class Wordy:
    def __repr__(self):
        return "two\nlines " * 10_000


NOTHING_TAKES = {
    "None": None,
    "empty text": "",
    "text with a newline": "re\nlu",
    "50,000 letters": "x" * 50_000,
    "bytes": b"relu",
    "5,000 digits": 10**5000,
    "minus 5,000 digits": -(10**5000),
    "text of 5,000 digits": "9" * 5000,
    "nan": math.nan,
    "inf": math.inf,
    "minus inf": -math.inf,
    "float32 nan": np.float32("nan"),
    "1j": 1j,
    "a Decimal": decimal.Decimal("0.1"),
    "a list": [1],
    "20,000 items": [0] * 20_000,
    "a list in a list, 5,000 times": nested(5_000),
    "a dict": {"lr": 1},
    "a set": {1},
    "an array": np.array([1]),
    "a large array": np.zeros((100, 100)),
    "a tensor": torch.tensor(1.0, requires_grad=True),
    "a whole tensor": torch.tensor(1),
    "a config": SMALL,
    "a type": float,
    "a function": len,
    "a generator": (i for i in range(3)),
    "a date": datetime.date(2024, 1, 1),
    "what cannot be shown": Speechless(),
    "what shows itself in lines": Wordy(),
}
each_field = pytest.mark.parametrize("field", FIELDS)


def refused(call, *words, values=NOTHING_TAKES):
    """`call` refuses each of the values by these words."""
    for name, value in values.items():
        try:
            refusal(lambda value=value: call(value), *words)
        except BaseException as error:
            error.add_note(f"given: {name}")
            raise


@each_field
def test_from_code(field):
    refused(lambda value: Config(**{field: value}), f"{field}=")


A_LOT = {"a million items": [0] * 1_000_000, "a million letters": "x" * 1_000_000, "100,000 lists": nested(100_000)}


@pytest.mark.parametrize("value", A_LOT.values(), ids=A_LOT)
def test_a_lot(lab, value):
    for make in (lambda: Config(lr=value), lambda: lab.set(clip=value), lambda: Config.from_dict(value)):
        refusal(make)
    refusal(lambda: sweep(SMALL, {"clip": value}, steps=1, progress=False))


ONLY_ONE_KIND_TAKES = {
    str: (1, True, "no such name", " relu", "RELU\0"),
    int: (1.5, 4.0, "4", True, -1, 2**63, np.float64(4), fractions.Fraction(9, 2)),
    float: ("0.1", True, -1e-9, np.bool_(True)),
    bool: (0, 1, 1.0, "True", np.int64(1)),
}


@each_field
def test_from_code_of_another_kind(field):
    values = {repr(value): value for value in ONLY_ONE_KIND_TAKES[FIELDS[field]]}
    if field == "forget_bias":
        del values["-1e-09"]
    refused(lambda value: Config(**{field: value}), f"{field}=", values=values)


@pytest.fixture(scope="module")
def lab():
    panel = GradLab(SMALL)
    yield panel
    panel.close()


@each_field
def test_to_a_panel_which_says_so_and_stays_as_it_was(lab, field):
    config, trainer = lab.config, lab.trainer

    def give(value):
        try:
            lab.set(**{field: value})
        finally:
            assert f"{field}=" in lab.alert
            assert (lab.config, lab.trainer) == (config, trainer)

    refused(give, f"{field}=")


LONG = {"dataset": "latch", "sequence_length": 200}
TOO_LARGE = {
    "200 million weights": {"depth": 50, "width": 2000},
    "a batch of a million": {"n_samples": 1_000_000, "batch_size": 1_000_000, "depth": 50},
    "a hundred layers of an LSTM": {**LONG, "architecture": "lstm", "depth": 100},
    "twenty thousand cells in each of 64 passes": {
        **{**LONG, "architecture": "rnn", "depth": 100, "width": 2},
        **{"batch_size": 2, "accumulation": "mean", "accumulation_steps": 64},
    },
    "a transformer that looks far": {
        **LONG,
        "architecture": "transformer",
        "depth": 30,
        "width": 32,
        "n_samples": 512,
        "batch_size": 512,
    },
    "wide convolutions": {"dataset": "digits", "architecture": "conv", "depth": 50, "width": 512},
}


@pytest.mark.parametrize("knobs", TOO_LARGE.values(), ids=TOO_LARGE)
def test_what_would_hold_a_panel_up_for_minutes(lab, knobs):
    trainer = lab.trainer
    for act in (lab.set, lab.compare, GradLab):
        refusal(lambda act=act: act(**knobs), "depth=", "multiplications", "numbers")
    assert lab.trainer is trainer


def test_a_batch_too_large_for_the_network_that_is_there():
    panel = GradLab(**LONG, architecture="rnn", depth=3, width=64, n_samples=4096)
    trainer = panel.trainer
    refusal(lambda: panel.set(batch_size=4096), "batch_size=4096")
    assert panel.trainer is trainer
    assert panel.config.batch_size == 32


IN_JSON = (
    "null",
    '""',
    '"no such name"',
    "[]",
    "{}",
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "9" * 4000,
    "[" * 900 + "]" * 900,
)


@each_field
def test_from_json(field):
    refused(lambda text: Config.from_json(f'{{"{field}": {text}}}'), f"{field}=", values={v[:12]: v for v in IN_JSON})


NO_CONFIG = {
    "deep lists": "[" * 100_000,
    "deep and closed lists": "[" * 100_000 + "]" * 100_000,
    "deep objects": '{"lr":' * 100_000,
    "5,000 digits": '{"depth": ' + "9" * 5000 + "}",
    "a million items": json.dumps([0] * 1_000_000),
    "a name of a million letters": json.dumps({"x" * 1_000_000: 1}),
    "a name of two lines": '{"a\\nb": 1}',
    "half": '{"lr": 0.1',
    "two": '{"lr": 0.1}{"lr": 0.2}',
    "nothing": "",
    "a zero byte": "\0",
    "a lone surrogate": '{"\\ud800": 1}',
    "bytes that are no text": b"\xff\xfe\xfa",
    "a number": 3,
    "None": None,
}


@pytest.mark.parametrize("text", NO_CONFIG.values(), ids=NO_CONFIG)
def test_text_that_is_no_config(text):
    refusal(lambda: Config.from_json(text))


def test_what_is_no_mapping_of_fields():
    refused(lambda value: Config.from_dict([value] if isinstance(value, dict) else value))
    refused(lambda value: Config.from_dict({"dept": value}), "dept=")


@pytest.mark.parametrize("name", ["seconds", "samples"])
def test_how_long_or_over_how_many_samples_a_look_is_taken(name):
    trainer = Trainer(SMALL)
    values = {n: v for n, v in NOTHING_TAKES.items() if n not in ("None", "inf")}
    calls = [trainer.check_gradients, partial(sharpness, trainer)] + [trainer.evaluate] * (name == "samples")
    for call in calls:
        refused(lambda value, call=call: call(**{name: value}), f"{name}=", values=values)


class Name(str, enum.Enum):  # noqa: UP042  (a StrEnum says its value, this one its name)
    """Names as an own program may hold them."""

    TANH = "tanh"


class Loud(str):
    def __str__(self):
        return "LOUD"


class Whole(enum.IntEnum):
    THREE = 3


@pytest.mark.parametrize(
    ("field", "value", "plain"),
    [
        ("activation", Name.TANH, "tanh"),
        ("activation", Loud("tanh"), "tanh"),
        ("activation", np.str_("tanh"), "tanh"),
        ("depth", Whole.THREE, 3),
        ("depth", np.uint8(3), 3),
        ("lr", fractions.Fraction(1, 4), 0.25),
        ("lr", np.float16(0.25), 0.25),
        ("lr", Whole.THREE, 3.0),
        ("residual", np.True_, True),
    ],
    ids=repr,
)
def test_a_value_of_another_type_is_taken_as_the_plain_one(lab, field, value, plain):
    lab.set(**{field: value})
    for config in (Config(**{field: value}), SMALL.replace(**{field: value}), lab.config):
        found = getattr(config, field)
        assert (found, type(found)) == (plain, type(plain))
        assert Config.from_json(config.to_json()) == config


@pytest.mark.parametrize("optimizer", gradlab.OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("field", ["lr", "weight_decay"])
@pytest.mark.parametrize("value", [1e39, 1.7e308])
def test_a_factor_beyond_the_precision_is_refused_and_never_torchs_exception(optimizer, dtype, field, value):
    knobs = {"optimizer": optimizer, "dtype": dtype, "nonfinite": "continue", field: value}
    if dtype == "float32":
        refusal(lambda: SMALL.replace(**knobs), f"{field}={value!r}", "float32")
        refusal(lambda: Trainer(SMALL.replace(optimizer=optimizer)).reconfigure(**{field: value}), f"{field}=")
    else:
        with in_time():
            assert len(Trainer(SMALL.replace(**knobs)).run(3)) == 3


def test_two_factors_that_are_too_large_together_are_refused():
    refusal(lambda: SMALL.replace(optimizer="adamw", lr=1e30, weight_decay=1e30), "lr=1e+30", "weight_decay=1e+30")


EXTREME = {
    int: (0, 1, 2, 1000, 10**6, 2**63 - 1),
    float: (0, 5e-324, 1e-40, 1e-12, 1e30, 3e37, 1e300),
    bool: (True, False),
}


@pytest.mark.parametrize("seed", range(60))
def test_extreme_values_together_train_or_are_refused(seed):
    draw = random.Random(seed)
    knobs = {}
    for field in draw.sample([*FIELDS], 6):
        choices = Config.knobs()[field].choices
        knobs[field] = draw.choice([*choices] if choices else EXTREME[FIELDS[field]])
    with in_time():
        try:
            config = Config(**SMALL.to_dict() | {"sequence_length": 24} | knobs)
            if config.n_samples * config.sequence_length > 10**6 or config.depth * config.width > 10**4:
                return
            trainer = Trainer(config)
        except ValueError as error:
            message = str(error)
            assert "expected" in message or "needs" in message, message
            assert "\n" not in message
            return
        trainer.run(2)


def some(value):
    """Where None is accepted, a text is not."""
    return "" if value is None else value


def other(value):
    return "" if value is None or value is SMALL else value


HISTORY = Trainer(SMALL).run(1)
PUBLIC = {
    "steps of a sweep": ("steps", lambda v: sweep(SMALL, steps=v, seeds=1, progress=False)),
    "seeds of a sweep": ("seeds", lambda v: sweep(SMALL, steps=1, seeds=v, progress=False)),
    "over of a sweep": ("", lambda v: sweep(SMALL, some(v), steps=-1, progress=False)),
    "values of a sweep": ("clip=", lambda v: sweep(SMALL, {"clip": v}, steps=1, progress=False)),
    "config of a sweep": ("config", lambda v: sweep(other(v), steps=1, progress=False)),
    "learned_below of a sweep": ("learned_below", lambda v: sweep(SMALL, steps=1, progress=False, learned_below=v)),
    "max_bytes of a sweep": ("max_bytes", lambda v: sweep(SMALL, steps=1, progress=False, max_bytes=v)),
    "executor of a sweep": ("executor", lambda v: sweep(SMALL, steps=1, progress=False, executor=some(v))),
    "steps of a run": ("n", lambda v: Trainer(SMALL).run(v)),
    "step to rewind to": ("step", lambda v: Trainer(SMALL).rewind(v)),
    "config of a trainer": ("config", lambda v: Trainer(other(v))),
    "network of a trainer": ("network", lambda v: Trainer(SMALL, network=some(v))),
    "data of a trainer": ("data", lambda v: Trainer(SMALL, data=some(v))),
    "loss of a trainer": ("loss", lambda v: Trainer(SMALL, loss="" if v is None or callable(v) else v)),
    "history of a diagnosis": ("history", diagnose),
    "chance of a diagnosis": ("chance_loss", lambda v: diagnose(HISTORY, chance_loss=some(v))),
    "classes of a diagnosis": ("num_classes", lambda v: diagnose(HISTORY, num_classes=some(v))),
    "network of watch": ("network", lambda v: watch(v, [])),
    "optimizers of watch": ("optimizers", lambda v: watch(torch.nn.Linear(1, 1), v)),
    "lanes of compare": ("configs", lambda v: gradlab.compare(v, 1)),
    "steps of a script": ("steps", lambda v: SMALL.to_code(v)),
    "config of a call": ("config", lambda v: gradlab.to_call(other(v))),
    "config of theory": ("config", lambda v: gradlab.theory.predict(other(v))),
    "preset of a panel": ("preset", lambda v: GradLab(preset=some(v))),
    "exercise of a panel": ("exercise", lambda v: GradLab(exercise=some(v))),
    "language of a panel": ("lang", lambda v: GradLab(lang=v)),
    "lecture of a panel": ("lecture", lambda v: GradLab(lecture=v)),
    "show of a panel": ("show", lambda v: GradLab(show=["no such part"] if v is None or isinstance(v, dict) else v)),
    "column of a history": ("column", HISTORY.column),
    "name of a preset": ("preset", lambda v: gradlab.PRESETS[v]),
    "name of a clip": ("clip", lambda v: gradlab.CLIPS[v]),
    "scale of a lens": ("scale", lambda v: gradlab.format_lens(Trainer(SMALL), scale=v)),
    "widths of a check": ("widths", lambda v: gradlab.coordinate_check(SMALL, v, steps=1, seeds=1)),
    "frames of a replay": ("frames", lambda v: gradlab.replay_html(HISTORY, frames=v)),
    "batches of the noise": ("micro_batches", lambda v: gradlab.gradient_noise(Trainer(SMALL), micro_batches=v)),
}
ENDLESS = {"no end": itertools.count()}
TAKEN = {
    "seeds of a sweep": {"a list", "a set", "an array", "a generator"},
    "show of a panel": {"a generator"},
}


@pytest.mark.parametrize("argument", PUBLIC)
def test_arguments_of_public_functions(argument):
    name, call = PUBLIC[argument]
    values = {n: v for n, v in (NOTHING_TAKES | ENDLESS).items() if n not in TAKEN.get(argument, ())}
    refused(call, name, values=values)
