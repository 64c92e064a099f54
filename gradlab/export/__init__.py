"""Taking a run home: a `Config` as a plain PyTorch script, a `History` as CSV."""

from gradlab.export.call import to_call
from gradlab.export.script import config_to_code
from gradlab.export.table import history_to_csv

__all__ = ["config_to_code", "history_to_csv", "to_call"]
