"""Decisions on a batch of missions before they are committed: each builds on those before it, each mission is
written once."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Generic, TypeVar, cast

import msgspec

from mission_commander.domain.lane import LaneChange, LaneKey, Objection, Taken, lane_of
from mission_commander.domain.life import EraFullError, Moment
from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.owners import RETRY_PAYLOAD_BYTES
from mission_commander.domain.record import Mission, Phase
from mission_commander.domain.retention import MAX_CLOCK_SKEW_SECONDS
from mission_commander.ports import Change
from mission_commander.services.differences import Differences
from mission_commander.services.turns import Turns, UnheardError
from mission_contracts import mission as m
from mission_contracts.envelope import Envelope

T = TypeVar("T")


class Decision(msgspec.Struct, Generic[T], frozen=True):
    """What to answer, and the mission's next record (None: unchanged)."""

    answer: T
    mission: Mission | None = None
    payload: bytes | None = None
    worded: Callable[[Mission], T] | None = None
    """Makes the answer of the record as it is committed, where its lane may move it further."""
    shows_loss: bool = False
    """What was told knows more of this era than the ledger does: the ledger was rolled back."""
    rebuilds: bool = False
    """The first record here is of a mission that was accepted, and got its numbers, before the ledger lost it."""


Decide = Callable[[Mission | None, Moment], Decision[T]]


class Newcomer(msgspec.Struct, Generic[T], frozen=True):
    """A mission that wants to join its lane, and what to decide where the lane objects."""

    envelope: Envelope
    on_objection: Callable[[Objection, Moment], Decision[T]]


class Command(msgspec.Struct, Generic[T], frozen=True):
    """A decision to make on one mission.

    `presumed_absent` saves the look into the ledger for a mission that memory lacks: the commit compares anyway.
    `fresh` asks for that look also where memory has the mission: another Commander may have moved it lately.
    `accepted_at` says which of the missions that used this id one after the other is meant, where it was accepted then:
    a record that was past its retention by then is of an earlier one, and the decision is made as if there were none.
    `weight` is how many bytes it may add to a commit, beside the record.
    `admits` says that it is new work, which a full ledger refuses (LedgerFullError).
    """

    mission_id: m.MissionId
    decide: Decide[T]
    presumed_absent: bool = False
    newcomer: Newcomer[T] | None = None
    fresh: bool = False
    weight: int = 0
    accepted_at: float | None = None
    admits: bool = False


class Waiting(msgspec.Struct, Generic[T]):
    """A command that was asked, and how it ended."""

    command: Command[T]
    asked: "Asked[T]"
    has_ended: bool = False
    error: Exception | None = None
    _answer: T | None = None

    def answer(self) -> T:
        """Give the answer of one that has ended without an error."""
        return cast("T", self._answer)

    def settle(self, answer: T) -> None:
        if not self.has_ended:
            self._answer = answer
            self._end()

    def refuse(self, error: Exception) -> None:
        if not self.has_ended:
            self.error = error
            self._end()

    def _end(self) -> None:
        self.has_ended = True
        self.asked.one_ended()


class Asked(Generic[T]):
    """Commands that were asked together. Whoever asked waits for the last one: one future for all of them."""

    def __init__(self, commands: Iterable[Command[T]]) -> None:
        self.all = [Waiting(command, self) for command in commands]
        self._open = len(self.all)
        self._ended = asyncio.get_running_loop().create_future()

    async def ended(self) -> Sequence[Waiting[T]]:
        """Wait until each has an answer or an error, and return them: once, since each of them refers to this."""
        try:
            if self._open:
                await self._ended
            return self.all
        finally:
            self.all = []  # else a cycle would keep their payloads until the collector looks at old objects, if ever

    def one_ended(self) -> None:
        self._open -= 1
        if not self._open and not self._ended.done():  # it is done where whoever asked has gone
            self._ended.set_result(None)


