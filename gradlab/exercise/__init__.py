"""Exercises: broken networks to be repaired, with a check for student and grader."""

from gradlab.exercise.grading import Exercise, exercise
from gradlab.exercise.result import Result, Run
from gradlab.exercise.tasks import EXERCISES, Goal, Setup

__all__ = ["EXERCISES", "Exercise", "Goal", "Result", "Run", "Setup", "exercise"]
