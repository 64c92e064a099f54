"""gradlab: a laboratory for exploding and vanishing gradients in a notebook."""

from gradlab.accumulation import ACCUMULATIONS
from gradlab.carry_over import CARRY_OVERS, CumulativeGradient
from gradlab.clipping import CLIPS
from gradlab.config import Config, Knob
from gradlab.data import DATASETS
from gradlab.history import Divergence, History, Mark, StepRecord
from gradlab.measures import MEASURES
from gradlab.network import ACTIVATIONS, INITS, NORMS, build_network
from gradlab.optimizers import OPTIMIZERS
from gradlab.panel import GradLab
from gradlab.plots import PLOTS, draw
from gradlab.presets import PRESETS
from gradlab.registry import Registry
from gradlab.trainer import Stage, Trainer

__version__ = "0.1.0"

__all__ = [
    "ACCUMULATIONS",
    "ACTIVATIONS",
    "CARRY_OVERS",
    "CLIPS",
    "DATASETS",
    "INITS",
    "MEASURES",
    "NORMS",
    "OPTIMIZERS",
    "PLOTS",
    "PRESETS",
    "Config",
    "CumulativeGradient",
    "Divergence",
    "GradLab",
    "History",
    "Knob",
    "Mark",
    "Registry",
    "Stage",
    "StepRecord",
    "Trainer",
    "build_network",
    "draw",
]
