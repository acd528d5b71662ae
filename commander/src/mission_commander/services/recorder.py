"""The one way into the ledger: gathers decisions while the last commit is under way, and commits them together.

Group commit without timers: idle traffic flows at once, busy traffic shares round trips and fsyncs. A decision is
a pure function of the newest record, so a lost race is answered by deciding again on what the winner wrote.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
import structlog

from mission_commander.domain.lane import Lane, LaneChange, LaneKey, LaneRules, Objection, lane_of
from mission_commander.domain.life import OPEN_FIELD, Moment
from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import Change, Committed, Conflict, EraChangedError, Ledger, LedgerAwayError
from mission_commander.services.turns import Around, Turns, UnheardError
from mission_contracts import mission as m
from mission_contracts.clock import Clock
from mission_contracts.envelope import Envelope

T = TypeVar("T")

MAX_COMMIT: Final = 500
"""Decisions in one commit."""

MAX_LOST_RACES: Final = 30
"""Many, since several Commanders may be busy with one lane.

Each lost race means that somebody else got on; losing so many in a row means that memory and ledger disagree.
"""


class Decision(msgspec.Struct, Generic[T], frozen=True):
    """What to answer, and the mission's next record (None: unchanged).

    `worded` makes the answer of the record as it is committed, where its lane may move it further.
    """

    answer: T
    mission: Mission | None = None
    payload: bytes | None = None
    worded: Callable[[Mission], T] | None = None


Decide = Callable[[Mission | None, Moment], Decision[T]]


class Newcomer(msgspec.Struct, Generic[T], frozen=True):
    """A mission that wants to join its lane, and what to decide where the lane objects."""

    envelope: Envelope
    on_objection: Callable[[Objection, Moment], Decision[T]]


class Command(msgspec.Struct, Generic[T], frozen=True):
    """A decision to make on one mission.

    `presumed_absent` saves the look into the ledger for a mission that memory lacks: the commit compares anyway.
    """

    mission_id: m.MissionId
    decide: Decide[T]
    presumed_absent: bool = False
    newcomer: Newcomer[T] | None = None


class _Waiting(msgspec.Struct, Generic[T]):
    command: Command[T]
    answer: asyncio.Future[T]


class Recorder:
    """Makes decisions, one commit at a time."""

    def __init__(
        self,
        ledger: Ledger,
        memory: MissionMemory,
        clock: Clock,
        era: m.Era,
        *,
        lane_rules: LaneRules = LaneRules(),  # noqa: B008  # frozen
        around: Around = lambda _: OPEN_FIELD,
    ) -> None:
        self._lane_rules = lane_rules
        self._around = around
        self._ledger = ledger
        self._memory = memory
        self._clock = clock
        self.era = era
        self._waiting: list[_Waiting[Any]] = []
        self._wanted = asyncio.Event()
        self._hand_out_listeners: list[Callable[[Sequence[Mission]], None]] = []
        self._loss_listeners: list[Callable[[], None]] = []
        self._has_ended = False
        self._behind: dict[m.MissionId, m.Sequence] = {}
        """Missions that memory knows better than the ledger, and what the ledger has of them (0: nothing)."""
        self._lanes_behind: dict[LaneKey, int] = {}
        """The same of lanes."""
        self._log = structlog.get_logger("recorder")

    def on_hand_out(self, listener: Callable[[Sequence[Mission]], None]) -> None:
        """Call with the missions that each commit handed out."""
        self._hand_out_listeners.append(listener)

    def on_loss(self, listener: Callable[[], None]) -> None:
        """Call when the ledger turns out to be in another era, or to know less than this Commander."""
        self._loss_listeners.append(listener)

    async def decide(self, command: Command[T]) -> T:
        """Make one decision durable, and give its answer.

        Raises LedgerAwayError when the ledger cannot be reached (the write may or may not have happened), and what
        the decision itself raises.
        """
        return (await self.decide_all([command]))[0]

    async def decide_all(self, commands: Iterable[Command[T]]) -> Sequence[T]:
        """Make many decisions durable; raises the first error once all have ended."""
        answers = await self._answers(commands)
        errors = [error for answer in answers if (error := answer.exception()) is not None]
        if errors:
            raise errors[0]
        return [answer.result() for answer in answers]

    async def decide_each(self, commands: Iterable[Command[T]]) -> Sequence[T | BaseException]:
        """Make many decisions durable; one that raised is answered with its exception, and hurts nobody else.

        Raises LedgerAwayError when one could not be made durable.
        """
        answers = await self._answers(commands)
        errors = [answer.exception() for answer in answers]
        for error in errors:
            if isinstance(error, LedgerAwayError):
                raise error
            if error is not None:
                self._log.error("a decision failed: a defect of ours", exc_info=error)
        return [error or answer.result() for answer, error in zip(answers, errors, strict=True)]

    async def _answers(self, commands: Iterable[Command[T]]) -> Sequence[asyncio.Future[T]]:
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(command, loop.create_future()) for command in commands]
        if self._has_ended:
            self._refuse(waiting, _ended())
        elif waiting:
            self._waiting.extend(waiting)
            self._wanted.set()
            await asyncio.wait([one.answer for one in waiting])
        return [one.answer for one in waiting]

    async def run(self) -> None:
        """Commit what is decided, until cancelled."""
        batch: list[_Waiting[Any]] = []
        self._has_ended = False
        try:
            while True:
                await self._wanted.wait()
                batch, self._waiting = self._waiting[:MAX_COMMIT], self._waiting[MAX_COMMIT:]
                if not self._waiting:
                    self._wanted.clear()
                await self._commit(batch)
        finally:
            self._has_ended = True
            self._refuse([*batch, *self._waiting], _ended())
            self._waiting.clear()

    async def _commit(self, batch: Sequence[_Waiting[Any]]) -> None:
        self._behind.clear()
        self._lanes_behind.clear()
        try:
            for _ in range(MAX_LOST_RACES):
                batch = await self._try(batch)
        except (LedgerAwayError, EraChangedError) as error:
            self._refuse(batch, error)
        except Exception as error:  # noqa: BLE001  # the loop must outlive a defect: whoever asked is told, the next batch is tried
            self._log.exception("a commit failed in an unexpected way")
            self._refuse(batch, error)
        else:
            self._refuse(batch, LedgerAwayError("other Commanders won each race for these missions; try once more"))

    def _refuse(self, batch: Sequence[_Waiting[Any]], error: Exception) -> None:
        if isinstance(error, EraChangedError):
            self._tell_of_loss()
            error = LedgerAwayError("the ledger was wiped or rolled back, and is being restored")
        for one in batch:
            if not one.answer.done():
                one.answer.set_exception(error)
                one.answer.exception()  # seen: whoever asked may be gone

    def _tell_of_loss(self) -> None:
        for listener in self._loss_listeners:
            listener()

    async def _try(self, batch: Sequence[_Waiting[Any]]) -> Sequence[_Waiting[Any]]:
        """Decide and commit; give what lost a race and must be decided again."""
        if not batch:
            return ()
        plan = await self._plan(batch)
        changes = plan.changes()
        lanes = plan.lanes(changes)
        outcomes = await self._ledger.commit(self.era, changes, lanes=lanes) if changes or lanes else ()
        lost = self._take_in(changes, outcomes)
        self._take_in_lanes(lanes, lost)
        return plan.settle(lost)

    async def _plan(self, batch: Sequence[_Waiting[Any]]) -> "_Plan":
        found = await self._find(batch)
        absent: set[LaneKey] = set()
        while True:
            moment = Moment(self._clock.now(), self.era)
            turns = Turns(
                self._memory.lanes, moment, self._lane_rules, self._around, behind=self._lanes_behind, absent=absent
            )
            plan = _Plan(found, self._memory, moment, self._correct, turns)
            try:
                for one in batch:
                    plan.add(one)
            except UnheardError as unheard:
                [stored] = await self._ledger.fetch([unheard.mission_id])
                found[unheard.mission_id] = stored.mission if stored else None
                continue
            if not turns.doubtful:
                return plan
            await self._learn_lanes(list(turns.doubtful), absent)

    async def _find(self, batch: Sequence[_Waiting[Any]]) -> dict[m.MissionId, Mission | None]:
        found: dict[m.MissionId, Mission | None] = {}
        unknown: dict[m.MissionId, None] = {}
        for one in batch:
            mission_id = one.command.mission_id
            known = self._memory.get(mission_id)
            found[mission_id] = known
            if known is None and not one.command.presumed_absent:
                unknown[mission_id] = None
        if unknown:
            stored = await self._ledger.fetch(list(unknown))
            found |= {i: s.mission if s else None for i, s in zip(unknown, stored, strict=True)}
        return found

    # Lanes.

    async def _learn_lanes(self, keys: Sequence[LaneKey], absent: set[LaneKey]) -> None:
        now = self._clock.now()
        for key, lane in zip(keys, await self._ledger.lanes(keys), strict=True):
            self._learn_lane(key, lane, now)
            if lane is None:
                absent.add(key)

    def _learn_lane(self, key: LaneKey, stored: Lane | None, now: float) -> None:
        """Take the ledger's word on a lane; where it knows less than memory, it was rolled back: memory is right."""
        known = self._memory.lanes.get(key, now)
        self._lanes_behind.pop(key, None)
        if known is not None and (stored.record.version < known.record.version if stored else known.queue):
            self._lanes_behind[key] = stored.record.version if stored else 0
            self._memory.lanes.learn(known)
            self._tell_of_loss()
        elif stored is not None:
            self._memory.lanes.learn(stored)
        else:
            self._memory.lanes.forget(key)

    def _take_in_lanes(self, lanes: Sequence[LaneChange], lost: set[m.MissionId]) -> None:
        for lane in lanes:
            if lane.missions and lost.isdisjoint(lane.missions):
                self._memory.lanes.apply(lane)
            else:
                self._memory.lanes.doubt(lane.key)

    # Missions.

    def _take_in(self, changes: Sequence[Change], outcomes: Sequence[Committed | Conflict]) -> set[m.MissionId]:
        lost: set[m.MissionId] = set()
        handed_out: list[Mission] = []
        for change, outcome in zip(changes, outcomes, strict=True):
            if isinstance(outcome, Conflict):
                lost.add(change.mission.id)
                self._accept_defeat(change.mission.id, outcome)
                continue
            self._memory.apply(change.mission, change.payload)
            if change.hands_out:
                handed_out.append(change.mission)
        if handed_out:
            for listener in self._hand_out_listeners:
                listener(handed_out)
        return lost

    def _accept_defeat(self, mission_id: m.MissionId, conflict: Conflict) -> None:
        """Take the winner's record; where the ledger knows less than memory, it was rolled back: memory is right."""
        known, current = self._memory.get(mission_id), conflict.current
        if current is None and (known is None or known.is_final):
            self._memory.forget(mission_id)  # purged
        elif current is not None and (known is None or known.sequence <= current.sequence):
            self._memory.apply(current)
        elif current is not None and current.is_final:
            self._memory.forget(mission_id)  # somebody ended it meanwhile, and a final state never changes
            self._memory.apply(current)
        else:
            self._behind[mission_id] = m.Sequence(current.sequence if current else 0)
            self._tell_of_loss()

    def _correct(self, change: Change) -> Change:
        """Base a change on what the ledger has, where that is less than what memory has."""
        expected = self._behind.pop(change.mission.id, None)
        if expected is None:
            return change
        return Change(
            mission=change.mission,
            expected=expected,
            payload=None if expected else (self._memory.payload(change.mission.id) or b"{}"),
            hands_out=change.mission.phase is Phase.OUT,
        )


