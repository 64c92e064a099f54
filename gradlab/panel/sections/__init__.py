"""What opens beside the picture: exercises, slow motion, a deeper look, the phase map, what to take home.

Each section is made of the panel's `Controller` and of `make`, its `WidgetSet`; some also of its `Description` and
stage. Its ``page`` is what is displayed, ``show()`` follows the run, ``close()`` lets go what it holds.
"""

from gradlab.panel.sections.deeper import DeeperLook
from gradlab.panel.sections.exercises import Exercises
from gradlab.panel.sections.phase_map import PhaseMap
from gradlab.panel.sections.slow_motion import SlowMotion
from gradlab.panel.sections.take_home import TakeHome

__all__ = ["DeeperLook", "Exercises", "PhaseMap", "SlowMotion", "TakeHome"]
