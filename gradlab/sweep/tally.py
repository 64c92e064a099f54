"""`Tally`: what stacked networks showed so far, one entry per network, whether it still runs or not."""

from __future__ import annotations

import torch
from torch import Tensor

from gradlab.growth import growth_per_layer
from gradlab.sweep.outcome import MEASURES, Outcome, is_learned


class Tally:
    """Collects the measures of an `Outcome` for stacked networks.

    Parameters
    ----------
    networks : int
        How many networks the stack began with.
    depth : int
        Their hidden layers.
    learned_below : float
        Evaluation loss below which a network has learned.
    """

    def __init__(self, networks: int, depth: int, learned_below: float) -> None:
        self._depth, self._learned_below = depth, learned_below
        self._found = {name: torch.full((networks,), torch.nan, dtype=torch.float64) for name in MEASURES}
        self._found["steps"].zero_()
        self._clipped = torch.zeros(networks, dtype=torch.float64)
        self._troubled = torch.zeros(networks, dtype=torch.bool)

    def see_growth(self, delta_first: Tensor, delta_last: Tensor) -> None:
        """Note `delta_norm` of the first and the last hidden layer at init, ``(networks,)`` each."""
        growth = growth_per_layer(delta_first.numpy(), delta_last.numpy(), self._depth)
        self._found["growth"][:] = torch.as_tensor(growth)

    def see_step(self, numbers: Tensor, loss: Tensor, norm: Tensor, delta: Tensor, first: bool) -> None:
        """Note one step of the networks of these `numbers`: loss, gradient norm, `delta_norm` of layer 1."""
        for name, values in (("loss", loss), ("norm", norm), ("delta", delta)):
            if first:
                self._found[f"first_{name}"][numbers] = values
            self._found[f"final_{name}"][numbers] = values

    def see_update(self, numbers: Tensor, changed: Tensor) -> None:
        """Count a step, and whether clipping changed its gradient."""
        self._found["steps"][numbers] += 1
        self._clipped[numbers] += changed

    def see_trouble(self, numbers: Tensor, trouble: Tensor, step: int) -> None:
        """Note which networks met something that was not finite in this step."""
        self._troubled[numbers] = trouble
        fresh = numbers[trouble & torch.isnan(self._found["diverged_at"][numbers])]
        self._found["diverged_at"][fresh] = float(step)

    def see_evaluation(self, numbers: Tensor, loss: Tensor, accuracy: Tensor | None) -> None:
        """Note loss and accuracy over all the data."""
        self._found["eval_loss"][numbers] = loss
        if accuracy is not None:
            self._found["accuracy"][numbers] = accuracy

    def outcomes(self) -> list[Outcome]:
        """Return one `Outcome` per network, in the order in which the stack was given them."""
        taken = self._found["steps"] > 0
        self._found["survived"] = torch.where(taken, (~self._troubled).double(), torch.nan)
        self._found["clipped"] = torch.where(taken, self._clipped / self._found["steps"], torch.nan)
        columns = [self._found[name].tolist() for name in MEASURES]
        found = [dict(zip(MEASURES, values, strict=True)) for values in zip(*columns, strict=True)]
        for one in found:
            one["learned"] = is_learned(one["survived"], one["eval_loss"], self._learned_below)
        return [Outcome(**one) for one in found]
