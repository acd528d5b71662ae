"""Finding missions for those who may see them, and the cursors that pages go on from."""

import base64
import binascii
import math
from collections.abc import Mapping, Sequence

from mission_commander.api import queries
from mission_commander.api.answers import ProblemError
from mission_commander.api.doors import may_see
from mission_commander.commander import Commander
from mission_commander.domain.record import Mission
from mission_commander.ports import LedgerAwayError
from mission_contracts.mission import MissionId
from mission_contracts.tokens import Claims


async def find(commander: Commander, claims: Claims, mission_id: MissionId) -> Mission:
    """The mission, if there is one and they may see it: else 404, the same for both."""
    mission = commander.memory.get(mission_id)
    if mission is None:
        mission = (await fetch(commander, [mission_id]))[0]
    if mission is None or not may_see(claims, mission):
        raise not_found()
    return mission


async def fetch(commander: Commander, ids: Sequence[MissionId]) -> list[Mission | None]:
    """From memory, and from the ledger what memory does not hold.

    Raises LedgerAwayError where nobody can tell whether there is such a mission.
    """
    missing = [one for one in ids if commander.memory.get(one) is None]
    fetched = await _fetched(commander, missing) if missing else {}
    return [commander.memory.get(one) or fetched.get(one) or commander.unrecorded.get(one) for one in ids]


async def recorded(commander: Commander, ids: Sequence[MissionId]) -> list[Mission | None]:
    """What the ledger itself lists; memory saves reading most of it again. Raises LedgerAwayError."""
    missing = [one for one in ids if commander.memory.get(one) is None]
    stored = await commander.ledger.fetch(missing) if missing else ()
    fetched = {one.mission.id: one.mission for one in stored if one is not None}
    return [commander.memory.get(one) or fetched.get(one) for one in ids]


async def _fetched(commander: Commander, missing: Sequence[MissionId]) -> Mapping[MissionId, Mission]:
    unknown = [one for one in missing if commander.unrecorded.get(one) is None]
    if commander.vitals.ledger_is_away:
        if unknown:
            raise LedgerAwayError("the ledger is away, and this Commander's memory does not have it all")
        return {}
    stored = await commander.ledger.fetch(missing)
    fetched = {one.mission.id: one.mission for one in stored if one is not None}
    if commander.vitals.ledger_is_newly_back and not fetched.keys() >= set(unknown):
        raise LedgerAwayError("the ledger is back, and what was accepted without it is being recorded")
    return fetched


def not_found() -> ProblemError:
    return ProblemError(404, "UnknownMission", "there is no mission of this id that you may see: check the id")


def cursor(at: float, mission_id: MissionId) -> str:
    """The place of a mission in a list that is ordered by a time."""
    return base64.urlsafe_b64encode(f"{at!r} {mission_id}".encode()).decode().rstrip("=")


def position(given: str | None) -> tuple[float, MissionId] | None:
    if given is None:
        return None
    try:
        at, _, mission_id = base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)).decode().partition(" ")
        position = float(at), MissionId(mission_id)
    except (ValueError, binascii.Error) as error:
        raise queries.bad("cursor", "the cursor is not one that a page gave") from error
    if not math.isfinite(position[0]):
        raise queries.bad("cursor", "the cursor is not one that a page gave")
    return position
