"""`missionctl dev`: Mission Control in one process. The only package that composes the services, here alone."""

from missionctl.dev.options import DevOptions
from missionctl.dev.process import run

__all__ = ["DevOptions", "run"]
