"""`Exercise`: a broken network, its rules, and a check that nobody passes by a trick and that says what is missed."""

from __future__ import annotations

import html
import inspect
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from gradlab.config import SEEDS, Config
from gradlab.engine import Trainer
from gradlab.engine.check import prepare_data
from gradlab.exercise.result import Result, Run, train
from gradlab.exercise.tasks import AT_INIT, EXERCISES, Setup, check_seeds
from gradlab.growth import times
from gradlab.locale import Text
from gradlab.network import ARCHITECTURES
from gradlab.registry import Registry, brief


class Exercise:
    """A broken network to be repaired; made by ``exercise(name)``, which says what it takes.

    Attributes
    ----------
    name, lang : str
        Its name in `EXERCISES`, and the language it speaks.
    setup : Setup
        The rules.
    config : Config
        The broken start.
    title : str
        A few words for a heading or a menu.
    """

    def __init__(self, name: str, lang: str = "en") -> None:
        self._entry, self._say = EXERCISES[name], Say(lang)
        self.name, self.lang = name, lang
        self.setup: Setup = self._entry()
        self.config = self.setup.config
        self.title = self._say.of(f"{name}.title", self._entry.label)
        numbered = (self._say.of(f"{name}.hint.{n}") for n in range(1, 10))
        self._hints = [*filter(None, numbered)] or list(self._entry.options.get("hints", ()))

    # ------------------------------------------------------------------ reading
    @property
    def rules(self) -> tuple[str, ...]:
        """A line each on what may be changed, how many changes, and what the check asks for."""
        say, setup = self._say, self.setup
        found = [say("rule.may", fields=say.listed(setup.may))]
        found += [say("rule.only", field=name, values=say.either(values)) for name, values in setup.only.items()]
        if setup.most_changes is not None:
            found.append(say("rule.most", most=say("fields", n=setup.most_changes)))
        goals = [say(f"goal.{goal.measure}", limit=f"{goal.limit:g}") for goal in setup.goals]
        counts = {"steps": setup.steps, "seeds": len(setup.seeds), "needed": setup.needed}
        return (*found, say("rule.check", **counts, goals=say("semicolon").join(goals)))

    @property
    def task(self) -> str:
        """The task in words, the rules below it, a line each."""
        own = self._say.of(f"{self.name}.task", inspect.getdoc(self._entry.function) or self._entry.summary)
        return "\n".join([own, *(f"- {rule}" for rule in self.rules)])

    @property
    def hints(self) -> int:
        """How many hints there are."""
        return len(self._hints)

    def hint(self, n: int = 1) -> str:
        """Return hint number `n`, 1 the gentlest; raise ValueError if there is no such hint."""
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= self.hints:
            raise ValueError(f"hint={brief(n)}; expected a whole number from 1 to {self.hints}")
        return self._hints[n - 1]

    # ------------------------------------------------------------------ checking
    def check(self, attempt: Any = None, *, seeds: Any = None, **knobs: Any) -> Result:
        """Train an attempt from several seeds, headless, and say whether it passes and what is still wrong.

        It ends with the seed that decides, whatever the others would do.

        Parameters
        ----------
        attempt : Config or Trainer or GradLab, optional
            Whose config is checked; default the broken start. Only the config counts, trained anew from
            step 0: weights already trained, steps already taken and the config's seeds do not.
        seeds : list of int, optional
            Instead of the exercise's own, e.g. seeds that a grader keeps to itself.
        **knobs
            Changes to it: ``check(gain=1.0, norm="layer")``.

        Returns
        -------
        Result
            True if passed. Where a rule is broken nothing is trained, and `Result.problems` says which.

        Raises
        ------
        ValueError
            If `attempt` is nothing that has a config, a knob or its value is not accepted, or seeds are not
            different whole numbers.
        """
        seeds = self.setup.seeds if seeds is None else check_seeds(seeds)
        config, trainer = attempted(attempt, self.config)
        config = config.replace(**knobs)
        problems = refusals(self.setup, config, trainer, self._say)
        if problems:
            return self._result("refused", config, problems, (), seeds)
        runs, reached, needed = [], 0, self.setup.needed_of(len(seeds))
        try:
            for seed in seeds:
                runs.append(train(config, seed, self.setup.steps))
                reached = sum(map(self.setup.reached_by, runs))
                if reached >= needed or len(runs) - reached > len(seeds) - needed:  # the others cannot change it
                    break
        except ValueError as error:
            return self._result("failed", config, [self._say("failed.error", error=error)], (), seeds)
        problems = [] if reached >= needed else misses(self.setup, config, runs, self._say)
        if problems and trainer is not None and trainer.step_count > self.setup.steps:
            problems.append(self._say("note.steps", taken=trainer.step_count, steps=self.setup.steps))
        return self._result("failed" if problems else "passed", config, problems, tuple(runs), seeds)

    def _result(
        self, verdict: str, config: Config, problems: list[str], runs: tuple[Run, ...], seeds: tuple[int, ...]
    ) -> Result:
        say, changes, needed = self._say, changes_of(self.setup, config), self.setup.needed_of(len(seeds))
        verdict += "_most" * (verdict == "passed" and needed < len(seeds))
        said = [say(verdict, seeds=say.seeds(seeds), needed=needed), *problems]
        if not problems:
            changed = say.listed(f"{name} {there!r} -> {here!r}" for name, (there, here) in changes.items())
            said.append(say("changes", changes=changed))
        elif not changes:
            said.append(say("unchanged"))
        return Result(self.name, not problems, say("between").join(said), tuple(problems), changes, runs, self.lang)

    # ------------------------------------------------------------------ showing
    def __reduce__(self) -> Any:
        return exercise, (self.name, self.lang)

    def __repr__(self) -> str:
        return f"Exercise({self.name}: {self.title})"

    def _repr_html_(self) -> str:
        """The task for a notebook, in its own colours."""
        first, *rules = map(html.escape, self.task.split("\n- "))
        items = "".join(f"<li>{rule}</li>" for rule in rules)
        return f'<div lang="{self.lang}"><b>{html.escape(self.title)}</b><p>{first}</p><ul>{items}</ul></div>'


