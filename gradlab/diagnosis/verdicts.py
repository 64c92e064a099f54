"""`diagnose` and `verdict`: from the numbers of a history to words, with their evidence and a next experiment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from gradlab.config import Config
from gradlab.diagnosis.causes import FEWEST, PLATEAU, cause, judge, suggest
from gradlab.diagnosis.evidence import SEVERE, Findings, describes, find
from gradlab.engine.check import check_count, check_number
from gradlab.growth import FEWEST as FEWEST_LAYERS
from gradlab.growth import number_words, times
from gradlab.history import History
from gradlab.locale import STRINGS, Text
from gradlab.registry import brief
from gradlab.theory import floor_depth, predict

KINDS = (
    *("exploding", "vanishing", "dead", "saturated", "step_too_large", "clipped_always", "uncleared"),
    *("underflow", "overflow", "stuck", "healthy", "diverged", "unsure"),
)
Tone = Literal["good", "bad", "unknown"]


@dataclass(frozen=True)
class Diagnosis:
    """What is happening in a run, why one can say so, and what to try.

    Attributes
    ----------
    kind : str
        One of ``KINDS``; ``"unsure"`` where the numbers do not decide.
    sentence : str
        The verdict in one sentence; without a config it ends with the line of PyTorch to change.
    evidence : Mapping of str to float
        The numbers it rests on, named as in `gradlab.diagnosis.evidence.Findings`.
    suggestion : Mapping of str to value
        A next experiment, for ``config.replace(**suggestion)``; empty if there is none, or no config.
    key : str
        Which sentence it is, the same in every language.
    """

    kind: str
    sentence: str
    evidence: Mapping[str, float]
    suggestion: Mapping[str, Any]
    key: str

    def __post_init__(self) -> None:
        for name in ("evidence", "suggestion"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def __reduce__(self) -> Any:  # a mappingproxy can be neither copied nor pickled
        return Diagnosis, (self.kind, self.sentence, dict(self.evidence), dict(self.suggestion), self.key)

    def __repr__(self) -> str:
        return f"Diagnosis({self.kind}: {self.sentence})"


@dataclass(frozen=True)
class Verdict:
    """What a glance should tell of a run: the backward signal at step 0, and how things stand now."""

    kind: str  # as of a `Diagnosis`
    headline: str  # a few words, such as ``"EXPLODING x95"``, ``"LEVEL x0.64"``, ``"AT CHANCE"``, ``"NOT SEEN"``
    # a sentence each: what was at step 0, and what is now
    start: str
    now: str
    tone: Tone  # ``"good"``, ``"bad"`` or ``"unknown"``
    key: str  # which sentence a `Diagnosis` says, the same in every language

    @property
    def line(self) -> str:
        """Both sentences in one line."""
        return f"{self.start} {self.now}".strip()


def diagnose(
    history: History,
    config: Config | None = None,
    *,
    chance_loss: float | None = None,
    num_classes: int | None = None,
    lang: str = "en",
) -> Diagnosis:
    """Say what is happening in a run.

    The profile of the backward signal decides whether a gradient explodes or vanishes, not that of the weight
    gradients, which is flat in a ReLU net of any gain; and whether a run learns is decided by its loss against
    guessing, not by its being finite. Where something was not seen, the sentence says what is missing.

    Parameters
    ----------
    history : History
        From a `Trainer`, or from `watch`.
    config : Config, optional
        The knobs of the run: without them the spread by finite width is unknown, and the sentence names the line of
        PyTorch to change instead of a knob.
    chance_loss : float, optional
        The loss of guessing. Default: what a `Trainer` knows of its data.
    num_classes : int, optional
        Classes of a cross-entropy, for a `chance_loss` of ln(classes).
    lang : str, default "en"
        Language of the sentence.

    Returns
    -------
    Diagnosis
        Frozen.

    Raises
    ------
    ValueError
        If `history` is no History, `config` no Config, a number is not accepted or the language is unknown.
    """
    text = Text(lang)
    chance = _check(history, config, chance_loss, num_classes)
    history = history.of_weights()
    if len(history) == 0:
        sentence = text("diagnosis.unsure_short", steps=0)
        return Diagnosis("unsure", sentence, {}, {}, "unsure_short")
    found = find(history, config, chance)
    own_network = not describes(config, history)
    key = judge(found)
    words = _words(history, found, text)
    words["cause"] = text(f"diagnosis.cause.{cause(None if own_network else config, found)}", **words)
    clauses = [text(f"diagnosis.{key}", **words)]
    if key == "underflow" and config is not None and 0 < (floor := floor_depth(config)) < config.depth:
        crossed = {"layers": f"{floor:.0f}", "chi": f"{predict(config).chi:.3g}"}
        clauses.append(text("diagnosis.floor", **words | crossed))
    if 0 < found.blind < 1:
        clauses.append(text("diagnosis.advice.blind", **words))
    untimed = [text.say(mark.text) for mark in history.marks if mark.kind == "untimed"]
    clauses += [text("diagnosis.advice.untimed", why=why) for why in untimed[:1]]
    if config is None and (advice := _advice(key, found)):
        clauses.append(text(f"diagnosis.advice.{advice}", **words))
    traced = [text.say(mark.text) for mark in history.marks if mark.kind == "traced"]
    stop, join = (".", "; ") if lang == "en" else ("。", "；")
    sentence = " ".join([join.join(clause.removesuffix(stop) for clause in clauses) + stop, *traced])
    return Diagnosis(
        kind=_kind(key),
        sentence=sentence,
        evidence=found.evidence(),
        suggestion=suggest(key, config, found, own_network),
        key=key,
    )


def verdict(
    history: History,
    config: Config | None = None,
    *,
    chance_loss: float | None = None,
    num_classes: int | None = None,
    lang: str = "en",
) -> Verdict:
    """Say in a headline and two short sentences how a run began and how it stands.

    Rests on the same numbers and rules as `diagnose`, and takes the same parameters; as cheap after a million steps
    as after fifty.
    """
    text = Text(lang)
    chance = _check(history, config, chance_loss, num_classes)
    history = history.of_weights()
    if len(history) == 0:
        return Verdict("unsure", "", text("verdict.start.none"), "", "unknown", "unsure_short")
    f = find(history, config, chance)
    key, words = judge(f), _words(history, f, text)
    start = _start(key, f, len(history.layer_names))
    return Verdict(
        kind=_kind(key),
        headline=text(f"verdict.headline.{_headline(key, f)}", **words | {"total": times(_shown(key, f))}),
        start=text(f"verdict.{start}", **words | {"total": times(f.decades_start)}),
        now=_now(key, f, text, words),
        tone=_tone(key, f),
        key=key,
    )


_ADVICE = {
    "signal": "exploding exploding_hidden exploding_survived diverged_exploding vanishing saturated_start",
    "step": "exploding_by_now vanishing_by_now diverged_step diverged_skipped diverged_unseen step_too_large "
    "dead_by_step saturated",
    "time": "vanishing_time saturated_gates",
    "clip": "exploding_time diverged_time",
    "window": "vanishing_truncated",
    "scale": "diverged_scale unsure_far stuck_scale",
    "dead": "dead dead_start",
    "silent": "dead_silent stuck_silent",
    "stop": "dead_stop",
    "cut": "dead_cut",
    "emptied": "stuck_emptied",
    "schedule": "stuck_decayed",
    "data": "diverged_data",
    "clear": "diverged_uncleared uncleared",
    "stuck": "stuck stuck_chance",
    "threshold": "clipped_always",
    "larger": "stuck_step",
    "scaler": "underflow overflow",
    "range": "overflow_forward",
    "init": "stuck_zero_weights",
    "unseen": "unsure_unseen",
    "chance": "unsure_chance",
}
"""What to change in a loop of one's own: the advice, and the keys of the verdicts that it is for."""


