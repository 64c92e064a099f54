"""`Config`: every field validated, frozen, hashable, and the same after a trip through JSON."""

import dataclasses
import json
import pickle

import numpy as np
import pytest

from gradlab import (
    ACCUMULATIONS,
    ACTIVATIONS,
    ARCHITECTURES,
    CARRY_OVERS,
    CLIPS,
    DATASETS,
    INITS,
    NORMS,
    OPTIMIZERS,
    Config,
    Trainer,
)
from gradlab.config import Knobs

DEFAULTS = {
    "dataset": "moons",
    "n_samples": 512,
    "noise": 0.1,
    "holdout": 0.0,
    "sequence_length": 32,
    "architecture": "mlp",
    "depth": 8,
    "width": 32,
    "activation": "relu",
    "norm": "none",
    "residual": False,
    "init": "kaiming",
    "gain": 1.0,
    "bias_std": 0.0,
    "recurrent_init": "orthogonal",
    "recurrent_gain": 1.0,
    "forget_bias": 1.0,
    "truncate": 0,
    "norm_position": "pre",
    "heads": 4,
    "causal": False,
    "residual_init": "plain",
    "optimizer": "sgd",
    "lr": 0.05,
    "warmup": 0,
    "momentum": 0.0,
    "weight_decay": 0.0,
    "batch_size": 32,
    "accumulation": "none",
    "accumulation_steps": 4,
    "carry_over": "none",
    "clip": "none",
    "clip_threshold": 1.0,
    "clip_order": "after",
    "nonfinite": "stop",
    "weight_seed": 0,
    "data_seed": 0,
    "batch_seed": 0,
    "dtype": "float32",
    "precision": "full",
    "loss_scale": 1.0,
}
CHOICES = {
    "dataset": DATASETS,
    "architecture": ARCHITECTURES,
    "activation": ACTIVATIONS,
    "norm": NORMS,
    "init": INITS,
    "recurrent_init": INITS,
    "norm_position": ("pre", "post"),
    "residual_init": ("plain", "scaled", "zero"),
    "optimizer": OPTIMIZERS,
    "accumulation": ACCUMULATIONS,
    "carry_over": CARRY_OVERS,
    "clip": CLIPS,
    "clip_order": ("after", "each_micro_batch"),
    "nonfinite": ("stop", "skip", "continue"),
    "dtype": ("float32", "float64"),
    "precision": ("full", "float16", "bfloat16"),
}
WHOLE = {
    "n_samples": "a whole number >= 2 and <= 1000000",
    "sequence_length": "a whole number >= 1 and <= 10000",
    "truncate": "a whole number >= 0 and <= 10000",
    "heads": "a whole number >= 1 and <= 8192",
    "warmup": "a whole number >= 0 and <= 1000000",
    "depth": "a whole number >= 0 and <= 1000",
    "width": "a whole number >= 1 and <= 8192",
    "batch_size": "a whole number >= 1 and <= 1000000",
    "accumulation_steps": "a whole number >= 1 and <= 4096",
    "weight_seed": f"a whole number >= 0 and <= {2**63 - 1}",
    "data_seed": f"a whole number >= 0 and <= {2**63 - 1}",
    "batch_seed": f"a whole number >= 0 and <= {2**63 - 1}",
}
REAL = {
    "noise": "a finite number >= 0",
    "holdout": "a finite number >= 0 and <= 0.9",
    "gain": "a finite number >= 0",
    "bias_std": "a finite number >= 0",
    "recurrent_gain": "a finite number >= 0",
    "lr": "a finite number >= 0",
    "momentum": "a finite number >= 0 and <= 1",
    "weight_decay": "a finite number >= 0",
    "clip_threshold": "a finite number > 0",
    "loss_scale": "a finite number >= 1e-38 and <= 1e+38 or 'dynamic'",
}
ANOTHER = {
    **{name: next(c for c in choices if c != DEFAULTS[name]) for name, choices in CHOICES.items()},
    **{name: DEFAULTS[name] + 3 for name in WHOLE},
    **dict.fromkeys(REAL, 0.25),
    "residual": True,
    "causal": True,
    "forget_bias": -2.5,
}
LIVE = {
    "lr",
    "warmup",
    "momentum",
    "weight_decay",
    "batch_size",
    "accumulation",
    "accumulation_steps",
    "carry_over",
    "clip",
    "clip_threshold",
    "clip_order",
    "nonfinite",
    "loss_scale",
}


