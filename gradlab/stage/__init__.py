"""The stage: what a person sees. Plain ES modules draw it in the browser from packets that are encoded here."""

from gradlab.stage.packet import PacketEncoder
from gradlab.stage.shown import GRID, Lane, Learned, Shown, SlowStage

__all__ = ["GRID", "Lane", "Learned", "PacketEncoder", "Shown", "SlowStage"]
