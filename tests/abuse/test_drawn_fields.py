"""Every field, given what hypothesis draws, from code, JSON and in a panel: taken as it is or refused by name."""

import dataclasses
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import LONGEST, in_time

from gradlab import Config, GradLab

FIELDS = [field.name for field in dataclasses.fields(Config)]
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANYTHING = st.recursive(
    PLAIN | st.binary(max_size=9), lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=5), of)
)
IN_JSON = st.recursive(PLAIN, lambda of: st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=5), of))
NAMES = {name: list(knob.choices) for name, knob in Config.knobs().items() if knob.choices}
each_field = pytest.mark.parametrize("field", FIELDS)
MANY = 60 if os.environ.get("GRADLAB_ABUSES") == "all" else 8
quick = settings(max_examples=MANY, deadline=None, derandomize=True, database=None)


def taken(make, field, value):
    """Return what `make` gives, or None if it refuses in a line that names the field and what is expected."""
    with in_time():
        try:
            return make()
        except ValueError as error:
            message = str(error)
            assert f"{field}=" in message, (value, message)
            assert "expected" in message, (value, message)
            assert "\n" not in message, message
            assert len(message) <= LONGEST, message
            return None


@each_field
@quick
@given(value=ANYTHING)
def test_from_code(field, value):
    config = taken(lambda: Config(**{field: value}), field, value)
    assert config is None or getattr(config, field) == value


@each_field
@quick
@given(value=IN_JSON)
def test_from_json(field, value):
    config = taken(lambda: Config.from_json(json.dumps({field: value})), field, value)
    assert config is None or Config.from_json(config.to_json()) == config


@pytest.fixture(scope="module")
def lab():
    panel = GradLab(n_samples=24, batch_size=12, depth=1, width=4)
    yield panel
    panel.close()


@each_field
@quick
@given(data=st.data())
def test_in_a_panel_which_trains_on(lab, field, data):
    """Small values, as networks are built of those that are accepted; they stay for the fields that follow."""
    small = st.integers(-2, 12) | st.floats(-1, 3) | st.booleans() | st.text(max_size=5) | st.none()
    value = data.draw(st.sampled_from(NAMES[field]) | small if field in NAMES else small)
    before, trainer = lab.config, lab.trainer
    with in_time():
        try:
            lab.set(**{field: value})
            message = ""
        except ValueError as error:
            message = str(error)
        if message:
            assert "expected" in message
            assert message in lab.alert
            assert (lab.config, lab.trainer) == (before, trainer)
        else:
            assert lab.config == before.replace(**{field: value})
        lab.step()
