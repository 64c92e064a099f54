"""gradlab: a laboratory for exploding and vanishing gradients in a notebook."""

from gradlab import theory
from gradlab.compare import compare
from gradlab.config import Config, Knob
from gradlab.data import DATASETS
from gradlab.diagnosis import Diagnosis, diagnose
from gradlab.engine import Stage, Trainer
from gradlab.exercise import EXERCISES, exercise
from gradlab.export import config_to_code, history_to_csv, to_call
from gradlab.history import Divergence, History, Mark, StepRecord
from gradlab.inspect import (
    ClipCurve,
    CoordinateCheck,
    Equality,
    FormatLens,
    accumulation_equality,
    check_gradients,
    clip_curve,
    coordinate_check,
    format_lens,
    gradient_histogram,
    gradient_noise,
    jacobian_spectrum,
    sharpness,
)
from gradlab.network import ACTIVATIONS, ARCHITECTURES, INITS, NORMS, build_network
from gradlab.panel import GradLab
from gradlab.plots import MEASURES, PLOTS, draw
from gradlab.presets import PRESETS
from gradlab.registry import Registry
from gradlab.rules.accumulation import ACCUMULATIONS, CARRY_OVERS, CumulativeGradient
from gradlab.rules.clipping import CLIPS
from gradlab.rules.optimizers import OPTIMIZERS
from gradlab.stage import replay_html
from gradlab.sweep import Sweep, phase_diagram, sweep
from gradlab.theory import Prediction
from gradlab.watch import watch

__version__ = "0.1.0"

__all__ = ["ACCUMULATIONS", "ACTIVATIONS", "ARCHITECTURES", "CARRY_OVERS", "CLIPS", "DATASETS", "EXERCISES", "INITS"]
__all__ += ["MEASURES", "NORMS", "OPTIMIZERS", "PLOTS", "PRESETS"]
__all__ += ["ClipCurve", "Config", "CoordinateCheck", "CumulativeGradient", "Diagnosis", "Divergence", "Equality"]
__all__ += ["FormatLens", "GradLab", "History", "Knob", "Mark", "Prediction", "Registry", "Stage", "StepRecord"]
__all__ += ["Sweep", "Trainer"]
__all__ += ["accumulation_equality", "build_network", "check_gradients", "clip_curve", "compare", "config_to_code"]
__all__ += ["coordinate_check", "diagnose", "draw", "exercise", "format_lens", "gradient_histogram", "gradient_noise"]
__all__ += ["history_to_csv", "jacobian_spectrum", "phase_diagram", "replay_html", "sharpness", "sweep", "theory"]
__all__ += ["to_call", "watch"]
