"""`Watcher`: the hooks on a network and its optimizer."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gradlab.watch.lazy import all_norms
from gradlab.watch.probe import LoopProbe, WatchedPass
from gradlab.watch.recorder import Recorder
from gradlab.watch.window import Window


class Watcher:
    """Hooks on a network and its optimizer; each optimizer step becomes one record of a history.

    Parameters
    ----------
    network : torch.nn.Module
        The network.
    optimizer : torch.optim.Optimizer
        Has all its trainable parameters.
    scaler : GradScaler or None
        What the losses are scaled with.
    batch_dim : int
        Dimension of the network's first tensor argument that counts samples.

    Attributes
    ----------
    history : History
        What was measured so far.
    """

    def __init__(self, network: nn.Module, optimizer: Optimizer, scaler: Any, batch_dim: int) -> None:
        self._optimizer, self._scaler = optimizer, scaler
        self._params = [p for p in network.parameters() if p.requires_grad]
        self._probe = LoopProbe(network, batch_dim, self._reached, self._delta)
        self._recorder = Recorder(self._probe.layers, self._params, skips_overflow=scaler is not None)
        self.history = self._recorder.history
        self._inside = self._came_back = self._made_since_step_began = False
        self._fresh: dict[int, None] = {}
        self._window = Window(len(self._probe.layers))
        self._before = [torch.empty_like(p, requires_grad=False) for p in self._params]
        self._weights: list[float] = []
        self._clipped: dict[int, float] = {}
        self._handles = [
            p.register_post_accumulate_grad_hook(partial(self._accumulated, i)) for i, p in enumerate(self._params)
        ]
        self._handles.append(optimizer.register_step_pre_hook(self._before_step))
        self._handles.append(optimizer.register_step_post_hook(self._after_step))

    def remove(self) -> None:
        """Take off every hook."""
        for handle in self._handles:
            handle.remove()
        self._probe.remove()

    def finish(self) -> None:
        """Record the gradients that no step used, if they are not finite."""
        self._close_unused(skipped=False)

    # ------------------------------------------------------------------ what the hooks call
    def begin_backward(self) -> None:
        """Note that a backward pass begins."""
        self._inside, self._came_back = True, False

    def end_backward(self, loss: Tensor | None) -> None:
        """Measure what a backward pass that began at `loss` has accumulated."""
        self._inside = False
        fresh = [(i, grad) for i in self._fresh if (grad := self._params[i].grad) is not None]
        self._fresh = {}
        self._window.see_gradients([i for i, _ in fresh], [grad for _, grad in fresh])
        if loss is not None and self._came_back:
            self._window.see_loss(loss)

    def _reached(self, watched: WatchedPass) -> None:
        self._came_back = True
        if watched in self._window:
            return
        if self._abandoned():
            self._close_unused(skipped=True)
        if self._scaler is not None:
            self._window.scale = float(self._scaler.get_scale())
        self._window.see_pass(watched)

    def _delta(self, layer: int, gradient: Tensor) -> None:
        self._window.see_delta(layer, gradient)

    def _accumulated(self, number: int, param: Tensor) -> None:
        self._came_back = self._made_since_step_began = True
        if self._inside:
            self._fresh[number] = None
        elif param.grad is not None:
            self._window.see_gradients([number], [param.grad])

    @torch.no_grad()
    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        torch._foreach_copy_(self._before, self._values())
        self._weights = all_norms(self._params)
        self._clipped = self._current_norms()
        self._made_since_step_began = False

    @torch.no_grad()
    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self._made_since_step_began:  # a closure made the gradients inside the step
            self._clipped = self._current_norms()
        refused = getattr(self._optimizer, "found_inf", None)  # a fused optimizer is told so by the scaler
        torch._foreach_sub_(self._before, self._values())
        changes = all_norms(self._before)
        self._recorder.add_step(
            self._window.read(), self._clipped, changes, self._weights, applied=refused is None or not float(refused)
        )
        self._renew()

    # ------------------------------------------------------------------ gradients that no step used
    def _abandoned(self) -> bool:
        """Whether the gradients noted were thrown away, by ``zero_grad()`` without a step."""
        if self._window.empty or not any(norm != 0 for norm in self._window.norms().values()):
            return False
        return all(norm == 0 for norm in self._current_norms().values())

    def _close_unused(self, skipped: bool) -> None:
        shown = self._window.read()
        if shown.norms and self._recorder.trouble(shown) is not None:
            self._recorder.add_unused(shown, all_norms(self._params), skipped)
        self._renew()

    def _values(self) -> list[Tensor]:
        return [p.data for p in self._params]

    def _renew(self) -> None:
        self._window = Window(len(self._probe.layers))
        self._probe.forget()

    def _current_norms(self) -> dict[int, float]:
        """Return the norms of the gradients as they stand, without a scale the optimizer has yet to divide by."""
        found = [(i, p.grad) for i, p in enumerate(self._params) if p.grad is not None]
        scale = getattr(self._optimizer, "grad_scale", None)
        factor = 1.0 if scale is None else float(scale)
        norms = all_norms([g for _, g in found])
        return {i: norm / factor for (i, _), norm in zip(found, norms, strict=True)}
