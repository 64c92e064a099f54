"""`watch`: record the history of somebody's own training loop."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from gradlab.registry import brief, items_of
from gradlab.watch.rows import Logger, OnDivergence, OnError
from gradlab.watch.watcher import Watcher


def watch(
    network: nn.Module,
    optimizers: Optimizer | Iterable[Optimizer],
    *,
    every: int = 1,
    scaler: Any = None,
    batch_dim: int = 0,
    through_time: bool = True,
    loggers: Sequence[Logger] | Logger = (),
    on_error: OnError = "warn",
    on_divergence: OnDivergence = "mark",
) -> Watcher:
    """Record the steps of your own training loop, without changing it: one line around it is enough.

    Nothing is put on the network: one hook sees the modules of the process, two see each optimizer's step, and a
    stand-in for ``torch.autograd.backward`` sees the loss; they are gone after the block, also after an exception.
    Weights, gradients and random state are bit for bit those of the same loop unwatched.

    Parameters
    ----------
    network : torch.nn.Module
        The network; trained, evaluated, checkpointed, wrapped, frozen in part as you like.
    optimizers : torch.optim.Optimizer or sequence of them
        Between them they have every parameter of `network` that requires a gradient, in any number of groups; one
        of accelerate's may stand for its own. What happens until each has stepped, or until the next backward
        pass after a step, is a step of the history.
    every : int, default 1
        Record only every so many steps; the others cost next to nothing, and their samples are counted as the
        last recorded step's.
    scaler : torch.amp.GradScaler, optional
        All numbers are recorded without its scale, and a step that it skips is marked as skipped. One that is not
        given is found when it scales the first loss.
    batch_dim : int, default 0
        Dimension of the network's first tensor argument that counts samples.
    through_time : bool, default True
        Whether recurrent layers (nn.RNN, nn.LSTM, nn.GRU and their cells) show the gradient of every time step, in
        the column ``time_norm``; what cannot be measured is named by a mark of the history.
    loggers : Logger or sequence of Logger
        Get the numbers of each recorded step: see `gradlab.integrations.loggers`.
    on_error : {"warn", "raise"}
        What an error inside this instrument does: warn once, take every hook off and let the loop run on; or raise.
    on_divergence : {"mark", "trace"}
        Whether the step that diverges is only marked, or its passes through the network run again, under anomaly
        detection, to mark the first operation that made a value that is not finite out of finite ones, with file and
        line, in forward or backward. That keeps a copy of the parameters and watches each operation of the loss, and
        needs ``every=1``.

    Returns
    -------
    Watcher
        A context manager that gives the `History`. With several processes only that of rank 0 records.

    Raises
    ------
    ValueError
        If the network has nothing to train, or a parameter to train that no optimizer has.

    Notes
    -----
    The columns are the Trainer's:

    ``loss``
        sum of the scalars that ``backward()`` was called on since the last step, which is the function whose
        gradient the optimizer gets (nan if a backward pass did not start at a scalar).
    ``grad_norm``, ``total_norm``
        of ``.grad`` as the last backward pass left it, so after accumulation and before clipping; for an optimizer
        that calls a closure again and again (LBFGS), of its first call.
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

    Rows are the layers, which are modules with a matrix; after them come biases and norm parameters, with the
    backward signal of their module (``history.kinds`` tells them apart, ``history.of_weights()`` leaves them out). A
    parameter that the network and an optimizer get later has rows from the step after its first.
    A divergence is recorded in ``history.diverged`` and does not stop the loop.

    Examples
    --------
    >>> with watch(network, optimizer) as history:  # doctest: +SKIP
    ...     for x, y in batches:
    ...         optimizer.zero_grad()
    ...         loss(network(x), y).backward()
    ...         optimizer.step()
    """
    given = [optimizers] if (items := items_of(optimizers)) is None else items
    _check(network, given, scaler, batch_dim, every, on_error)
    if not isinstance(through_time, bool):
        raise ValueError(f"through_time={brief(through_time)}; expected True or False")
    several: Any = items_of(loggers)
    several = [loggers] if several is None else several
    for logger in several:
        if not all(callable(getattr(logger, name, None)) for name in ("log", "close")):
            raise ValueError(f"loggers={brief(logger)}; expected objects with the methods log and close")
    if on_divergence not in ("mark", "trace") or (on_divergence == "trace" and every > 1):
        raise ValueError(f"on_divergence={on_divergence!r}, every={every}; expected 'mark', or 'trace' with every=1")
    how = (every, scaler, batch_dim, through_time, several, on_error, on_divergence)
    return Watcher(network, [_unwrapped(o) for o in given], *how)


def _unwrapped(optimizer: Any) -> Optimizer:
    """Return the optimizer inside one of accelerate's."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
        optimizer = inner
    return optimizer


def _check(network: Any, optimizers: list[Any], scaler: Any, batch_dim: Any, every: Any, on_error: Any) -> None:
    if not isinstance(network, nn.Module):
        raise ValueError(f"network={brief(network)}; expected a torch.nn.Module")
    for optimizer in optimizers or [None]:
        if not isinstance(optimizer, Optimizer):
            raise ValueError(
                f"optimizers={brief(optimizer)}; expected a torch.optim.Optimizer, or a sequence of them"
            )
    if scaler is not None and not callable(getattr(scaler, "get_scale", None)):
        raise ValueError(f"scaler={brief(scaler)}; expected a torch.amp.GradScaler or None")
    for name, value, least in (("batch_dim", batch_dim, 0), ("every", every, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name}={brief(value)}; expected a whole number >= {least}")
    if on_error not in ("warn", "raise"):
        raise ValueError(f"on_error={brief(on_error)}; expected 'warn' or 'raise'")
    _check_parameters(network, optimizers)


def _check_parameters(network: nn.Module, optimizers: list[Any]) -> None:
    known = {id(p) for o in optimizers for group in o.param_groups for p in group["params"]}
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
            f"optimizers: none has the network's parameter {missing[0]!r} ({len(missing)} such); expected every one "
            "that requires a gradient (freeze the others by requires_grad_(False), or give every optimizer)"
        )
