"""What the operator remembers of each Mission: a digest of some hundred bytes, never its body.

Everything here can be lost without harm. A restart learns it again from the objects and from the Commander.
"""

from collections.abc import Iterator, Mapping
from enum import IntEnum

import msgspec

from mission_contracts.mission import MissionId
from mission_operator.missions.observing import Observed
from mission_operator.objects import Since


class Cancelling(IntEnum):
    """How far the Commander was told to cancel; it only grows."""

    NO = 0
    ASKED = 1
    DELETED = 2


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A Mission's digest. `sequence` and `conditions` are what the object shows, the rest what was done about it."""

    namespace: str = ""
    name: str = ""
    generation: int = 0
    resource_version: int = 0
    sequence: int = -1
    is_final: bool = False
    is_gone: bool = False
    conditions: Mapping[str, Since] = {}

    is_submitted: bool = False
    """It was handed to the outbox."""
    is_accepted: bool = False
    """The Commander answered for it."""
    suspend: bool | None = None
    """What the Commander was last told; None when that is not known."""
    cancelling: Cancelling = Cancelling.NO
    is_acknowledged: bool = False


UNKNOWN = Known()


class Index:
    """Digests by uid."""

    def __init__(self) -> None:
        self._known: dict[MissionId, Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def of(self, mission_id: MissionId) -> Known:
        return self._known.get(mission_id, UNKNOWN)

    def change(self, mission_id: MissionId, **changes: object) -> Known:
        """Note something about a mission that is known; nothing happens for one that is not."""
        known = self._known.get(mission_id)
        if known is None:
            return UNKNOWN
        return self._put(mission_id, msgspec.structs.replace(known, **changes))

    def is_stale(self, observed: Observed) -> bool:
        """Tell whether a later look at this object was noted already."""
        known = self.of(observed.mission_id)
        return known.is_gone or (observed.resource_version < known.resource_version and not observed.is_gone)

    def see(self, observed: Observed) -> Known:
        """Note what an object shows."""
        return self._put(observed.mission_id, _seen(self.of(observed.mission_id), observed))

    def mark_gone(self, mission_id: MissionId) -> Known:
        """Note that there is no such object, whether it was ever seen or not."""
        return self._put(mission_id, msgspec.structs.replace(self.of(mission_id), is_gone=True))

    def forget(self, mission_id: MissionId) -> None:
        self._known.pop(mission_id, None)

    def unfinished(self) -> Iterator[MissionId]:
        """Missions that the Commander took and that are not settled: their objects do not show a final state."""
        return (one for one, known in self._known.items() if known.is_accepted and not known.is_final)

    def unsubmitted(self) -> Iterator[MissionId]:
        """Missions that found no room in the outbox."""
        return (
            one for one, known in self._known.items() if not (known.is_submitted or known.is_final or known.is_gone)
        )

    def seen_before(self, resource_version: int) -> Iterator[MissionId]:
        """Living objects last seen at or before a version."""
        return (
            one
            for one, known in self._known.items()
            if not known.is_gone and known.resource_version <= resource_version
        )

    def _put(self, mission_id: MissionId, known: Known) -> Known:
        self._known[mission_id] = known
        return known


def _seen(known: Known, observed: Observed) -> Known:
    shown = observed.shown
    return msgspec.structs.replace(
        known,
        namespace=observed.namespace,
        name=observed.name,
        generation=observed.generation,
        resource_version=max(observed.resource_version, known.resource_version),
        sequence=max(known.sequence, shown.sequence if shown else -1),
        is_final=known.is_final or observed.is_final,
        is_gone=known.is_gone or observed.is_gone,
        conditions=shown.conditions if shown else known.conditions,
    )
