"""The one way into the ledger: gathers decisions while the last commit is under way, and commits them together.

Group commit without timers: idle traffic flows at once, busy traffic shares round trips and fsyncs. A decision is
a pure function of the newest record, so a lost race is answered by deciding again on what the winner wrote.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import structlog

from mission_commander.domain.lane import Lane, LaneChange, LaneKey, LaneRules
from mission_commander.domain.life import OPEN_FIELD, EraFullError, Moment
from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Mission
from mission_commander.domain.standing import knows_more
from mission_commander.ports import (
    Change,
    Committed,
    Conflict,
    EraChangedError,
    Ledger,
    LedgerAwayError,
    LedgerFullError,
    RolledBackError,
)
from mission_commander.services.counts import Counts
from mission_commander.services.deciding import Asked, Command, Decide, Decision, Newcomer, Plan, Waiting
from mission_commander.services.differences import Differences
from mission_commander.services.horizon import Horizon
from mission_commander.services.turns import Around, Turns, UnheardError
from mission_contracts import metrics
from mission_contracts import mission as m
from mission_contracts.clock import Clock

__all__ = ["Command", "Decide", "Decision", "Newcomer", "Recorder"]

T = TypeVar("T")

MAX_COMMIT: Final = 500
"""Decisions in one commit."""

MAX_COMMIT_BYTES: Final = 8 * 1024 * 1024
"""Of payloads and results in one commit, unless a single one has more: well within the deadline of its answer."""

MAX_LOST_RACES: Final = 30
"""Many, since several Commanders may be busy with one lane.

