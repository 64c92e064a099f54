"""`watch`: record the history of somebody's own training loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from gradlab.history import History
from gradlab.watch.backward import BackwardCalls
from gradlab.watch.watcher import Watcher


@contextmanager
def watch(network: nn.Module, optimizer: Optimizer, *, scaler: Any = None, batch_dim: int = 0) -> Iterator[History]:
    """Record every step of your own training loop, without changing it: one line around it is enough.

    Hooks do it (and a stand-in for ``torch.autograd.backward``, to see the loss); they are gone after the
    block, also after an exception. Weights, gradients and random state are bit for bit those of the same loop
    unwatched.

    Parameters
    ----------
    network : torch.nn.Module
        The network; trained, evaluated, checkpointed, frozen in part as you like.
    optimizer : torch.optim.Optimizer
        Its ``step()`` ends a step of the history. It must have every parameter of `network` that requires a
        gradient, in any number of groups.
    scaler : torch.amp.GradScaler, optional
        Give it if your loop has one: all numbers are then recorded without the scale, and a step that it
        skips is marked as skipped.
    batch_dim : int, default 0
        Dimension of the network's first tensor argument that counts samples.

    Yields
    ------
    History
        Grows with each ``optimizer.step()``; the columns are the Trainer's:

        ``loss``
            sum of the scalars that ``backward()`` was called on since the last step, which is the function
            whose gradient the optimizer gets (nan if a backward pass did not start at a scalar).
        ``grad_norm``, ``total_norm``
            of ``.grad`` as the last backward pass left it, so after accumulation and before clipping.
        ``clipped_norm``, ``clipped_total_norm``
            of ``.grad`` as ``optimizer.step()`` found it.
        ``delta_norm``
            the backward signal, if the loss is a mean over the samples since the last step.
        ``clip_cosine``
            1, or nan where the gradient was changed between: the one before is not kept.
        ``micro_batches``, ``samples``
            forward passes that a backward pass came back to, and what went into them.
        ``epoch``
            0: a loop does not say.

        A divergence is recorded in ``history.diverged`` and does not stop the loop.

    Raises
    ------
    ValueError
        If the network has nothing to train, or a parameter to train that the optimizer does not have.

    Examples
    --------
    >>> with watch(network, optimizer) as history:  # doctest: +SKIP
    ...     for x, y in batches:
    ...         optimizer.zero_grad()
    ...         loss(network(x), y).backward()
    ...         optimizer.step()
    """
    _check(network, optimizer, scaler, batch_dim)
    watcher = Watcher(network, optimizer, scaler, batch_dim)
    try:
        with BackwardCalls(watcher.begin_backward, watcher.end_backward):
            yield watcher.history
    finally:
        watcher.remove()
        watcher.finish()


def _check(network: Any, optimizer: Any, scaler: Any, batch_dim: Any) -> None:
    if not isinstance(network, nn.Module):
        raise ValueError(f"network={network!r:.60}; expected a torch.nn.Module")
    if not isinstance(optimizer, Optimizer):
        raise ValueError(f"optimizer={optimizer!r:.60}; expected a torch.optim.Optimizer")
    if scaler is not None and not callable(getattr(scaler, "get_scale", None)):
        raise ValueError(f"scaler={scaler!r:.60}; expected a torch.amp.GradScaler or None")
    if isinstance(batch_dim, bool) or not isinstance(batch_dim, int) or batch_dim < 0:
        raise ValueError(f"batch_dim={batch_dim!r}; expected a whole number >= 0")
    _check_parameters(network, optimizer)


def _check_parameters(network: nn.Module, optimizer: Optimizer) -> None:
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    trainable = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if not trainable:
        raise ValueError("network: no parameter requires a gradient; expected one to train")
    for name, p in trainable.items():
        if is_lazy(p):
            raise ValueError(f"network: parameter {name!r} has no shape yet; run one batch through the network first")
        if not p.is_floating_point():
            raise ValueError(f"network: parameter {name!r} has dtype {p.dtype}; expected real floating point")
    missing = [name for name, p in trainable.items() if id(p) not in known]
    if missing:
        raise ValueError(
            f"optimizer: does not have the network's parameter {missing[0]!r} ({len(missing)} such); expected every "
            "one that requires a gradient (freeze the others by requires_grad_(False); watch networks with several "
            "optimizers one by one)"
        )
