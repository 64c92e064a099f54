"""Networks to explode: `ARCHITECTURES`, `ACTIVATIONS`, `INITS`, `NORMS` and `build_network`."""

from gradlab.network import conv, recurrent, transformer  # noqa: F401  (each registers its architectures)
from gradlab.network.activations import ACTIVATIONS, NORMS
from gradlab.network.build import ARCHITECTURES, KNOBS, Network, build_network, step_size, uses
from gradlab.network.inits import INITS, fan_in_and_out
from gradlab.network.recurrent import Recurrent

__all__ = ["ACTIVATIONS", "ARCHITECTURES", "INITS", "KNOBS", "NORMS"]
__all__ += ["Network", "Recurrent"]
__all__ += ["build_network", "fan_in_and_out", "step_size", "uses"]
