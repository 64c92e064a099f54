"""Exercises: broken networks to be repaired, with a check for student and grader."""

from gradlab.exercise.exercise import Exercise, exercise
from gradlab.exercise.result import Result
from gradlab.exercise.run import Run
from gradlab.exercise.setup import Goal, Setup
from gradlab.exercise.tasks import EXERCISES

__all__ = ["EXERCISES", "Exercise", "Goal", "Result", "Run", "Setup", "exercise"]