def exercise(name: str, lang: str = "en") -> Exercise:
    """Return an exercise: a broken network, a task, hints, and a check.

    Parameters
    ----------
    name : str
        A name from `EXERCISES`, e.g. ``"rescue-30"``.
    lang : str, default "en"
        ``"en"`` or ``"zh"``.

    Raises
    ------
    ValueError
        If the name or the language is unknown; the message lists what there is.
    """
    return Exercise(name, lang)


# ---------------------------------------------------------------------- words, and what an attempt breaks
class Say:
    """The words of an exercise in one language."""

    def __init__(self, lang: str) -> None:
        self._text = Text(lang)

    def __call__(self, key: str, **values: object) -> str:
        """Return the string ``exercise.KEY`` with `values` filled in."""
        return self._text(f"exercise.{key}", **values)

    def of(self, key: str, own: str = "") -> str:
        """Return the string of one of gradlab's own exercises as it is; `own` if there is none."""
        return self._text.name(f"exercise.{key}", own)

    def listed(self, words: Iterable[Any]) -> str:
        """Join words by commas."""
        return self("comma").join(map(str, words))

    def either(self, values: Iterable[Any]) -> str:
        """Join values, quoted as in code, by commas and a last "or"."""
        *most, last = map(repr, values)
        return self("or").join([self.listed(most), last] if most else [last])

    def seeds(self, seeds: Sequence[int]) -> str:
        """Name seeds."""
        return self("seed" if len(seeds) == 1 else "seeds", seeds=self.listed(seeds))


def attempted(attempt: Any, start: Config) -> tuple[Config, Trainer | None]:
    """Return the config of an attempt, and its trainer where it has one; raise ValueError if it has no config."""
    if attempt is None:
        return start, None
    config = attempt if isinstance(attempt, Config) else getattr(attempt, "config", None)
    if not isinstance(config, Config):
        raise ValueError(f"check: {brief(attempt)}; expected a Config, a Trainer, a GradLab, or changes (gain=1.0)")
    trainer = attempt if isinstance(attempt, Trainer) else getattr(attempt, "trainer", None)
    plain = Config.from_dict({name: getattr(config, name) for name in Config.knobs()})  # no subclass with a will
    return plain, trainer if isinstance(trainer, Trainer) else None


