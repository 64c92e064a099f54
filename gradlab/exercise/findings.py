"""What is still wrong in the runs of a check, in words."""

from __future__ import annotations

from collections.abc import Sequence

from gradlab.config import Config
from gradlab.exercise.run import Run
from gradlab.exercise.setup import AT_INIT, Goal, Setup
from gradlab.exercise.text import Say

_APART = 30.0  # finite width alone spreads 30 sound layers of 32 units by a factor of about 10
_ALL_DEAD = 0.95
_STILL = 1e-4  # a largest update / weight ratio below this is no training; 1e-3 is usual


def misses(setup: Setup, config: Config, runs: Sequence[Run], say: Say) -> list[str]:
    """Say which goals are missed on which seeds, and what the cause looks like; nothing if all are reached."""
    lost = [run for run in runs if run.diverged]
    found = [say("miss.diverged", seeds=say.seeds([run.seed for run in lost]))] if lost else []
    for goal in setup.goals:
        failing = [run.seed for run in _judged(goal, runs) if not goal.met(getattr(run, goal.measure))]
        if failing:
            limit, steps = f"{goal.limit:g}", setup.steps
            found.append(say(f"miss.{goal.measure}", limit=limit, steps=steps, seeds=say.seeds(failing)))
    return [*found, *_causes(config, _failing(setup, runs), say)] if found else []


def _judged(goal: Goal, runs: Sequence[Run]) -> list[Run]:
    """A run that diverged is judged only by what was known before."""
    return [run for run in runs if goal.measure in AT_INIT or not run.diverged]


def _failing(setup: Setup, runs: Sequence[Run]) -> list[Run]:
    """Return the runs that diverged or did not learn."""
    of_loss = [goal for goal in setup.goals if goal.measure == "loss"]
    return [run for run in runs if run.diverged or not all(goal.met(run.loss) for goal in of_loss)]


def _causes(config: Config, failing: Sequence[Run], say: Say) -> list[str]:
    """Say once what the first of the failing runs shows; the rates are of step 0, the same on every machine."""
    if not failing:
        return []
    run = failing[0]
    if config.lr == 0:
        return [say("why.lr_zero")]
    if run.spread > _APART or run.rate == 0:
        return [_of_the_start(run, say)]
    if run.diverged:
        return [say("why.long")]
    if run.dead > _ALL_DEAD:
        return [say("why.dead")]
    return [say("why.short" if run.update_ratio < _STILL else "why.slow")]


def _of_the_start(run: Run, say: Say) -> str:
    if not 0 < run.rate < float("inf"):
        return say("why.silent")
    return say("why.rate", rate=f"{run.rate:.3g}")
