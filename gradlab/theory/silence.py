"""`SilenceError`: raised inside this package where theory has nothing to say; `predict` turns it into words."""

from __future__ import annotations


class SilenceError(Exception):
    """Theory is silent; the message, a `Said`, completes the sentence "no prediction, because ..."."""