def _advice(key: str, f: Findings) -> str | None:
    advice = next((advice for advice, keys in _ADVICE.items() if key in keys.split()), None)
    return "all" if advice == "signal" and not f.outstanding else advice


def _check(history: Any, config: Any, chance_loss: Any, num_classes: Any) -> float:
    """Return the loss of guessing, nan if nobody said it."""
    if not isinstance(history, History):
        raise ValueError(f"history={brief(history)}; expected a History (Trainer.history, or what watch gives)")
    if config is not None and not isinstance(config, Config):
        raise ValueError(f"config={brief(config)}; expected a Config or None")
    if chance_loss is not None:
        return check_number("chance_loss", chance_loss, 0)
    if num_classes is None:
        return math.nan
    check_count("num_classes", num_classes, 2)
    return math.log(num_classes)


def _kind(key: str) -> str:
    return next((kind for kind in KINDS if key.startswith(kind)), "unsure")


def _tone(key: str, f: Findings) -> Tone:
    if key.startswith("healthy") or (f.learned and (key.endswith("survived") or key == "clipped_always")):
        return "good"
    return "unknown" if _kind(key) == "unsure" else "bad"


def _headline(key: str, f: Findings) -> str:
    for known in (key, _kind(key)):
        if f"verdict.headline.{known}" in STRINGS["en"] and not (_kind(key) == "stuck" and _at_chance(f)):
            return known
    if key == "unsure_unseen":
        return "unseen"
    if _at_chance(f) and f.steps >= PLATEAU:
        return "at_chance"
    if f.layers >= FEWEST_LAYERS:
        return "level" if key.startswith("healthy") or abs(_shown(key, f)) < SEVERE else "unclear"
    return "none" if math.isnan(f.through_time) else "through_time"


