"""`Exercise`: a broken network, its rules, and a check that nobody passes by a trick."""

from __future__ import annotations

import html
import inspect
from typing import Any

from gradlab.config import Config
from gradlab.exercise.findings import Say, attempted, changes_of, misses, refusals
from gradlab.exercise.result import Result, Run, train
from gradlab.exercise.tasks import EXERCISES, Setup, check_seeds
from gradlab.registry import brief


class Exercise:
    """A broken network to be repaired; made by ``exercise(name)``, which says what it takes."""

    def __init__(self, name: str, lang: str = "en") -> None:
        self._entry = EXERCISES[name]
        self._say = Say(lang)
        self._setup: Setup = self._entry()

    # ------------------------------------------------------------------ reading
    @property
    def name(self) -> str:
        """Its name in `EXERCISES`."""
        return self._entry.name

    @property
    def lang(self) -> str:
        """The language it speaks."""
        return self._say.lang

    @property
    def setup(self) -> Setup:
        """The rules."""
        return self._setup

    @property
    def config(self) -> Config:
        """The broken start."""
        return self._setup.config

    @property
    def title(self) -> str:
        """A few words for a heading or a menu."""
        return self._say.get(f"{self.name}.title") or self._entry.label

    @property
    def rules(self) -> tuple[str, ...]:
        """A line each on what may be changed, how many changes, and what the check asks for."""
        say, setup = self._say, self._setup
        found = [say("rule.may", fields=say.listed(setup.may))]
        found += [say("rule.only", field=name, values=say.either(values)) for name, values in setup.only.items()]
        if setup.most_changes is not None:
            found.append(say("rule.most", most=say.fields(setup.most_changes)))
        goals = say.clauses(say(f"goal.{goal.measure}", limit=f"{goal.limit:g}") for goal in setup.goals)
        counts = {"steps": setup.steps, "seeds": len(setup.seeds), "needed": setup.needed}
        return (*found, say("rule.check", **counts, goals=goals))

    @property
    def task(self) -> str:
        """The task in words, the rules below it, a line each."""
        own = self._say.get(f"{self.name}.task") or inspect.getdoc(self._entry.function) or self._entry.summary
        return "\n".join([own, *(f"- {rule}" for rule in self.rules)])

    @property
    def hints(self) -> int:
        """How many hints there are."""
        return len(self._hints())

    def hint(self, n: int = 1) -> str:
        """Return hint number `n`, 1 the gentlest; raise ValueError if there is no such hint."""
        hints = self._hints()
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= len(hints):
            raise ValueError(f"hint={brief(n)}; expected a whole number from 1 to {len(hints)}")
        return hints[n - 1]

    def _hints(self) -> list[str]:
        keys = (f"{self.name}.hint.{n}" for n in range(1, 10))
        return [text for text in map(self._say.get, keys) if text] or list(self._entry.options.get("hints", ()))

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
        seeds = self._setup.seeds if seeds is None else check_seeds(seeds)
        config, trainer = attempted(attempt, self.config)
        config = config.replace(**knobs)
        problems = refusals(self._setup, config, trainer, self._say)
        if problems:
            return self._result("refused", config, problems, (), seeds)
        runs, reached, needed = [], 0, self._setup.needed_of(len(seeds))
        try:
            for seed in seeds:
                runs.append(train(config, seed, self._setup.steps))
                reached = sum(map(self._setup.reached_by, runs))
                if reached >= needed or len(runs) - reached > len(seeds) - needed:  # the others cannot change it
                    break
        except ValueError as error:
            return self._result("failed", config, [self._say("failed.error", error=error)], (), seeds)
        problems = [] if reached >= needed else misses(self._setup, config, runs, self._say)
        if problems and trainer is not None and trainer.step_count > self._setup.steps:
            problems.append(self._say("note.steps", taken=trainer.step_count, steps=self._setup.steps))
        return self._result("failed" if problems else "passed", config, problems, tuple(runs), seeds)

    def _result(
        self, verdict: str, config: Config, problems: list[str], runs: tuple[Run, ...], seeds: tuple[int, ...]
    ) -> Result:
        say, changes, needed = self._say, changes_of(self._setup, config), self._setup.needed_of(len(seeds))
        verdict += "_most" * (verdict == "passed" and needed < len(seeds))
        said = [say(verdict, seeds=say.seeds(seeds), needed=needed), *problems]
        if not problems:
            changed = say.listed(f"{name} {there!r} -> {here!r}" for name, (there, here) in changes.items())
            said.append(say("changes", changes=changed))
        elif not changes:
            said.append(say("unchanged"))
        return Result(self.name, not problems, say.joined(said), tuple(problems), changes, runs, self.lang)

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