class Plan:
    """What a batch comes to."""

    def __init__(
        self,
        found: Mapping[m.MissionId, Mission | None],
        memory: MissionMemory,
        differences: Differences,
        moment: Moment,
        turns: Turns,
        presumed_absent: AbstractSet[m.MissionId],
    ) -> None:
        self._presumed_absent = presumed_absent
        self._before = differences.corrected(found)
        self._after = differences.bases(found, moment)
        self._memory = memory
        self._differences = differences
        self._payloads: dict[m.MissionId, bytes] = differences.payloads()
        self._moment = moment
        self._turns = turns
        self._decided: list[tuple[Waiting[Any], Decision[Any]]] = []
        self._new: set[m.MissionId] = set()

    def add(self, one: Waiting[Any]) -> None:
        mission_id = one.command.mission_id
        before, moment = self._of_this_life(one.command, self._after[mission_id])
        try:
            decision = self._objected(one.command, before) or one.command.decide(before, moment)
        except (UnheardError, EraFullError):
            raise
        except Exception as error:  # noqa: BLE001  # it belongs to whoever asked, not to its neighbours
            one.refuse(error)
            return
        if decision.mission is not None:
            self._after[mission_id] = _with_size(decision.mission, decision.payload)
            if before is None and not decision.rebuilds:
                self._new.add(mission_id)
        if decision.payload is not None:
            self._payloads.setdefault(mission_id, decision.payload)
        after = self._after[mission_id] if before is not None else decision.mission
        if after is not None and after.envelope.ordering_key is not None:
            self._turns.follow(self, before, after, joins=before is None and one.command.newcomer is not None)
        self._decided.append((one, decision))

    def _of_this_life(self, command: Command[Any], before: Mission | None) -> tuple[Mission | None, Moment]:
        """The record that a decision builds on, unless it is of an earlier life: then only its numbers count."""
        if before is None or command.accepted_at is None:
            return before, self._moment
        # A time that lies ahead is mistaken or made up, and frees no id.
        accepted_at = min(command.accepted_at, self._moment.now + MAX_CLOCK_SKEW_SECONDS)
        if not self._memory.retention.has_freed_id(before, accepted_at):
            return before, self._moment
        floor = max(self._moment.floor, before.sequence, before.epoch)
        return None, msgspec.structs.replace(self._moment, floor=floor)

    def _objected(self, command: Command[Any], before: Mission | None) -> Decision[Any] | None:
        if before is not None or command.newcomer is None:
            return None
        objection = self._turns.objection(command.newcomer.envelope)
        if objection is None or self._is_itself(command.mission_id, objection):
            return None
        return command.newcomer.on_objection(objection, self._moment)

    def _is_itself(self, mission_id: m.MissionId, objection: Objection) -> bool:
        """Tell whether it has that place itself, and its record is lost; raises UnheardError where nobody looked."""
        if not isinstance(objection, Taken) or objection.by != mission_id:
            return False
        if mission_id in self._presumed_absent:
            raise UnheardError(mission_id)
        return True

    # What lanes see and move.

    def look(self, mission_id: m.MissionId) -> Mission | None:
        if mission_id in self._after:
            return self._after[mission_id]
        known = self._differences.base(mission_id, self._memory.get(mission_id), self._moment)
        if known is None:
            raise UnheardError(mission_id)
        return known

    def put(self, mission: Mission) -> None:
        if mission.id not in self._before:
            self._before[mission.id] = self._differences.actual(mission.id, self._memory.get(mission.id))
        self._after[mission.id] = mission

    # The outcome.

    def changes(self) -> list[Change]:
        return [
            self._change(mission_id, before, after)
            for mission_id, before in self._before.items()
            if (after := self._after[mission_id]) is not None and after is not before
        ]

    def lanes(self, changes: Sequence[Change]) -> list[LaneChange]:
        """The lanes that change, each with all its missions that do."""
        missions: dict[LaneKey, list[m.MissionId]] = {}
        for change in changes:
            if (key := lane_of(change.mission.envelope)) is not None:
                missions.setdefault(key, []).append(change.mission.id)
        return self._turns.changes(missions)

    def _change(self, mission_id: m.MissionId, before: Mission | None, after: Mission) -> Change:
        return Change(
            mission=after,
            expected=before.sequence if before else m.Sequence(0),
            payload=self._payloads.get(mission_id),
            hands_out=after.phase is Phase.OUT and (before is None or _is_for_the_outbox(before, after)),
            is_new=mission_id in self._new,
            replaces=before is not None and self._memory.retention.is_earlier_life(before, after),
        )

    def settle(self, lost: set[m.MissionId]) -> list[Waiting[Any]]:
        """Answer what is durable; give the rest."""
        for one, decision in self._decided:
            if one.command.mission_id not in lost:
                one.settle(self._answer(one.command.mission_id, decision))
        return [one for one, _ in self._decided if one.command.mission_id in lost]

    def _answer(self, mission_id: m.MissionId, decision: Decision[Any]) -> Any:
        record = self._after[mission_id]
        return decision.worded(record) if decision.worded and record is not None else decision.answer

    def shows_loss(self, lost: set[m.MissionId]) -> bool:
        """Tell whether what is durable proves that the ledger lacks some of this era."""
        return any(d.shows_loss for one, d in self._decided if one.command.mission_id not in lost)


def _is_for_the_outbox(before: Mission, after: Mission) -> bool:
    """A new hand-out, or one that could not be published for want of its payload."""
    return before.epoch != after.epoch or (before.payload_lost and not after.payload_lost)


def _with_size(mission: Mission, payload: bytes | None) -> Mission:
    """Note how large the payload is that comes with a record, where the end of the mission goes by it."""
    if payload is None or len(payload) <= RETRY_PAYLOAD_BYTES or mission.payload_bytes:
        return mission
    return msgspec.structs.replace(mission, payload_bytes=len(payload))