Each lost race means that somebody else got on; losing so many in a row means that memory and ledger disagree.
"""

NEW_ERA_SECONDS: Final = 1.0
"""How long decisions wait for the era that follows a loss, before whoever asked is told that the ledger is away."""

OnLoss = Callable[[m.Era | None], None]


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
        counts: Counts | None = None,
    ) -> None:
        self._lane_rules = lane_rules
        self._around = around
        self._counts = counts or Counts()
        self._ledger = ledger
        self._memory = memory
        self._clock = clock
        self.horizon = Horizon(era)
        self._differences = Differences(ledger, memory)
        self._waiting: list[Waiting[Any]] = []
        self._wanted = asyncio.Event()
        self._hand_out_listeners: list[Callable[[Sequence[Mission]], None]] = []
        self._loss_listeners: list[OnLoss] = []
        self._suspicion_listeners: list[Callable[[m.Era], None]] = []
        self._doubt_listeners: list[Callable[[], None]] = []
        self._has_ended = False
        self._lanes_behind: dict[LaneKey, int] = {}
        """Lanes that memory knows better than the ledger, and what the ledger has of them (0: nothing)."""
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._log = structlog.get_logger("recorder")

    @property
    def era(self) -> m.Era:
        """The era that this Commander works in."""
        return self.horizon.era

    def known(self, mission_id: m.MissionId, accepted_at: float = 0.0) -> Mission | None:
        """What memory has of a mission, before a decision on it; another Commander may have moved it lately.

        `accepted_at` leaves out what ended, and was past its retention, before a mission of the same id was accepted.
        """
        return self._memory.of_life(mission_id, accepted_at)

    def on_hand_out(self, listener: Callable[[Sequence[Mission]], None]) -> None:
        """Call with the missions that each commit handed out."""
        self._hand_out_listeners.append(listener)

    def on_loss(self, listener: OnLoss) -> None:
        """Call when the ledger is in another era (None), or when the era that is given cannot go on.

        It cannot where the ledger lacks some of it, or where no number is left in it; both are certain.
        """
        self._loss_listeners.append(listener)

    def on_doubt(self, listener: Callable[[], None]) -> None:
        """Call when a commit was not answered: it may have been written all the same."""
        self._doubt_listeners.append(listener)

    def on_suspicion(self, listener: Callable[[m.Era], None]) -> None:
        """Call when somebody's word shows that the ledger lacks some of an era."""
        self._suspicion_listeners.append(listener)

    async def decide(self, command: Command[T]) -> T:
        """Make one decision durable, and give its answer.

        Raises LedgerAwayError when the ledger cannot be reached (the write may or may not have happened), and what
        the decision itself raises.
        """
        return (await self.decide_all([command]))[0]

    async def decide_all(self, commands: Iterable[Command[T]]) -> Sequence[T]:
        """Make many decisions durable; raises the first error once all have ended."""
        asked = await self._ask(commands)
        for one in asked:
            if one.error is not None:
                raise one.error
        return [one.answer() for one in asked]

    async def decide_each(self, commands: Iterable[Command[T]]) -> Sequence[T | BaseException]:
        """Make many decisions durable; one that raised is answered with its exception, and hurts nobody else.

        Raises LedgerAwayError when one could not be made durable.
        """
        decided = await self.decide_what_can_be(commands)
        for one in decided:
            if isinstance(one, LedgerAwayError):
                raise one
        return decided

    async def decide_what_can_be(self, commands: Iterable[Command[T]]) -> Sequence[T | BaseException]:
        """As `decide_each`, but what is not durable is answered with its LedgerAwayError, or LedgerFullError."""
        asked = await self._ask(commands)
        for one in asked:
            if one.error is not None and not isinstance(one.error, LedgerAwayError | LedgerFullError):
                self._log.error("a decision failed: a defect of ours", exc_info=one.error)
        return [one.error or one.answer() for one in asked]

    async def _ask(self, commands: Iterable[Command[T]]) -> Sequence[Waiting[T]]:
        asked = Asked(commands)
        if self._has_ended:
            self._refuse(asked.all, _ended())
        elif asked.all:
            self._waiting.extend(asked.all)
            self._wanted.set()
        return await asked.ended()

    # The ledger's losses.

    async def check(self) -> bool:
        """Look whether the ledger still is what this Commander knows; if not, tell whoever restores it.

        Raises LedgerAwayError.
        """
        try:
            await self._ledger.commit(self.era, (), seen=self.horizon.seen)
        except EraChangedError as error:
            self._tell_of_loss(error)
            return False
        return True

    async def quiet(self) -> None:
        """Wait for a moment without a commit under way: what was begun before is then in memory, or was refused."""
        await self._quiet.wait()

    def _tell_of_loss(self, error: EraChangedError) -> None:
        lost = self.era if isinstance(error, RolledBackError) else None
        for listener in self._loss_listeners:
            listener(lost)

    def _tell_of_full_era(self, era: m.Era) -> None:
        self._log.warning("the numbers of an era are used up; the next one begins", era=era)
        for listener in self._loss_listeners:
            listener(era)

    def _tell_of_suspicion(self) -> None:
        for listener in self._suspicion_listeners:
            listener(self.era)

    # Committing.

    async def run(self) -> None:
        """Commit what is decided, until cancelled."""
        batch: list[Waiting[Any]] = []
        self._has_ended = False
        try:
            while True:
                await self._wanted.wait()
                batch = self._next_batch()
                await self._commit(batch)
        finally:
            self._has_ended = True
            self._refuse([*batch, *self._waiting], _ended())
            self._waiting.clear()

    def _next_batch(self) -> list[Waiting[Any]]:
        count = _how_many(self._waiting)
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        if not self._waiting:
            self._wanted.clear()
        return batch

    async def _commit(self, batch: Sequence[Waiting[Any]]) -> None:
        self._differences.clear()
        self._lanes_behind.clear()
        try:
            for _ in range(MAX_LOST_RACES):
                batch = await self._try_in_this_era_or_the_next(batch)
        except (LedgerAwayError, EraChangedError) as error:
            self._refuse(batch, error)
            for listener in self._doubt_listeners:
                listener()
        except Exception as error:  # noqa: BLE001  # the loop must outlive a defect: whoever asked is told, the next batch is tried
            self._log.exception("a commit failed in an unexpected way")
            self._refuse(batch, error)
        else:
            self._refuse(batch, LedgerAwayError("other Commanders won each race for these missions; try once more"))

    def _refuse(self, batch: Sequence[Waiting[Any]], error: Exception) -> None:
        if isinstance(error, EraChangedError):
            error = LedgerAwayError("the ledger was wiped or rolled back, and is being restored")
        for one in batch:
            one.refuse(error)

    async def _try_in_this_era_or_the_next(self, batch: Sequence[Waiting[Any]]) -> Sequence[Waiting[Any]]:
        era = self.era
        try:
            return await self._try(batch)
        except LedgerFullError as full:
            self._refuse([one for one in batch if one.command.admits], full)
            return [one for one in batch if not one.command.admits]
        except EraFullError as full:
            error = EraChangedError(str(full))
            self._tell_of_full_era(era)
        except EraChangedError as changed:
            error = changed
            self._tell_of_loss(error)
        if await self.horizon.leaves(era, within_seconds=NEW_ERA_SECONDS):
            return batch
        raise error

    async def _try(self, batch: Sequence[Waiting[Any]]) -> Sequence[Waiting[Any]]:
        """Decide and commit; give what lost a race and must be decided again."""
        if not batch:
            return ()
        era = self.era
        plan = await self._plan(batch, era)
        changes = plan.changes()
        admits = any(one.command.admits for one in batch)
        lost = await self._write(changes, plan.lanes(changes), era, admits=admits)
        await self._differences.settle(self._clock.now())
        if self._differences.show_loss(era):
            self._tell_of_loss(RolledBackError())
        if plan.shows_loss(lost):
            self._tell_of_suspicion()
        return plan.settle(lost)

    async def _plan(self, batch: Sequence[Waiting[Any]], era: m.Era) -> Plan:
        found = await self._find(batch)
        absent: set[LaneKey] = set()
        presumed_absent = {one.command.mission_id for one in batch if _is_presumed_absent(one.command, found)}
        while True:
            moment = Moment(self._clock.now(), era, self.horizon.floor)
            turns = Turns(
                self._memory.lanes, moment, self._lane_rules, self._around, behind=self._lanes_behind, absent=absent
            )
            plan = Plan(found, self._memory, self._differences, moment, turns, presumed_absent)
            try:
                for one in batch:
                    plan.add(one)
            except UnheardError as unheard:
                [found[unheard.mission_id]] = await self._ledger.records([unheard.mission_id])
                presumed_absent.discard(unheard.mission_id)
                continue
            if not turns.doubtful:
                return plan
            found |= await self._learn_lanes(list(turns.doubtful), absent)

    async def _find(self, batch: Sequence[Waiting[Any]]) -> dict[m.MissionId, Mission | None]:
        found: dict[m.MissionId, Mission | None] = {}
        unsure: dict[m.MissionId, None] = {}
        for one in batch:
            mission_id = one.command.mission_id
            known = self._memory.get(mission_id)
            found[mission_id] = known
            is_here = known is not None and self._is_of(one.command)
            if one.command.fresh or not (is_here or one.command.presumed_absent):
                unsure[mission_id] = None
        if unsure:
            stored = await self._ledger.records(list(unsure))
            found |= {i: self._newer(i, mission) for i, mission in zip(unsure, stored, strict=True)}
        return found

    def _is_of(self, command: Command[Any]) -> bool:
        """Whether what memory has of an id is what a command is about, and not an earlier life."""
        return command.accepted_at is None or self.known(command.mission_id, command.accepted_at) is not None

    def _newer(self, mission_id: m.MissionId, stored: Mission | None) -> Mission | None:
        """A commit compares with the ledger; where memory has more than that, the commit finds out."""
        known = self._memory.get(mission_id)
        if known is None or (stored is not None and not knows_more(known, stored, self._memory.retention)):
            return stored
        return known

    async def _write(
        self, changes: Sequence[Change], lanes: Sequence[LaneChange], era: m.Era, *, admits: bool
    ) -> set[m.MissionId]:
        """Commit, and take in what came of it; give the missions that somebody else moved first."""
        if not changes and not lanes:
            return set()
        self._quiet.clear()
        try:
            began = self._clock.monotonic()
            seen, floor = self.horizon.seen, self.horizon.floor
            outcomes = await self._ledger.commit(era, changes, seen=seen, lanes=lanes, floor=floor, admits=admits)
            self._counts.observe(metrics.COMMIT_SECONDS, self._clock.monotonic() - began)
            self._counts.observe(metrics.COMMIT_SIZE, len(changes))
            lost = self._take_in(changes, outcomes, era)
            self._take_in_lanes(lanes, lost)
            return lost
        finally:
            self._quiet.set()

    def _was_final(self, mission_id: m.MissionId) -> bool:
        known = self._memory.get(mission_id)
        return known is not None and known.is_final

    def _count(self, accepted: int, finished: Sequence[Mission]) -> None:
        self._counts.add(metrics.ACCEPTED, times=accepted)
        self._counts.add_each(metrics.FINISHED, ((one.state.value, one.reason.value) for one in finished))

    # Lanes.

    async def _learn_lanes(self, keys: Sequence[LaneKey], absent: set[LaneKey]) -> Mapping[m.MissionId, Mission | None]:
        """Read lanes, and the missions at their fronts: what was not heard of one was not heard of the others."""
        now = self._clock.now()
        lanes = await self._ledger.lanes(keys)
        for key, lane in zip(keys, lanes, strict=True):
            self._learn_lane(key, lane, now)
            if lane is None or lane.record.is_over(now):
                absent.add(key)
        ids = [mission_id for lane in lanes if lane is not None for mission_id in lane.front()]
        stored = await self._ledger.records(ids) if ids else ()
        for one in stored:
            if one is not None:
                self._memory.apply(one)
        return {i: self._memory.get(i) or mission for i, mission in zip(ids, stored, strict=True)}

    def _learn_lane(self, key: LaneKey, stored: Lane | None, now: float) -> None:
        """Take the ledger's word on a lane; where it knows less than memory, it was rolled back: memory is right."""
        known = self._memory.lanes.get(key, now)
        self._lanes_behind.pop(key, None)
        if known is not None and (stored.record.version < known.record.version if stored else known.is_worth_keeping):
            self._lanes_behind[key] = stored.record.version if stored else 0
            self._memory.lanes.learn(known)
            self._tell_of_suspicion()
        elif stored is not None and stored.record.is_over(now):
            self._lanes_behind[key] = stored.record.version  # not purged yet, and gone all the same
            self._memory.lanes.forget(key)
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

    def _take_in(
        self, changes: Sequence[Change], outcomes: Sequence[Committed | Conflict], era: m.Era
    ) -> set[m.MissionId]:
        lost: set[m.MissionId] = set()
        handed_out: list[Mission] = []
        finished: list[Mission] = []
        accepted = 0
        for change, outcome in zip(changes, outcomes, strict=True):
            if isinstance(outcome, Conflict):
                lost.add(change.mission.id)
                self.horizon.rise_to(outcome.floor)
                self._differences.note(change.mission.id, outcome.current)
                continue
            accepted += change.is_new
            if change.mission.is_final and not self._was_final(change.mission.id):
                finished.append(change.mission)
            self._memory.apply(change.mission, change.payload)
            self.horizon.saw(outcome.event, era)
            if change.hands_out:
                handed_out.append(change.mission)
        self._count(accepted, finished)
        if handed_out:
            for listener in self._hand_out_listeners:
                listener(handed_out)
        return lost


def _how_many(waiting: Sequence[Waiting[Any]]) -> int:
    """As many as one commit takes: bounded in number, and in bytes."""
    room = MAX_COMMIT_BYTES
    for count, one in enumerate(waiting[:MAX_COMMIT]):
        room -= one.command.weight
        if room < 0:
            return max(1, count)
    return min(len(waiting), MAX_COMMIT)


def _is_presumed_absent(command: Command[Any], found: Mapping[m.MissionId, Mission | None]) -> bool:
    """Tell whether nobody looked for a mission that memory lacks."""
    return command.presumed_absent and not command.fresh and found[command.mission_id] is None


def _ended() -> LedgerAwayError:
    return LedgerAwayError("this Commander ends: ask another one, or the next one in a moment")
