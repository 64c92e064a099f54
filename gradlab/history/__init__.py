"""What was measured: the frozen `StepRecord`, the append-only `History`, and `Divergence`."""

from gradlab.history.history import History, HistoryState
from gradlab.history.record import NO_TIME, PER_LAYER, SCALARS, Array, Divergence, Mark, StepRecord

__all__ = ["NO_TIME", "PER_LAYER", "SCALARS", "Array", "Divergence", "History", "HistoryState", "Mark", "StepRecord"]
