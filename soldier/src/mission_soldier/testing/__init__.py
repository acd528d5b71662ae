"""Test your handlers without a server: what they return, raise and tell."""

from mission_soldier.testing.environment import Logged, Progress, SoldierEnvironment

__all__ = ["Logged", "Progress", "SoldierEnvironment"]
