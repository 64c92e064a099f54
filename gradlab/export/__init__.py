"""Taking a run home: a `Config` as a plain PyTorch script, a `History` as CSV or as a replay in a browser."""

from gradlab.export.script import config_to_code

__all__ = ["config_to_code"]
