"""What the decisions of one commit do to lanes, and what the lanes then do to missions: all of it in the same commit.

Nothing here writes. A lane's change and the changes of its missions stand or fall together, so no crash and no race
leaves a lane whose turn is given to nobody, or to two.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from mission_commander.domain import life
from mission_commander.domain.lane import Draft, LaneChange, LaneKey, LaneRules, Objection, Place, lane_of
from mission_commander.domain.lane_memory import LaneMemory
from mission_commander.domain.life import Moment, Surroundings
from mission_commander.domain.record import Mission, Phase
from mission_contracts import mission as m
from mission_contracts.envelope import Envelope

Around = Callable[[Envelope], Surroundings]


class UnheardError(Exception):
    """A lane speaks of a mission that this Commander has not heard of yet."""

    def __init__(self, mission_id: m.MissionId) -> None:
        super().__init__(f"mission {mission_id} stands in a lane, and is not known here yet")
        self.mission_id = mission_id


class Records(Protocol):
    """The missions' records as decided so far."""

    def look(self, mission_id: m.MissionId) -> Mission | None:
        """Give a record, None where the ledger has none; raises UnheardError when nobody knows yet."""
        ...

    def put(self, mission: Mission) -> None: ...


class Turns:
    """The lanes of one commit. `behind`: those that the ledger knows at an older version; `absent`: not at all."""

    def __init__(
        self,
        lanes: LaneMemory,
        moment: Moment,
        rules: LaneRules,
        around: Around,
        *,
        behind: Mapping[LaneKey, int],
        absent: Collection[LaneKey],
    ) -> None:
        self._lanes = lanes
        self._moment = moment
        self._rules = rules
        self._around = around
        self._behind = behind
        self._absent = absent
        self._drafts: dict[LaneKey, Draft] = {}
        self.doubtful: dict[LaneKey, None] = {}
        """Lanes that have to be read from the ledger before anything here can be believed."""

    def objection(self, envelope: Envelope) -> Objection | None:
        """Why a newcomer may not join its lane."""
        key = lane_of(envelope)
        return None if key is None else self._draft(key, exists=False).objection(envelope)

    def follow(self, records: Records, before: Mission | None, after: Mission, *, joins: bool) -> None:
        """Let a lane follow what was just decided on a mission of it. `joins`: it is a newcomer, not a lost one."""
        key = lane_of(after.envelope)
        if key is None or (before is not None and before.is_final):
            return
        if before is not None and not after.is_final and after.phase is not Phase.WAITING:
            return  # out, or claimed: it has the turn, and keeps it
        draft = self._draft(key, exists=before is not None)
        placed = self._placed(draft, after, joins=joins)
        if placed.is_final and placed.place is not None and draft.at(placed.place) == placed.id:
            draft.leave(placed.place)
        if placed.phase is Phase.WAITING and not placed.leads:
            draft.rely()
        records.put(placed)
        _Settling(draft, records, self._moment, self._rules, self._around).settle()

    def changes(self, changed: Mapping[LaneKey, Sequence[m.MissionId]]) -> list[LaneChange]:
        """The lanes to commit, each with its missions among those that the commit changes."""
        decided = (draft.change(self._moment.now, self._rules) for draft in self._drafts.values())
        return [msgspec.structs.replace(one, missions=tuple(changed.get(one.key, ()))) for one in decided if one]

    # How.

    def _draft(self, key: LaneKey, *, exists: bool) -> Draft:
        draft = self._drafts.get(key)
        if draft is None:
            lane = self._lanes.get(key, self._moment.now)
            if self._lanes.is_doubted(key) or (lane is None and exists and key not in self._absent):
                self.doubtful[key] = None
            draft = self._drafts[key] = Draft(key, lane, expected=self._behind.get(key))
        return draft

    def _placed(self, draft: Draft, mission: Mission, *, joins: bool) -> Mission:
        """The mission with its place; one that came too late has none."""
        if mission.reason is m.Reason.LANE_PASSED:
            return mission
        if mission.place is not None and draft.at(mission.place) == mission.id:
            return mission
        if joins:
            return msgspec.structs.replace(mission, place=draft.join(mission.id, mission.envelope))
        return self._restored(draft, mission)

    def _restored(self, draft: Draft, mission: Mission) -> Mission:
        """Give a place to a mission that its lane does not know: one of the two was lost."""
        had_turn = mission.leads or mission.phase is not Phase.WAITING
        if had_turn and (place := draft.restore(mission.id, mission.envelope, leads=True)):
            return life.stand_at(mission, self._moment, place, leads=True)
        if place := draft.restore(mission.id, mission.envelope, leads=False):
            return life.stand_at(mission, self._moment, place, leads=False)
        if mission.place is None and mission.leads:
            return mission
        return life.stand_at(mission, self._moment, None, leads=True)  # its lane is past it: it runs beside


