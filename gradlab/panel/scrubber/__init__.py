"""`Scrubber`: a slider over rows that kernel and front end may both move."""

from gradlab.panel.scrubber.scrubber import Scrubber

__all__ = ["Scrubber"]
