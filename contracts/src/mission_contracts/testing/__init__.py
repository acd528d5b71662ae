"""What tests of every part share: a clock one can turn, and values that are right unless a test says otherwise."""

from mission_contracts.testing.builders import ERA, a_mission, a_report, an_order
from mission_contracts.testing.clock import FakeClock

__all__ = ["ERA", "FakeClock", "a_mission", "a_report", "an_order"]
