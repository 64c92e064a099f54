"""A deeper look at a live run, at draw rate: the gradient's entries, its noise, its accumulation; sharpness.

Each look works on a private copy of the network, so that training goes on bit for bit as without it.
"""

from gradlab.inspect.copied import check_gradients
from gradlab.inspect.entries import FORMATS, FormatLens, Histogram, format_lens, gradient_histogram
from gradlab.inspect.micro_batches import Equality, Noise, accumulation_equality, gradient_noise
from gradlab.inspect.sharpness import Sharpness, sharpness
from gradlab.inspect.thresholds import ClipCurve, clip_curve
from gradlab.inspect.through_time import (
    RecurrentMatrix,
    ThroughTime,
    gate_means,
    jacobian_spectrum,
    recurrent_matrices,
    through_time,
)
from gradlab.inspect.widths import CoordinateCheck, coordinate_check

__all__ = ["FORMATS"]
__all__ += ["ClipCurve", "CoordinateCheck", "Equality", "FormatLens", "Histogram", "Noise", "RecurrentMatrix"]
__all__ += ["Sharpness", "ThroughTime"]
__all__ += ["accumulation_equality", "check_gradients", "clip_curve", "coordinate_check", "format_lens", "gate_means"]
__all__ += ["gradient_histogram", "gradient_noise", "jacobian_spectrum", "recurrent_matrices", "sharpness"]
__all__ += ["through_time"]