class _Settling:
    """One lane that somebody came to or left: who has the turn now, and who has to be told."""

    def __init__(self, draft: Draft, records: Records, moment: Moment, rules: LaneRules, around: Around) -> None:
        self._draft = draft
        self._records = records
        self._moment = moment
        self._rules = rules
        self._around = around

    def settle(self) -> None:
        """Give the turn until somebody has it who can use it, and tell those who wait why."""
        draft = self._draft
        waited = draft.gap.waiter if draft.gap else None
        draft.settle(self._moment.now, self._rules)
        while draft.head is not None and not self._gives_turn(draft.head):
            draft.leave(draft.head)
            draft.settle(self._moment.now, self._rules)
        if draft.gap is not None:
            self._tell_of_gap(draft.gap.waiter, draft.gap.until)
        if waited is not None and waited not in (draft.head, draft.gap.waiter if draft.gap else None):
            self._tell_of_others(waited)

    def _gives_turn(self, head: Place) -> bool:
        """Give the turn to who is at the head; False when that one is final or gone."""
        mission = self._standing(head)
        if mission is None or mission.is_final:
            return False
        if mission.leads and mission.place == head:
            self._mend(mission)
        elif mission.phase is Phase.WAITING:
            here = msgspec.structs.replace(mission, place=head)
            turn = life.take_turn(here, self._moment, self._around(mission.envelope), self._draft.why_skipped())
            self._records.put(turn)
        else:
            self._records.put(life.stand_at(mission, self._moment, head, leads=True))
        return True

    def _mend(self, mission: Mission) -> None:
        """It leads and yet is told to wait for others: it took a turn that it had held already."""
        if mission.phase is Phase.WAITING and mission.reason in _WAITS_IN_LANE:
            self._records.put(life.take_turn(mission, self._moment, self._around(mission.envelope)))

    def _tell_of_gap(self, waiter: Place, until: float) -> None:
        mission = self._standing(waiter)
        if mission is None or mission.is_final:
            self._draft.leave(waiter)
            self.settle()
        elif _waits_for_turn(mission) and (mission.reason, mission.due_at) != (m.Reason.LANE_GAP, until):
            self._records.put(life.wait_for_gap(mission, self._moment, until, self._draft.why_gap()))

    def _tell_of_others(self, waiter: Place) -> None:
        """Somebody with a lower number came: who waited at the front for a gap waits behind it now."""
        mission = self._standing(waiter)
        if mission is not None and mission.reason is m.Reason.LANE_GAP and not mission.is_final:
            self._records.put(life.stand_in_lane(mission, self._moment))

    def _standing(self, place: Place) -> Mission | None:
        mission_id = self._draft.at(place)
        return self._records.look(mission_id) if mission_id else None


def _waits_for_turn(mission: Mission) -> bool:
    """Tell whether a lane is what it waits for, and not a person or a time of its own."""
    return mission.phase is Phase.WAITING and mission.reason in _WAITS_IN_LANE


_WAITS_IN_LANE: Final = frozenset({m.Reason.LANE_BUSY, m.Reason.LANE_GAP})
