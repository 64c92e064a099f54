"""Where the numbers of a watched loop can go: ``watch(..., loggers=[TensorBoard("runs/1")])``.

Each gets scalars named ``gradlab/<measure>/<layer>``; its library is imported when it is made, not before.
"""

from __future__ import annotations

from typing import Any


class TensorBoard:
    """Writes scalars to TensorBoard.

    Parameters
    ----------
    target : str or SummaryWriter
        A folder, or a writer of yours, which is then left open.
    """

    def __init__(self, target: Any) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._own = not hasattr(target, "add_scalar")
        self._writer = SummaryWriter(target) if self._own else target

    def log(self, numbers: dict[str, float], step: int) -> None:
        """Write the numbers of a step."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write out what waits."""
        self._writer.close() if self._own else self._writer.flush()


class WandB:
    """Logs scalars to a run of Weights & Biases.

    Parameters
    ----------
    run : Run, optional
        Default: the run that ``wandb.init`` began.
    """

    def __init__(self, run: Any = None) -> None:
        import wandb

        found = run if run is not None else wandb.run
        if found is None:
            raise ValueError("run=None; expected a run of wandb, or one begun by wandb.init() before")
        self._run = found

    def log(self, numbers: dict[str, float], step: int) -> None:
        """Log the numbers of a step, beside what your loop logs: the step is one of theirs."""
        self._run.log(numbers | {"gradlab/step": step})

    def close(self) -> None:
        """Leave the run to its owner."""


class MLflow:
    """Logs metrics to a run of MLflow.

    Parameters
    ----------
    run_id : str, optional
        Default: the active run.
    """

    def __init__(self, run_id: str | None = None) -> None:
        import mlflow  # pyright: ignore[reportMissingImports]

        self._mlflow, self._run_id = mlflow, run_id

    def log(self, numbers: dict[str, float], step: int) -> None:
        """Log the numbers of a step."""
        self._mlflow.log_metrics(numbers, step=step, run_id=self._run_id)

    def close(self) -> None:
        """Leave the run to its owner."""
