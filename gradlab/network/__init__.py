"""Networks to explode: `ACTIVATIONS`, `INITS`, `NORMS` and `build_network`."""

from gradlab.network.activations import ACTIVATIONS
from gradlab.network.build import Network, build_network
from gradlab.network.inits import INITS, fan_in_and_out
from gradlab.network.normalisation import NORMS

__all__ = ["ACTIVATIONS", "INITS", "NORMS", "Network", "build_network", "fan_in_and_out"]
