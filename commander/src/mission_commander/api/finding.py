"""Finding missions for those who may see them, and the cursors that pages go on from."""

import base64
import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final

from mission_commander.api import queries
from mission_commander.api.answers import ProblemError
from mission_commander.api.doors import may_see
from mission_commander.commander import Commander
from mission_commander.domain.record import Mission
from mission_commander.ports import LedgerAwayError
from mission_contracts.mission import MissionId
from mission_contracts.tokens import Claims

Sees = Callable[[Mission], bool]


async def find(commander: Commander, claims: Claims, mission_id: MissionId) -> Mission:
    """The mission, if there is one and they may see it: else 404, the same for both, and after the same while."""
    [mission] = await fetch(commander, [mission_id], partial(may_see, claims))
    if mission is None:
        raise not_found()
    return mission


def _everything(_: Mission) -> bool:
    return True


async def fetch(commander: Commander, ids: Sequence[MissionId], sees: Sees = _everything) -> list[Mission | None]:
    """From memory, and from the ledger what memory does not hold.

    What they may not see is looked for as if memory did not hold it: neither the time that an answer takes nor a ledger
    that is away tells a stranger's mission from a missing one. Raises LedgerAwayError where nobody can tell whether
    there is such a mission.
    """
    remembered = {one: mission for one in ids if (mission := _seen(commander.memory.get(one), sees)) is not None}
    missing = [one for one in ids if one not in remembered]
    if not missing:
        return [remembered[one] for one in ids]
    unrecorded = {
        one: mission for one in missing if (mission := _seen(commander.unrecorded.get(one), sees)) is not None
    }
    found = {**unrecorded, **await _fetched(commander, missing, unrecorded.keys(), sees), **remembered}
    return [found.get(one) for one in ids]


def _seen(mission: Mission | None, sees: Sees) -> Mission | None:
    return mission if mission is not None and sees(mission) else None


async def recorded(commander: Commander, ids: Sequence[MissionId]) -> list[Mission | None]:
    """What the ledger itself lists; memory saves reading most of it again. Raises LedgerAwayError."""
    missing = [one for one in ids if commander.memory.get(one) is None]
    stored = await commander.ledger.records(missing) if missing else ()
    fetched = {one.id: one for one in stored if one is not None}
    return [commander.memory.get(one) or fetched.get(one) for one in ids]


async def _fetched(
    commander: Commander, missing: Sequence[MissionId], unrecorded: AbstractSet[MissionId], sees: Sees
) -> Mapping[MissionId, Mission]:
    unknown = set(missing) - unrecorded
    if commander.vitals.ledger_is_away:
        if unknown:
            raise LedgerAwayError("the ledger is away, and this Commander's memory does not have it all")
        return {}
    stored = await commander.ledger.records(missing)
    fetched = {one.id: one for one in stored if one is not None and sees(one)}
    if commander.vitals.ledger_is_newly_back and not fetched.keys() >= unknown:
        raise LedgerAwayError("the ledger is back, and what was accepted without it is being recorded")
    return fetched


def not_found() -> ProblemError:
    return ProblemError(404, "UnknownMission", "there is no mission of this id that you may see: check the id")


UNTOLD: Final = 8
"""Of a stranger's id a cursor has its first characters: enough for a place among ids, too few to name one."""


def cursor(claims: Claims, at: float, mission: Mission) -> str:
    """The place of a mission in a list that is ordered by a time, also of one that was only looked at."""
    told = mission.id if may_see(claims, mission) else mission.id[:UNTOLD]
    return base64.urlsafe_b64encode(f"{at!r} {told}".encode()).decode().rstrip("=")


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
