"""Taking a run home: a `Config` as a plain PyTorch script, a `History` as CSV."""

from gradlab.export.script import config_to_code, to_call
from gradlab.export.sources import source
from gradlab.history import history_to_csv

__all__ = ["config_to_code", "history_to_csv", "source", "to_call"]