def _ended() -> LedgerAwayError:
    return LedgerAwayError("this Commander ends: ask another one, or the next one in a moment")


class _Plan:
    """Decisions on a batch: each builds on those before it, and each mission is written once."""

    def __init__(
        self,
        found: dict[m.MissionId, Mission | None],
        memory: MissionMemory,
        moment: Moment,
        correct: Callable[[Change], Change],
        turns: Turns,
    ) -> None:
        self._before = dict(found)
        self._after = dict(found)
        self._memory = memory
        self._payloads: dict[m.MissionId, bytes] = {}
        self._moment = moment
        self._correct = correct
        self._turns = turns
        self._decided: list[tuple[_Waiting[Any], Decision[Any]]] = []

    def add(self, one: _Waiting[Any]) -> None:
        mission_id = one.command.mission_id
        before = self._after[mission_id]
        try:
            decision = self._objected(one.command, before) or one.command.decide(before, self._moment)
        except Exception as error:  # noqa: BLE001  # it belongs to whoever asked, not to its neighbours
            if not one.answer.done():
                one.answer.set_exception(error)
                one.answer.exception()  # seen: whoever asked may be gone
            return
        if decision.mission is not None:
            self._after[mission_id] = decision.mission
        if decision.payload is not None:
            self._payloads.setdefault(mission_id, decision.payload)
        after = self._after[mission_id]
        if after is not None and after.envelope.ordering_key is not None:
            self._turns.follow(self, before, after, joins=one.command.newcomer is not None)
        self._decided.append((one, decision))

    def _objected(self, command: Command[Any], before: Mission | None) -> Decision[Any] | None:
        if before is not None or command.newcomer is None:
            return None
        objection = self._turns.objection(command.newcomer.envelope)
        return command.newcomer.on_objection(objection, self._moment) if objection is not None else None

    # What lanes see and move.

    def look(self, mission_id: m.MissionId) -> Mission | None:
        if mission_id in self._after:
            return self._after[mission_id]
        known = self._memory.get(mission_id)
        if known is None:
            raise UnheardError(mission_id)
        return known

    def put(self, mission: Mission) -> None:
        if mission.id not in self._before:
            self._before[mission.id] = self._memory.get(mission.id)
        self._after[mission.id] = mission

    # The outcome.

    def changes(self) -> list[Change]:
        return [
            self._correct(self._change(mission_id, before, after))
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
            payload=self._payloads.get(mission_id) if before is None else None,
            hands_out=after.phase is Phase.OUT and (before is None or before.epoch != after.epoch),
        )

    def settle(self, lost: set[m.MissionId]) -> list[_Waiting[Any]]:
        """Answer what is durable; give the rest."""
        again = [one for one, _ in self._decided if one.command.mission_id in lost]
        for one, decision in self._decided:
            if one.command.mission_id not in lost and not one.answer.done():
                one.answer.set_result(self._answer(one.command.mission_id, decision))
        return again

    def _answer(self, mission_id: m.MissionId, decision: Decision[Any]) -> Any:
        record = self._after[mission_id]
        return decision.worded(record) if decision.worded and record is not None else decision.answer
