"""`RULES`: what the numbers mean, in the order in which a lecturer would rule things out."""

from __future__ import annotations

import math
from collections.abc import Callable

from gradlab.diagnosis.findings import Findings

SEVERE = 1.5  # decades between the ends of the hidden layers that no finite-width luck explains
MILD = 1.0  # decades that matter if the network does not learn
YOUNG = 200  # steps during which the profile at step 0 still explains a run
FEWEST = 5  # steps before anything is said about the loss
_LEAP = 20.0  # times its start: a loss that no noise explains
PLATEAU = 50  # steps without progress that are called stuck
_ALL = 0.99  # a share that means: all of them
_MOST = 0.5

Rule = Callable[[Findings], str | None]


def nothing_starts(f: Findings) -> str | None:
    """Weights that are all 0 give no gradient to one another."""
    return "stuck_zero_weights" if f.zero_weights and not f.learned else None


def killed_at_birth(f: Findings) -> str | None:
    """A hidden layer that was 0 for every sample at step 0 lets nothing back."""
    return "dead_start" if f.dead_start >= _ALL and not f.learned else None


def killed(f: Findings) -> str | None:
    """A hidden layer that is 0 for every sample by now, in a network that did not vanish anyway."""
    if f.dead < _ALL or f.learned or _level(f) < 0:
        return None
    return "dead_by_step" if f.jumped or f.update_ratio_start > 0.1 else "dead"


def explodes(f: Findings) -> str | None:
    """The backward signal grows toward the input; weight gradients may not show it (Glorot & Bengio 2010)."""
    if _level(f) <= 0:
        return None
    if f.learned:
        return "exploding_survived"
    if f.decades_start < _needed(f):
        return "exploding_by_now"
    return "exploding_hidden" if abs(f.grad_decades_start) < _MOST * abs(f.decades_start) else "exploding"


def saturates_at_birth(f: Findings) -> str | None:
    """Units at the flat ends of a bounded activation, from the first step on."""
    return "saturated_start" if f.saturated_start >= _MOST and f.saturated >= _MOST else None


def vanishes(f: Findings) -> str | None:
    """The backward signal shrinks toward the input."""
    if _level(f) >= 0:
        return None
    if f.learned:
        return "vanishing_survived"
    return "vanishing" if f.decades_start <= -_needed(f) else "vanishing_by_now"


def overshoots(f: Findings) -> str | None:
    """The loss rises instead of falling; in the first steps only a leap of the loss says so."""
    start = max(f.loss_first, 0.0 if math.isnan(f.chance) else f.chance)
    if f.learned or (f.steps < FEWEST and not f.loss_max > _LEAP * start):
        return None
    rose = f.loss_now > 1.5 * start
    return "step_too_large" if rose or f.jumped else None


def saturates(f: Findings) -> str | None:
    """Units at the flat ends of a bounded activation by now."""
    return "saturated" if f.saturated >= _MOST and not f.learned else None


def clips_always(f: Findings) -> str | None:
    """Nearly every step is cut to a fraction: the threshold has taken the learning rate's place."""
    always = f.clipped_share >= 0.9 and f.clip_coef < _MOST and f.steps >= FEWEST
    return "clipped_always" if always else None


def stands_still(f: Findings) -> str | None:
    """Weights without a gradient, weights that do not move, or a loss that does not."""
    if f.steps < FEWEST or f.falling:
        return None
    if f.silent >= _MOST:
        return "stuck_silent"
    if f.update_ratio < 1e-6:
        return "stuck_step"
    same = abs(f.loss_now - f.loss_before) < 0.03 * abs(f.loss_before)
    return "stuck" if f.steps >= PLATEAU and same else None


def thrives(f: Findings) -> str | None:
    """The loss falls, below guessing."""
    if f.steps < FEWEST or not f.falling:
        return None
    if f.layers < 2:
        return "healthy_shallow"
    return "healthy" if f.learned else "healthy_so_far"


RULES: tuple[Rule, ...] = (
    nothing_starts,
    killed_at_birth,
    killed,
    explodes,
    saturates_at_birth,
    vanishes,
    overshoots,
    saturates,
    clips_always,
    stands_still,
    thrives,
)


def judge(f: Findings) -> str:
    """Return the key of the first rule that holds, ``"unsure"`` or ``"too_short"`` if none does."""
    found = (rule(f) for rule in RULES)
    return next((key for key in found if key is not None), "too_short" if f.steps < FEWEST else "unsure")


def _level(f: Findings) -> int:
    """Return 1 if the backward signal explodes, -1 if it vanishes, else 0.

    The profile at step 0 counts in a young run and in a network that does not learn, the profile by now in an
    older network that does not learn; the earlier one goes first, as the likelier cause of the other.
    """
    seen = [f.decades_start] * (f.steps <= YOUNG or not f.learned)
    seen += [f.decades_now] * (f.steps > YOUNG and not f.learned)
    for decades in seen:
        if abs(decades) >= _needed(f):
            return 1 if decades > 0 else -1
    return 0


def _needed(f: Findings) -> float:
    if math.isnan(f.spread):  # layers of unknown and unlike widths: only what cannot be a change of shape
        return 2.0 if f.layers >= 4 else math.inf
    return SEVERE if f.learned else min(SEVERE, max(MILD, 3 * f.spread))
