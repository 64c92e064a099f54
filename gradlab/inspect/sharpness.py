"""The sharpness of the loss, and how far it is from the edge of stability."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from gradlab.engine import Trainer
from gradlab.inspect.copied import Copied, check_count
from gradlab.inspect.edge import Edge, edge_of, gradient_scale
from gradlab.inspect.lanczos import Ritz, largest_eigenvalue, random_start
from gradlab.locale import Said

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Sharpness:
    """The largest eigenvalue of the Hessian of the mean loss, against what the running rules can take.

    Attributes
    ----------
    step : int
        Steps taken when it was measured.
    value : float
        The sharpness, lambda; nan where the loss or a derivative is not finite.
    error : float
        An eigenvalue of the Hessian lies within this distance of `value`.
    iterations : int
        Hessian-vector products taken for it.
    converged : bool
        Whether `error` came down to the tolerance.
    samples : int
        Samples whose mean loss it is of.
    preconditioned : float or None
        Where the rules multiply the gradient with a matrix P (Adam, RMSprop, ``scalar_sum``): the largest
        eigenvalue of P H, the one that counts (Cohen et al. 2022); else None.
    limit : float or None
        The eigenvalue at the edge of stability, of P H where there is a P: 2 / lr for gradient descent. Above it the
        weights swing ever wider along that direction. inf at lr 0; None where it is not known.
    reason : str
        Why there is no `limit`, a `Said`; else empty.

    Notes
    -----
    The edge is that of steps with the gradient of the whole data; the noise of small micro-batches keeps a run
    below it (Cohen et al. 2021).
    """

    step: int
    value: float
    error: float
    iterations: int
    converged: bool
    samples: int
    preconditioned: float | None
    limit: float | None
    reason: str

    @property
    def compared(self) -> float:
        """The eigenvalue that `limit` is for."""
        return self.value if self.preconditioned is None else self.preconditioned

    @property
    def ratio(self) -> float | None:
        """`compared` / `limit`: above 1 is past the edge; None without a limit."""
        if self.limit is None:
            return None
        if self.limit == 0:
            return math.copysign(math.inf, self.compared) if self.compared else math.nan
        return self.compared / self.limit


def sharpness(trainer: Trainer, samples: int = 512, iterations: int = 60, tol: float = 1e-3) -> Sharpness:
    """Measure the sharpness at the present weights, in float64, by Hessian-vector products (Pearlmutter 1994).

    Parameters
    ----------
    trainer : Trainer
        The run; it stays as it is.
    samples : int, default 512
        Training samples that the mean loss is over, all if there are fewer; always the same ones. In a chaotic
        network one sample can make most of the sharpness, so leave none out there. Batch norm sees them as one
        batch.
    iterations : int, default 60
        Largest number of Hessian-vector products.
    tol : float, default 1e-3
        Relative distance to an eigenvalue at which it is good enough.

    Returns
    -------
    Sharpness
        Frozen.

    Raises
    ------
    ValueError
        If a number is not accepted, or the network cannot be differentiated twice.
    """
    check_count("samples", samples, 1)
    check_count("iterations", iterations, 1)
    if isinstance(tol, bool) or not isinstance(tol, int | float) or not 0 < tol < 1:
        raise ValueError(f"tol={tol!r}; expected a number between 0 and 1")
    config, n = trainer.config, trainer.data.n
    copied = Copied(trainer, torch.float64, plain=True)
    sizes = [p.numel() for p in copied.params]
    edge = edge_of(config, trainer.optimizer_state(), sizes, copied.cumulative)
    start = random_start(sum(sizes), torch.float64)
    scale, preconditioned = gradient_scale(config, n), None
    with _twice_differentiable():
        product = _hessian_product(copied, _rows(n, samples))
        found = largest_eigenvalue(product, start, iterations, tol)
        if edge.root is not None:
            own = _preconditioned(product, edge, scale)
            preconditioned = largest_eigenvalue(own, edge.root(start), iterations, tol).value
    limit = _limit(edge, config.lr * (scale if edge.root is None else 1.0))
    return _result(trainer, found, min(n, samples), preconditioned, limit, edge.words(config))


def _result(
    trainer: Trainer, found: Ritz, samples: int, preconditioned: float | None, limit: float | None, reason: str
) -> Sharpness:
    value, error, iterations, converged = found
    return Sharpness(trainer.step_count, value, error, iterations, converged, samples, preconditioned, limit, reason)


def _limit(edge: Edge, lr: float) -> float | None:
    if edge.s is None:
        return None
    return edge.s / lr if lr > 0 else math.inf


def _rows(n: int, samples: int) -> Tensor:
    """Choose the samples, always the same ones; data sorted by class must not give one class alone."""
    if samples >= n:
        return torch.arange(n)
    return torch.randperm(n, generator=Generator().manual_seed(0))[:samples].sort().values


@contextmanager
def _twice_differentiable() -> Iterator[None]:
    """Choose an attention that has a second derivative, and say in words what else has none."""
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    except (NotImplementedError, RuntimeError) as error:
        raise ValueError(Said("closeup.reason.derivative", error=error)) from error


def _hessian_product(copied: Copied, rows: Tensor) -> Product:
    """Return the product of the mean loss's Hessian with a flat vector."""
    params = copied.params
    loss = copied.loss(rows, seed=0)
    gradients = torch.autograd.grad(loss, params, create_graph=True, allow_unused=True, materialize_grads=True)
    if _differentiable_once(gradients):
        raise RuntimeError("a backward pass is differentiable once only")
    curved = [i for i, g in enumerate(gradients) if g.requires_grad]
    outputs, sizes = [gradients[i] for i in curved], [p.numel() for p in params]

    def product(flat: Tensor) -> Tensor:
        if not curved:
            return torch.zeros_like(flat)
        pieces = flat.split(sizes)
        vectors = [pieces[i].view_as(params[i]) for i in curved]
        found = torch.autograd.grad(
            outputs, params, vectors, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        return torch.cat([h.reshape(-1) for h in found])

    return product


def _differentiable_once(gradients: Sequence[Tensor]) -> bool:
    """Whether a `once_differentiable` took part: autograd steps around its error and leaves zeros behind."""
    waiting: list[Any] = [g.grad_fn for g in gradients]
    seen = {None}
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.name() == "torch::autograd::Error":
            return True
        waiting += [parent for parent, _ in node.next_functions]
    return False


def _preconditioned(product: Product, edge: Edge, scale: float) -> Product:
    """Return the product with R (scale H + decay) R, R the root of P: as P (scale H + decay), but symmetric."""

    def own(flat: Tensor) -> Tensor:
        root = edge.root
        assert root is not None
        inner = root(flat)
        return root(scale * product(inner) + edge.decay * inner)

    return own