def test_the_fields_and_defaults_are_those_of_the_contract():
    assert Config().to_dict() == DEFAULTS
    assert set(CHOICES) | set(WHOLE) | set(REAL) | {"residual", "causal", "forget_bias"} == set(DEFAULTS)


def refused(field, value):
    with pytest.raises(ValueError) as caught:
        Config(**{field: value})
    return str(caught.value)


@pytest.mark.parametrize("field", DEFAULTS)
def test_what_a_field_does_not_accept_is_refused_with_field_value_and_what_it_accepts(field):
    names = {name: f"one of {', '.join(choices)}" for name, choices in CHOICES.items()}
    truths = dict.fromkeys(("residual", "causal"), "True or False")
    accepted = WHOLE | REAL | names | truths | {"forget_bias": "a finite number"}
    for value in ("nrom", None, 1j):
        assert refused(field, value) == f"{field}={value!r}; expected {accepted[field]}"


@pytest.mark.parametrize(
    ("field", "inside", "outside"),
    [
        ("n_samples", 2, 1),
        ("depth", 0, -1),
        ("depth", 1000, 1001),
        ("width", 1, 0),
        ("batch_size", 1, 0),
        ("accumulation_steps", 1, 0),
        ("accumulation_steps", 4096, 4097),
        ("weight_seed", 2**63 - 1, 2**63),
        ("momentum", 1.0, 1.0000001),
        ("clip_threshold", 1e-300, 0.0),
        ("lr", 0.0, -1e-300),
    ],
)
def test_bounds_are_where_they_say(field, inside, outside):
    assert getattr(Config(**{field: inside}), field) == inside
    assert f"{field}={outside!r}" in refused(field, outside)


@pytest.mark.parametrize("lr", [0, 1e-12, 1e6, 1e37])
def test_what_is_meaningful_is_accepted_even_outside_the_slider(lr):
    assert Config(lr=lr).lr == lr


@pytest.mark.parametrize("field", CHOICES)
def test_every_entry_of_a_table_is_accepted(field):
    for name in CHOICES[field]:
        assert getattr(Config(**{field: name}), field) == name


def test_numpy_scalars_become_plain_python_values():
    config = Config(depth=np.int64(3), lr=np.float32(0.5), residual=np.bool_(True), clip=np.str_("agc"), gain=2)
    assert config == Config(depth=3, lr=0.5, residual=True, clip="agc", gain=2.0)
    assert [type(v) for v in (config.depth, config.lr, config.residual, config.clip, config.gain)] == [
        int,
        float,
        bool,
        str,
        float,
    ]
    assert Config.from_json(config.to_json()) == config


def test_an_unknown_field_is_refused_with_the_fields_there_are():
    with pytest.raises(TypeError):
        Config(dept=3)
    for make in (
        Config().replace,
        lambda **kw: Config.from_dict(kw),
        lambda **kw: Trainer(Config()).reconfigure(**kw),
    ):
        with pytest.raises(
            ValueError, match="dept=3: no such field; expected one of dataset, n_samples, noise, depth"
        ):
            make(dept=3)


def test_the_fields_are_keyword_only_and_frozen():
    with pytest.raises(TypeError):
        Config("moons")
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().lr = 1.0


