"""What was measured: the frozen `StepRecord`, the append-only `History`, and `Divergence`."""

from gradlab.history.history import History, HistoryState
from gradlab.history.record import PER_LAYER, SCALARS, Array, Divergence, Mark, StepRecord

__all__ = ["PER_LAYER", "SCALARS", "Array", "Divergence", "History", "HistoryState", "Mark", "StepRecord"]
