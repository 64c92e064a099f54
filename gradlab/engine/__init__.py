"""`Trainer`: the one owner of mutable run state."""

from gradlab.engine.stages import Stage
from gradlab.engine.trainer import Trainer

__all__ = ["Stage", "Trainer"]