@pytest.mark.parametrize("field", DEFAULTS)
def test_a_config_survives_dict_json_pickle_and_repr(field):
    config = Config(**{field: ANOTHER[field]})
    assert config != Config()
    assert Config.from_dict(config.to_dict()) == config
    assert Config.from_dict({field: ANOTHER[field]}) == config
    assert Config.from_json(config.to_json()) == config
    assert json.loads(config.to_json()) == {**DEFAULTS, field: ANOTHER[field]}
    assert pickle.loads(pickle.dumps(config)) == config
    assert repr(config) == f"Config({field}={ANOTHER[field]!r})"
    assert eval(repr(config), {"Config": Config}) == config


@pytest.mark.parametrize("field", DEFAULTS)
def test_equal_configs_have_equal_hashes_and_serve_as_keys(field):
    config, twin = Config(**{field: ANOTHER[field]}), Config().replace(**{field: ANOTHER[field]})
    assert config == twin
    assert hash(config) == hash(twin)
    assert {config: 1, Config(): 2}[twin] == 1
    assert Config().differences(config) == {field: (DEFAULTS[field], ANOTHER[field])}


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "3", "null", '"lr"', None, 5, "{'lr': 1}"])
def test_text_that_is_no_json_object_is_refused(text):
    with pytest.raises(ValueError, match=r"Config\.from_(json|dict): .*expected a (JSON object|mapping)"):
        Config.from_json(text)


def test_json_values_are_validated_like_any_other():
    with pytest.raises(ValueError, match=r"depth=2\.5; expected a whole number"):
        Config.from_json('{"depth": 2.5}')
    with pytest.raises(ValueError, match="lr=nan; expected a finite number >= 0"):
        Config.from_json('{"lr": NaN}')


def test_fields_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match=r"batch_size=1 with norm='batch'; expected a batch_size >= 2"):
        Config(norm="batch", batch_size=1)
    with pytest.raises(ValueError, match=r"width=8192 with depth=1000 makes 6\.7e\+10 weights; .* at most 2e\+08"):
        Config(width=8192, depth=1000)


@pytest.mark.parametrize("field", DEFAULTS)
def test_every_field_has_a_label_a_help_text_and_a_default_within_its_own_slider(field):
    knob = Config.knobs()[field]
    assert knob.label
    assert knob.help
    assert knob.live == (field in LIVE)
    if knob.slider:
        low, high, scale = knob.slider
        assert low <= DEFAULTS[field] <= high
        assert scale in ("log", "linear", "powers")
        assert scale == "linear" or low > 0
        Config(**{field: type(DEFAULTS[field])(low)})
        Config(**{field: type(DEFAULTS[field])(high)})


@pytest.mark.parametrize("field", sorted(set(DEFAULTS) - LIVE))
def test_a_field_that_needs_a_restart_is_refused_by_a_running_trainer(field):
    trainer = Trainer(Config(depth=1))
    value = "circles" if field == "dataset" else ANOTHER[field] + 7 if field == "depth" else ANOTHER[field]
    with pytest.raises(
        ValueError, match=f"{field}=.* needs a new Trainer.*expected one of the live knobs lr, momentum"
    ):
        trainer.reconfigure(**{field: value})
    assert trainer.config == Config(depth=1)


@pytest.mark.parametrize("config", [None, 3, "moons", {"lr": 0.1}])
def test_a_trainer_takes_a_config_only(config):
    if config is None:
        assert Trainer(config).config == Config()
    else:
        with pytest.raises(ValueError, match=r"config=.*expected a Config"):
            Trainer(config)


def test_the_keywords_that_an_editor_completes_are_the_fields_of_a_config_with_their_types():
    fields = {field.name: field.type for field in dataclasses.fields(Config)}
    typed = {name: hint.__forward_arg__ for name, hint in Knobs.__annotations__.items()}
    assert typed.pop("optimizer").startswith(fields.pop("optimizer"))  # a panel takes a callable, too
    assert typed == fields
