"""`replay_html`: a run as one HTML file that plays in any browser."""

from gradlab.export.replay.build import replay_html

__all__ = ["replay_html"]
