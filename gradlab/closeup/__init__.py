"""A deeper look at a live run, at draw rate: entries of the gradient, its noise, the sharpness of the loss.

Each look works on a private copy of the network, so that training goes on bit for bit as without it.
"""

from gradlab.closeup.histogram import Histogram, gradient_histogram
from gradlab.closeup.noise import Noise, gradient_noise
from gradlab.closeup.sharpness import Sharpness, sharpness

__all__ = ["Histogram", "Noise", "Sharpness", "gradient_histogram", "gradient_noise", "sharpness"]
