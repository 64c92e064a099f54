"""`Trainer`: the one owner of mutable run state."""

from gradlab.trainer.stages import Stage
from gradlab.trainer.trainer import Trainer

__all__ = ["Stage", "Trainer"]
