"""Mean-field theory: what is expected of a `Config`'s gradients before the first step."""

from gradlab.theory.prediction import Prediction, floor_depth, predict
from gradlab.theory.profile import Band, Profile

__all__ = ["Band", "Prediction", "Profile", "floor_depth", "predict"]
