"""The panel: `GradLab`, an ipywidgets VBox; and `WatchStage`, the stage of somebody's own loop."""

from gradlab.panel.lab import GradLab
from gradlab.panel.live import WatchStage

__all__ = ["GradLab", "WatchStage"]
