"""`Config`: everything a run depends on, and the `Knob` of each field."""

from gradlab.config.config import Config
from gradlab.config.knob import Knob

__all__ = ["Config", "Knob"]
