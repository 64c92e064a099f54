"""What is happening, in a headline (`verdict`) or in a sentence with what to try next (`diagnose`)."""

from gradlab.diagnosis.verdicts import KINDS, Diagnosis, Verdict, diagnose, verdict

__all__ = ["KINDS", "Diagnosis", "Verdict", "diagnose", "verdict"]
