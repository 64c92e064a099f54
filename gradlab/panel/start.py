"""How a panel starts: the config that its arguments ask for, and the first trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradlab.config import Config
from gradlab.engine import Trainer
from gradlab.exercise import exercise as open_exercise
from gradlab.locale import Text
from gradlab.presets import PRESETS


def starting_config(
    config: Config | None, preset: str | None, exercise: str | None, knobs: Mapping[str, Any]
) -> Config:
    """Return the config that a panel's arguments ask for, or raise ValueError."""
    given = {"config": config, "preset": preset, "exercise": exercise}
    if len(named := [f"{name}={value!r}" for name, value in given.items() if value is not None]) > 1:
        raise ValueError(f"{' together with '.join(named)}; expected one of the two")
    if exercise is not None:
        return open_exercise(exercise).config.replace(**knobs)
    if config is not None and not isinstance(config, Config):
        raise ValueError(f"config={config!r:.60}; expected a Config (or knobs by name, as in GradLab(depth=30))")
    start = PRESETS[preset] if preset is not None else config or Config()
    return start.replace(**knobs)


def first_trainer(config: Config, own: Mapping[str, Any], preset: str | None) -> tuple[Trainer, Exception | None]:
    """Return the first trainer; a preset that cannot be trained says why over the default network."""
    try:
        return Trainer(config, **own), None
    except ValueError as error:
        if preset is None:
            raise
        return Trainer(Config()), error


def refuse_own(exercise: str | None, own: Mapping[str, Any], text: Text) -> None:
    """Raise ValueError if an exercise, which has its own network and data, is given others."""
    given = [name for name, value in own.items() if value is not None]
    if exercise is not None and given:
        raise ValueError(f"exercise={exercise!r} together with {', '.join(given)}; {text('task.own')}")


def without_effect(network: Any, data: Any) -> set[str]:
    """Return the knobs that an own network or own data leave without effect."""
    of_data = {"dataset", "n_samples", "noise"}
    of_network = {"depth", "width", "activation", "norm", "residual", "init", "gain", "bias_std"}
    return (of_network if network is not None else set()) | (of_data if data is not None else set())
