"""What is happening, in one sentence, and what to try next: `diagnose`."""

from gradlab.diagnosis.diagnosis import KINDS, Diagnosis, diagnose

__all__ = ["KINDS", "Diagnosis", "diagnose"]
