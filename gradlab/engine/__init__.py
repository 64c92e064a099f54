"""`Trainer`: the one owner of mutable run state."""

from gradlab.engine.step import Stage
from gradlab.engine.trainer import Trainer

__all__ = ["Stage", "Trainer"]
