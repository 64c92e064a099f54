"""A deeper look at a live run, at draw rate: the gradient's entries, its noise, its accumulation; sharpness.

Each look works on a private copy of the network, so that training goes on bit for bit as without it.
"""

from gradlab.closeup.equality import Equality, accumulation_equality
from gradlab.closeup.histogram import Histogram, gradient_histogram
from gradlab.closeup.noise import Noise, gradient_noise
from gradlab.closeup.sharpness import Sharpness, sharpness

__all__ = [
    "Equality",
    "Histogram",
    "Noise",
    "Sharpness",
    "accumulation_equality",
    "gradient_histogram",
    "gradient_noise",
    "sharpness",
]
