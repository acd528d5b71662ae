"""Which Missions are watched: those that live. What has ended stays by the thousand, and calls for nothing.

The CRD makes the state selectable, which API servers serve from 1.31 on. The watch then leaves out what has ended, and
an object that ends leaves the watch as if it had been deleted.
"""

from typing import Final, Protocol

import structlog

from mission_contracts.mission import MissionState
from mission_operator.kube import KubeAwayError

_log: Final = structlog.get_logger()

LIVING: Final = ",".join(f"status.state!={state.camel}" for state in MissionState if state.is_final)
"""Also what has no state yet: an absent field counts as an empty text."""

_ENDED: Final = ",".join(f"status.state!={state.camel}" for state in MissionState if not state.is_final)
ENDED_WITH_A_TTL: Final = f"status.state!=,{_ENDED},spec.ttlSecondsAfterFinished!="


class Selecting(Protocol):
    """The API server, as far as selections go."""

    async def can_select(self, selector: str) -> bool: ...


async def can_leave_out_what_ended(objects: Selecting) -> bool:
    """Whether the API server can select Missions by their state; False while nothing says so."""
    try:
        can = await objects.can_select(f"{LIVING},{ENDED_WITH_A_TTL}")
    except KubeAwayError as error:
        _log.warning("whether missions can be selected by state is not known", why=str(error))
        return False
    if not can:
        _log.info("ended missions are watched too: this API server (below 1.31), or its CRD, cannot select by state")
    return can
