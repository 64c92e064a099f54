"""`Result`: what a check found."""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradlab.exercise.run import Run

_SHOWN = ("seed", "steps", "loss", "accuracy", "peak", "rate", "spread", "dead", "cosine", "longest", "batch_error")


@dataclass(frozen=True)
class Result:
    """What a check found; true where the exercise is passed, so that a grader can ``assert exercise.check(...)``.

    Attributes
    ----------
    exercise : str
        Name of the exercise.
    passed : bool
        Whether the rules were kept and every goal was reached on every seed.
    sentence : str
        The verdict, and what is still wrong.
    problems : tuple of str
        What is still wrong, a sentence each; empty if it is passed.
    changes : Mapping of str to pair
        Fields that differ from the broken start: name -> (there, here).
    runs : tuple of Run
        The numbers of each seed; empty where a rule was broken, as nothing is trained then.
    lang : str
        Language of the sentences.

    Notes
    -----
    ``repr`` and the notebook's picture hold no measured number, so that they are the same on every machine;
    ``print`` adds the numbers of `runs`.
    """

    exercise: str
    passed: bool
    sentence: str
    problems: tuple[str, ...]
    changes: Mapping[str, tuple[Any, Any]]
    runs: tuple[Run, ...]
    lang: str = "en"

    def __bool__(self) -> bool:
        return self.passed

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values that ``json.dumps`` accepts; a number that is not finite becomes None."""
        runs = [
            {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in row.items()}
            for row in map(dataclasses.asdict, self.runs)
        ]
        changes = {name: list(pair) for name, pair in self.changes.items()}
        facts = {"exercise": self.exercise, "passed": self.passed, "sentence": self.sentence}
        return {**facts, "problems": list(self.problems), "changes": changes, "runs": runs}

    def table(self) -> str:
        """Return the numbers of the runs as a Markdown table, a row a seed."""
        rows = [[_cell(getattr(run, name)) for name in _SHOWN] for run in self.runs]
        return "\n".join(f"| {' | '.join(row)} |" for row in (_SHOWN, ["---"] * len(_SHOWN), *rows))

    def __repr__(self) -> str:
        return f"Result({self.exercise}: {self.sentence})"

    def __str__(self) -> str:
        return f"{self.sentence}\n\n{self.table()}" if self.runs else self.sentence

    def _repr_html_(self) -> str:
        """The verdict for a notebook, in its own colours."""
        mark = "&#10003;" if self.passed else "&#10007;"
        return f'<p lang="{self.lang}">{mark} {html.escape(self.sentence)}</p>'


def _cell(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
