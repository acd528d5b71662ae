"""The SDK for mission handlers, and the worker that runs them.

from mission_soldier import Context, Soldier

soldier = Soldier()

@soldier.handler("resize-image")
async def resize(ctx: Context, order: ResizeImage) -> Thumbnail: ...
"""

from mission_soldier.context import Cancellation, Context
from mission_soldier.errors import GiveUp, HandlerDefinitionError, MissionCancelledError, RetryLater, SoldierError
from mission_soldier.soldier import Soldier

__all__ = [
    "Cancellation",
    "Context",
    "GiveUp",
    "HandlerDefinitionError",
    "MissionCancelledError",
    "RetryLater",
    "Soldier",
    "SoldierError",
]
