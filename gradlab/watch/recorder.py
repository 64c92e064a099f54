"""`Recorder`: turns what a window has shown into the next record of a history."""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from torch import nn

from gradlab.engine.parameters import per_layer
from gradlab.engine.probe import Layer, layer_of
from gradlab.history import Array, Divergence, History, Mark, StepRecord
from gradlab.locale import Said
from gradlab.rules.norms import root_sum_square
from gradlab.watch.lazy import all_norms
from gradlab.watch.window import Norms, Shown

# a loss scale that is no power of 2 rounds every entry of a float16 gradient by less than this share
_UNCHANGED = 1e-3


class Recorder:
    """Writes a `History`; the only one to do so.

    Parameters
    ----------
    layers : list of Layer
        The layers of the network.
    params : list of Parameter
        Its trainable parameters; elsewhere they go by their number here.
    skips_overflow : bool
        Whether gradients that overflow are part of the method (AMP), so that skipping them is no divergence.
    """

    def __init__(self, layers: list[Layer], params: list[nn.Parameter], skips_overflow: bool) -> None:
        self._layers, self._params, self._skips_overflow = layers, params, skips_overflow
        numbers = {id(p): i for i, p in enumerate(params)}
        self._groups = [[numbers[id(p)] for p in layer.weights if id(p) in numbers] for layer in layers]
        self._frozen_norm = np.array(
            [
                np.nan if group else root_sum_square(all_norms(layer.weights))
                for layer, group in zip(layers, self._groups, strict=True)
            ]
        )
        self.history = History([la.name for la in layers], tiny=float(torch.finfo(params[0].dtype).tiny))
        self._start = time.perf_counter()
        self._step = self._samples = self._micro_batches = self._updates = 0

    def add_step(
        self, shown: Shown, clipped: Norms, changes: list[float], weights: list[float], applied: bool
    ) -> None:
        """Record a step of the optimizer.

        Parameters
        ----------
        shown : Shown
            What the backward passes before it have shown.
        clipped : mapping of int to float
            Norms of the gradients that the optimizer got.
        changes, weights : list of float
            Norms of the changes of the parameters, and of the parameters before.
        applied : bool
            False if the optimizer itself refused the step.
        """
        trouble = self.trouble(shown) or self._weight_trouble(changes)
        self._append(shown, clipped, changes, weights, applied)
        self._mark(trouble, skipped=not applied)

    def add_unused(self, shown: Shown, weights: list[float], skipped: bool) -> None:
        """Record gradients that are not finite and that were not used: by a skipped step, or as the last thing."""
        trouble = self.trouble(shown)
        self._append(shown, shown.norms, [0.0] * len(weights), weights, applied=False)
        self._mark(trouble, skipped or self._skips_overflow)

    def trouble(self, shown: Shown) -> Divergence | None:
        """Name the first tensor that is not finite, in the order in which a step computes them."""
        bad = shown.activations.first_bad_activation
        if bad is not None:
            return self._divergence("activation", *bad)
        if shown.loss is not None and not math.isfinite(shown.loss):
            return Divergence(self._step, None, "loss", shown.loss)
        broken = {i: norm for i, norm in shown.norms.items() if not math.isfinite(norm)}
        if not broken:
            return None
        # the backward pass runs from the output, so the last layer that is not finite was the first
        layer, number = max((layer_of(self._layers, self._params, i), -i) for i in broken)
        return self._divergence("gradient", layer, broken[-number])

    def _weight_trouble(self, changes: list[float]) -> Divergence | None:
        for i, change in enumerate(changes):
            if not math.isfinite(change):
                return self._divergence("weight", layer_of(self._layers, self._params, i), change)
        return None

    def _divergence(self, tensor: str, layer: int, value: float) -> Divergence:
        return Divergence(self._step, layer + 1, tensor, value, self._layers[layer].name)

    def _mark(self, trouble: Divergence | None, skipped: bool) -> None:
        step = self._step - 1
        if trouble is None:
            return
        if skipped:
            text = Said("record.skipped", step=step, sentence=trouble.sentence)
            self.history.mark(Mark(step, "skipped", text))
        elif self.history.diverged is None:
            self.history.diverged = trouble
            self.history.mark(Mark(step, "diverged", trouble.sentence))

    def _append(
        self, shown: Shown, clipped: Norms, changes: list[float], weights: list[float], applied: bool
    ) -> None:
        raw = {**clipped, **shown.norms}
        total, clipped_total = root_sum_square(list(raw.values())), root_sum_square(list(clipped.values()))
        meter, weight_norm = shown.activations, self._per_layer(dict(enumerate(weights)))
        weight_norm = np.where(np.isnan(self._frozen_norm), weight_norm, self._frozen_norm)
        self._samples += shown.samples
        self._micro_batches += shown.micro_batches
        self._updates += applied
        self.history.append(
            StepRecord(
                step=self._step,
                epoch=0,
                samples=self._samples,
                micro_batches=self._micro_batches,
                updates=self._updates,
                applied=applied,
                loss=math.nan if shown.loss is None else shown.loss,
                seconds=time.perf_counter() - self._start,
                total_norm=total,
                clipped_total_norm=clipped_total,
                clip_coef=clipped_total / total if total > 0 else 1.0,
                clip_cosine=_cosine(raw, clipped),
                grad_norm=self._per_layer(raw),
                clipped_norm=self._per_layer(clipped),
                weight_norm=weight_norm,
                update_ratio=_ratio(self._per_layer(dict(enumerate(changes))), weight_norm),
                delta_norm=shown.delta_norm,
                activation_std=np.array(meter.activation_std()),
                saturated=np.array(meter.saturated()),
                dead=np.array(meter.dead()),
                has_gradient=np.array([any(i in raw for i in group) for group in self._groups], dtype=float),
            )
        )
        self._step += 1

    def _per_layer(self, values: Norms) -> Array:
        return per_layer([values.get(i, 0.0) for i in range(len(self._params))], self._groups)


def _cosine(raw: Norms, clipped: Norms) -> float:
    """Return 1 if nothing was clipped; else nan, as the gradient before is gone."""
    same = all(abs(clipped.get(i, 0.0) - norm) <= _UNCHANGED * norm for i, norm in raw.items())
    return 1.0 if same else math.nan


def _ratio(change: Array, weight_norm: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(change == 0.0, 0.0, change / weight_norm)