def changes_of(setup: Setup, config: Config) -> dict[str, tuple[Any, Any]]:
    """Return the fields that differ from the start, name -> (there, here); seeds are none, as the check sets them."""
    found = setup.config.differences(config)
    return {name: pair for name, pair in found.items() if name not in SEEDS}


def refusals(setup: Setup, config: Config, trainer: Trainer | None, say: Say) -> list[str]:
    """Say which rules an attempt breaks."""
    changes, fields = changes_of(setup, config), Config.knobs()
    found = [
        say("refused.field", field=name, value=repr(here), start=repr(there))
        for name, (there, here) in changes.items()
        if name not in setup.may
    ]
    for name, values in setup.only.items():
        if (here := getattr(config, name)) not in values:
            found.append(say("refused.only", field=name, value=repr(here), values=say.either(values)))
    for name, (_, here) in changes.items():  # a name registered in a cell could stand for trained weights
        choices = fields[name].choices
        if isinstance(choices, Registry) and not choices[here].shipped:
            found.append(say("refused.own_entry", field=name, value=repr(here)))
    if setup.most_changes is not None and len(changes) > setup.most_changes:
        found.append(say("refused.most", fields=say.listed(changes), most=say("fields", n=setup.most_changes)))
    return found if trainer is None else [*found, *_own_parts(trainer, say)]


def _own_parts(trainer: Trainer, say: Say) -> Iterator[str]:
    made, mine = prepare_data(trainer.config, None, None), trainer.data
    shape = (made.x.shape[1:], made.output_shape)
    if type(trainer.network) is not type(ARCHITECTURES[trainer.config.architecture](trainer.config, *shape)):
        yield say("refused.own_network")
    if not (torch.equal(made.x, mine.x) and torch.equal(made.y, mine.y) and made.loss is mine.loss):
        yield say("refused.own_data")


# ---------------------------------------------------------------------- what an attempt misses
_APART = 30.0  # finite width alone spreads 30 sound layers of 32 units by a factor of about 10
_THROUGH_TIME = 2.0  # decades
_ALL_DEAD = 0.95
_STILL = 1e-4  # a largest update / weight ratio below this is no training; 1e-3 is usual


def misses(setup: Setup, config: Config, runs: Sequence[Run], say: Say) -> list[str]:
    """Say which goals are missed on which seeds, and what the cause looks like."""
    lost = [run for run in runs if run.diverged]
    found = [say("miss.diverged", seeds=say.seeds([run.seed for run in lost]))] if lost else []
    for goal in setup.goals:
        judged = [run for run in runs if goal.measure in AT_INIT or not run.diverged]
        failing = [run.seed for run in judged if not goal.met(getattr(run, goal.measure))]
        if failing:
            limit, steps = f"{goal.limit:g}", setup.steps
            found.append(say(f"miss.{goal.measure}", limit=limit, steps=steps, seeds=say.seeds(failing)))
    of_loss = [goal for goal in setup.goals if goal.measure == "loss"]
    failing = [run for run in runs if run.diverged or not all(goal.met(run.loss) for goal in of_loss)]
    return [*found, _cause(config, failing[0], say)] if failing else found


def _cause(config: Config, run: Run, say: Say) -> str:
    """Say what a run that diverged or did not learn shows; the rates are of step 0, the same on every machine."""
    if config.lr == 0:
        return say("why.lr_zero")
    if abs(run.time) >= _THROUGH_TIME:
        return say("why.time", factor=times(run.time))
    if run.spread > _APART or run.rate == 0:
        return say("why.rate", rate=f"{run.rate:.3g}") if 0 < run.rate < float("inf") else say("why.silent")
    if run.diverged:
        return say("why.long")
    if run.dead > _ALL_DEAD:
        return say("why.dead")
    return say("why.short" if run.update_ratio < _STILL else "why.slow")
