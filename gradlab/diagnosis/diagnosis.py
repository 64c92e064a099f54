"""`diagnose`: from the numbers of a history to one sentence, with its evidence and a next experiment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gradlab.config import Config
from gradlab.diagnosis.cures import cause, suggest
from gradlab.diagnosis.findings import Findings, describes, find
from gradlab.diagnosis.rules import MILD, judge
from gradlab.history import Divergence, History
from gradlab.locale.diagnosis import CAUSES, SENTENCES, WHERE

KINDS = (
    "exploding",
    "vanishing",
    "dead",
    "saturated",
    "step_too_large",
    "clipped_always",
    "stuck",
    "healthy",
    "diverged",
    "unsure",
)


@dataclass(frozen=True)
class Diagnosis:
    """What is happening in a run, why one can say so, and what to try.

    Attributes
    ----------
    kind : str
        One of ``KINDS``; ``"unsure"`` where the numbers do not decide.
    sentence : str
        The verdict in one sentence.
    evidence : Mapping of str to float
        The numbers it rests on, named as in `gradlab.diagnosis.findings.Findings`.
    suggestion : Mapping of str to value
        A next experiment, for ``config.replace(**suggestion)``; empty if there is none.
    key : str
        Which sentence it is, the same in every language.
    """

    kind: str
    sentence: str
    evidence: Mapping[str, float]
    suggestion: Mapping[str, Any]
    key: str

    def __repr__(self) -> str:
        return f"Diagnosis({self.kind}: {self.sentence})"


def diagnose(history: History, config: Config | None = None, lang: str = "en") -> Diagnosis:
    """Say what is happening in a run.

    The profile of the backward signal decides whether a gradient explodes or vanishes, not that of the weight
    gradients, which is flat in a ReLU net of any gain; and whether a run learns is decided by its loss against
    guessing, not by its being finite.

    Parameters
    ----------
    history : History
        From a `Trainer`, or from `watch`.
    config : Config, optional
        The knobs of the run: without them the spread by finite width and the loss of guessing are unknown, and
        nothing is suggested.
    lang : str, default "en"
        Language of the sentence.

    Returns
    -------
    Diagnosis
        Frozen.

    Raises
    ------
    ValueError
        If `history` is no History, `config` no Config, or the language is unknown.
    """
    if not isinstance(history, History):
        raise ValueError(f"history={history!r:.60}; expected a History (Trainer.history, or what watch gives)")
    if config is not None and not isinstance(config, Config):
        raise ValueError(f"config={config!r:.60}; expected a Config or None")
    if lang not in SENTENCES:
        raise ValueError(f"lang={lang!r}; expected one of {', '.join(SENTENCES)}")
    if len(history) == 0:
        return Diagnosis(
            "unsure", SENTENCES[lang]["too_short"].format(steps=0), _frozen({}), _frozen({}), "too_short"
        )
    found = find(history, config)
    own_network = not describes(config, history)
    key = _diverged(history, found) or judge(found)
    clauses = {
        "where": _where(history.diverged, lang),
        "cause": CAUSES[lang][cause(None if own_network else config, found)],
    }
    return Diagnosis(
        kind=next((kind for kind in KINDS if key.startswith(kind)), "unsure"),
        sentence=SENTENCES[lang][key].format(**_words(found), **clauses),
        evidence=_frozen(found.evidence()),
        suggestion=_frozen(suggest(key, config, found, own_network)),
        key=key,
    )


def _diverged(history: History, f: Findings) -> str | None:
    if history.diverged is not None:
        grew = f.decades_start >= max(MILD, 0.0 if math.isnan(f.spread) else 3 * f.spread) or f.loss_first >= 100
        return "diverged_exploding" if grew or not math.isfinite(f.loss_first) else "diverged_step"
    return "diverged_skipped" if f.lost_share >= 0.5 else None


def _where(diverged: Divergence | None, lang: str) -> str:
    if diverged is None:
        return ""
    return WHERE[lang][diverged.tensor].format(step=diverged.step, layer=diverged.layer)


def _words(f: Findings) -> dict[str, str]:
    """Write the numbers as a person would say them."""
    decades = 0.0 if math.isnan(f.decades_start) else f.decades_start
    lately = decades if math.isnan(f.decades_now) else f.decades_now
    return {
        "steps": str(f.steps),
        "layers": str(f.layers),
        "rate": _number(f.rate),
        "factor": _number(10.0 ** min(decades, 300.0)),
        "decades": f"{abs(decades):.1f}",
        "decades_now": f"{abs(f.decades_now):.1f}",
        "spread": _number(10.0 ** min(abs(lately), 300.0)),
        "loss_first": _number(f.loss_first),
        "loss_now": _number(f.loss_now),
        "loss_max": _number(f.loss_max),
        "dead": _share(f.dead),
        "dead_layer": str(f.dead_layer),
        "silent": _share(f.silent),
        "saturated": _share(f.saturated),
        "clipped": _share(f.clipped_share),
        "coef": _number(f.clip_coef),
        "ratio": _number(f.update_ratio),
        "lost": _share(f.lost_share),
    }


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1e5 else f"{value:.1e}"


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _frozen(values: dict[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(values)