def _at_chance(f: Findings) -> bool:
    return 0.9 * f.reference <= f.loss_now <= 1.1 * f.chance


def _shown(key: str, f: Findings) -> float:
    """Return the decades that a headline names: those now where training made them, or keeps the network level."""
    now = key.endswith("by_now") or (key.startswith(("healthy", "unsure")) and not math.isnan(f.decades_now))
    return f.decades_now if now else f.decades_start


def _start(key: str, f: Findings, layers: int = 0) -> str:
    if not math.isnan(f.through_time) and (f.layers < FEWEST_LAYERS or key.endswith(("_time", "_truncated"))):
        return "start.time"
    if f.layers >= 2:
        return "start"
    if math.isnan(f.output_signal):
        return "start.unseen"
    return "start.odd" if layers > FEWEST_LAYERS else "start.shallow"


def _now(key: str, f: Findings, text: Text, words: Mapping[str, str]) -> str:
    if key.startswith("diverged") and words["where"]:
        return text("verdict.now.diverged", **words)
    which = "loss" if math.isnan(f.decades_now) or _start(key, f) == "start.time" else "signal"
    state = text(f"verdict.state.{_state(key, f)}")
    return text(f"verdict.now.{which}", **words, total=times(f.decades_now), state=state)


def _state(key: str, f: Findings) -> str:
    """Return how learning stands."""
    if f.steps < FEWEST:
        return "early"
    if f.learned:
        if not key.endswith("survived"):
            return "learned"
        calmer = abs(f.decades_now) < 0.7 * abs(f.decades_start)
        return "in_spite" if not calmer else "tamed" if key.startswith("exploding") else "opened"
    if f.falling:
        return "falling"
    if math.isnan(f.chance):
        return "unknown" if key.startswith("unsure") else "not"
    if _at_chance(f):
        return "chance" if f.steps >= PLATEAU else "early"
    return "far" if f.loss_now > 10 * f.chance else "not"


_SHARES = "gates dead silent blind saturated underflow subnormal overflow clipped_share lost_share"


def _words(history: History, f: Findings, text: Text) -> dict[str, str]:
    """Write the numbers as a person would say them, each by its name in `Findings`, and what follows from them."""
    words = {name: number_words(v) if isinstance(v, float) else str(v) for name, v in vars(f).items()}
    words |= {name: f"{100 * getattr(f, name):.0f} %" for name in _SHARES.split()}
    layers = {"first": 1, "steepest": f.steepest, "stopped": f.stopped, "fed": f.stopped + 1, "dead": f.dead_layer}
    layers |= {"silent": f.silent_layer, "cut": f.cut_off, "after": f.cut_off + 1, "underflow": f.underflow_layer}
    words |= {f"{which}_name": _name(history, number, text) for which, number in layers.items()}
    words |= {f"{which}_quoted": _quoted(history, number) for which, number in layers.items()}
    return words | {
        "rate": f"{f.rate:.3g}",
        "factor": times(f.decades_start),
        "decades": _decades(f.decades_start),
        "decades_now": _decades(f.decades_now),
        "spread": times(abs(f.decades_start if math.isnan(f.decades_now) else f.decades_now)),
        "time": _decades(f.through_time),
        "time_total": times(f.through_time),
        "chance_loss": words["chance"],
        "chance": "" if math.isnan(f.chance) else text("verdict.chance", chance=words["chance"]),
        "threshold": number_words(2 / f.clip_coef) if f.clip_coef > 0 else "10",
        "format": history.precision,
        "scale": f"{f.loss_scale:.0f}" if f.loss_scale >= 1 else f"{f.loss_scale:g}",
        "where": _where(history, text),
    }


def _where(history: History, text: Text) -> str:
    diverged = history.diverged
    if diverged is None:
        return ""
    layer = _name(history, diverged.layer or 0, text)
    return text(f"diagnosis.where.{diverged.tensor}", step=diverged.step, layer=layer)


def _name(history: History, number: int, text: Text) -> str:
    """Return ``layer 3``, with its name in a network of one's own."""
    own = history.layer_names[number - 1] if 0 < number <= len(history.layer_names) else ""
    key = "layer" if own in ("", f"layer {number}") else "named"
    return text(f"verdict.{key}", number=number, name=own)


def _quoted(history: History, number: int) -> str:
    names = history.layer_names
    return repr(names[number - 1] if 0 < number <= len(names) else names[0] if names else "")


def _decades(value: float) -> str:
    return f"{abs(value):.1f}"
