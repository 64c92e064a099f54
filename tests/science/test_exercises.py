"""The exercises are fair: what is right passes, what is guessed hardly ever does, what keeps the fault never.

A quick count; the fuller one is ``python -m tests.science.exercises``, which prints its table.
"""

import pytest

from gradlab.exercise import EXERCISES, exercise
from tests.science.exercises import ANSWERS, FRESH, WRONG, count, reaching, seeded, share

QUICK = ("forgotten-division", "no-clipping")  # a few seconds each; all take minutes
OTHERS = tuple(name for name in EXERCISES if name not in QUICK)


def test_every_exercise_has_answers_and_wrong_ideas():
    assert set(ANSWERS) == set(WRONG) == set(EXERCISES)


def test_the_share_of_seeds_is_the_one_counted_by_hand():
    # of 6 seeds 5 right: a set of 5 misses the wrong one (1 of 6) or has it (5 of 6, then 4 of it are right)
    assert share(right=5, tried=6, n=5, needed=4) == 1.0
    # 4 right of 6: C(4,4) C(2,1) / C(6,5)
    assert share(right=4, tried=6, n=5, needed=4) == pytest.approx(2 / 6)
    assert share(right=3, tried=6, n=5, needed=4) == 0.0


@pytest.mark.parametrize("name", QUICK)
def test_answers_pass_guesses_hardly_ever_and_wrong_ideas_never(name):
    found = count(name, seeds=6, number=12)
    assert min(found.answers) >= 0.98
    assert max(found.wrong) == 0.0
    assert found.lucky <= 1 / 12


@pytest.mark.parametrize("name", OTHERS)
def test_from_a_fresh_seed_the_answer_reaches_the_goals_and_a_wrong_idea_does_not(name):
    setup = exercise(name).setup
    attempts = [seeded(setup.config.replace(**changes), FRESH + 2) for changes in (ANSWERS[name][0], WRONG[name][0])]
    assert reaching(setup, attempts) == {0}
