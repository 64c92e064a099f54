"""The panel: `GradLab`, an ipywidgets VBox."""

from gradlab.panel.lab import GradLab

__all__ = ["GradLab"]
