"""The stage: what a person sees. Plain ES modules draw it in the browser from packets that are encoded here."""

from gradlab.stage.packet import PacketEncoder
from gradlab.stage.replay import replay_html
from gradlab.stage.shown import GRID, Lane, Learned, Shown
from gradlab.stage.source import stage_source, stage_words

__all__ = ["GRID"]
__all__ += ["Lane", "Learned", "PacketEncoder", "Shown"]
__all__ += ["replay_html", "stage_source", "stage_words"]
