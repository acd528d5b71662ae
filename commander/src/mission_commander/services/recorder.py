"""The one way into the ledger: gathers decisions while the last commit is under way, and commits them together.

Group commit without timers: idle traffic flows at once, busy traffic shares round trips and fsyncs. A decision is
a pure function of the newest record, so a lost race is answered by deciding again on what the winner wrote.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec
import structlog

from mission_commander.domain.life import Moment
from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import Change, Committed, Conflict, EraChangedError, Ledger, LedgerAwayError
from mission_contracts import mission as m
from mission_contracts.clock import Clock

T = TypeVar("T")

MAX_COMMIT: Final = 500
"""Decisions in one commit."""

MAX_LOST_RACES: Final = 10
"""Each lost race means that somebody else got on; losing so many in a row means that memory and ledger disagree."""


class Decision(msgspec.Struct, Generic[T], frozen=True):
    """What to answer, and the mission's next record (None: unchanged)."""

    answer: T
    mission: Mission | None = None
    payload: bytes | None = None


Decide = Callable[[Mission | None, Moment], Decision[T]]


class Command(msgspec.Struct, Generic[T], frozen=True):
    """A decision to make on one mission.

    `presumed_absent` saves the look into the ledger for a mission that memory lacks: the commit compares anyway.
    """

    mission_id: m.MissionId
    decide: Decide[T]
    presumed_absent: bool = False


class _Waiting(msgspec.Struct, Generic[T]):
    command: Command[T]
    answer: asyncio.Future[T]


class Recorder:
    """Makes decisions, one commit at a time."""

    def __init__(self, ledger: Ledger, memory: MissionMemory, clock: Clock, era: m.Era) -> None:
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
        found = await self._find(batch)
        plan = _Plan(found, Moment(self._clock.now(), self.era), self._correct)
        for one in batch:
            plan.add(one)
        changes = plan.changes()
        outcomes = await self._ledger.commit(self.era, changes) if changes else ()
        lost = self._take_in(changes, outcomes)
        return plan.settle(lost)

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
        self, found: dict[m.MissionId, Mission | None], moment: Moment, correct: Callable[[Change], Change]
    ) -> None:
        self._before = found
        self._after = dict(found)
        self._payloads: dict[m.MissionId, bytes] = {}
        self._moment = moment
        self._correct = correct
        self._decided: list[tuple[_Waiting[Any], Any]] = []

    def add(self, one: _Waiting[Any]) -> None:
        mission_id = one.command.mission_id
        try:
            decision = one.command.decide(self._after[mission_id], self._moment)
        except Exception as error:  # noqa: BLE001  # it belongs to whoever asked, not to its neighbours
            if not one.answer.done():
                one.answer.set_exception(error)
                one.answer.exception()  # seen: whoever asked may be gone
            return
        if decision.mission is not None:
            self._after[mission_id] = decision.mission
        if decision.payload is not None:
            self._payloads.setdefault(mission_id, decision.payload)
        self._decided.append((one, decision.answer))

    def changes(self) -> list[Change]:
        return [
            self._correct(self._change(mission_id, before, after))
            for mission_id, before in self._before.items()
            if (after := self._after[mission_id]) is not None and after is not before
        ]

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
        for one, answer in self._decided:
            if one.command.mission_id not in lost and not one.answer.done():
                one.answer.set_result(answer)
        return again
