"""Ending claims whose soldiers are gone: leases that ran out, and claims that their instance does not have.

A lease is timed by this Commander's monotonic clock since it saw the beat move, and ends only after a marker has
come back through `missions.status`: so every report published before it is applied first. Only the one active
consumer of that queue gets the marker, so only one Commander reaps. Whoever said that it left is not waited for.
"""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from mission_broker.port import Broker, Message, Outcome
from mission_commander.domain import life
from mission_commander.domain.life import Moment
from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Mission
from mission_commander.domain.roster import Seen
from mission_commander.ports import LedgerAwayError
from mission_commander.services.counts import Counts
from mission_commander.services.garrison import Garrison
from mission_commander.services.patience import happens
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_contracts import messages, metrics, telemetry, topology
from mission_contracts import mission as m
from mission_contracts.clock import Clock

LOOK_SECONDS: Final = 0.5
"""Between looks, unless a lease ends or a marker comes back before."""
SHORTEST_LOOK_SECONDS: Final = 0.02
LONG_PAUSE_SECONDS: Final = 1.0
"""A pause of this Commander itself beyond a look's interval after which all leases start anew."""
FORGET_SECONDS: Final = 60.0
"""An instance that holds nothing and was not heard of for so long is forgotten."""
BEATS_TO_ABANDON: Final = 2


class _Asked(msgspec.Struct, frozen=True):
    """A marker on its way, and the instance whose lease it will end."""

    instance: m.Instance
    beat: int
    at: float


class Reaper:
    """Looks at every holder of claims twice a second, at the end of each lease, and when a marker comes back."""

    def __init__(
        self,
        recorder: Recorder,
        memory: MissionMemory,
        garrison: Garrison,
        broker: Broker,
        clock: Clock,
        *,
        lease_seconds: float,
        on_deaf: Callable[[], None],
        counts: Counts,
    ) -> None:
        """`on_deaf` is called when this Commander could not hear for a while."""
        self._recorder = recorder
        self._on_deaf = on_deaf
        self._counts = counts
        self._memory = memory
        self._garrison = garrison
        self._broker = broker
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._asked: dict[str, _Asked] = {}
        self._returned: list[_Asked] = []
        self._came_back = asyncio.Event()
        self._first_seen: dict[m.Instance, float] = {}
        self._absences: defaultdict[tuple[m.MissionId, m.Epoch], set[int]] = defaultdict(set)
        self._last_look = clock.monotonic()
        self._log = structlog.get_logger("reaper")

    async def run(self) -> None:
        """Reap until cancelled."""
        self._garrison.start_anew()
        while True:
            try:
                await self.look()
            except LedgerAwayError:
                self._start_anew()
            await happens(self._came_back, within_seconds=self.until_next_look())
            self._came_back.clear()

    def take_marker(self, marker: str) -> None:
        """A marker came back: every report that was published before it is applied."""
        asked = self._asked.pop(marker, None)
        if asked is not None:
            self._returned.append(asked)
            self._came_back.set()

    async def look(self) -> None:
        """Take one look at everybody."""
        self._mind_own_pause()
        await self._garrison.listen()
        await self._expire_returned()
        await self._release_abandoned()
        await self._ask_about_gone()
        await self._forget_gone()

    def until_next_look(self) -> float:
        """Half a second, or until the next lease ends."""
        now = self._clock.monotonic()
        ends = (self._moved_at(instance) + self._lease_seconds - now for instance in self._memory.holders())
        return min((max(left, SHORTEST_LOOK_SECONDS) for left in ends if 0 < left < LOOK_SECONDS), default=LOOK_SECONDS)

    def _mind_own_pause(self) -> None:
        now = self._clock.monotonic()
        if now - self._last_look > LOOK_SECONDS + LONG_PAUSE_SECONDS:
            self._log.warning("this Commander itself paused; all leases start anew", seconds=now - self._last_look)
            self._start_anew()
        self._last_look = now

    def _start_anew(self) -> None:
        """This Commander could not hear: everybody has a whole lease again, also who was asked about already."""
        self._on_deaf()
        self._garrison.start_anew()
        self._first_seen.clear()
        self._asked.clear()
        self._returned.clear()

    # Leases.

    def _moved_at(self, instance: m.Instance) -> float:
        """When its beat last moved; an instance without a beat has its lease from when it was first noticed."""
        seen = self._garrison.soldier(instance)
        if seen is not None:
            self._first_seen.pop(instance, None)
            return seen.moved_at
        return self._first_seen.setdefault(instance, self._clock.monotonic())

    async def _ask_about_gone(self) -> None:
        now = self._clock.monotonic()
        self._forget_settled()
        waiting_for = {asked.instance for asked in self._asked.values() if now - asked.at < self._lease_seconds}
        for instance in self._memory.holders():
            is_gone = self._has_left(instance) or now - self._moved_at(instance) >= self._lease_seconds
            if is_gone and instance not in waiting_for:
                await self._ask(instance)

    def _forget_settled(self) -> None:
        """Markers that no longer matter; where another Commander is the reaper, ours never come back."""
        holders = set(self._memory.holders())
        self._asked = {
            marker: asked
            for marker, asked in self._asked.items()
            if asked.instance in holders and self._beat_of(asked.instance) == asked.beat
        }
        self._first_seen = {one: at for one, at in self._first_seen.items() if one in holders}

    async def _ask(self, instance: m.Instance) -> None:
        marker = secrets.token_hex(16)
        self._asked[marker] = _Asked(instance, self._beat_of(instance), self._clock.monotonic())
        status = messages.StatusMessage(v=messages.VERSION, marker=marker)
        message = Message(exchange=topology.REPORTS, key=topology.STATUS.key, body=messages.encode(status))
        if (await self._broker.publish([message]))[0] is not Outcome.CONFIRMED:
            self._asked.pop(marker, None)  # asked again at the next look

    async def _expire_returned(self) -> None:
        returned, self._returned = self._returned, []
        for asked in returned:
            if self._beat_of(asked.instance) != asked.beat:
                continue  # it beats again
            if self._has_left(asked.instance):
                await self._release_left(asked.instance)
            else:
                await self._expire(asked.instance)

    async def _expire(self, instance: m.Instance) -> None:
        held = list(self._memory.held_by(instance))
        self._log.warning("a lease ended", **{telemetry.INSTANCE: instance}, missions=len(held))
        ended = await self._recorder.decide_each([_expire(mission) for mission in held])
        self._counts.add(metrics.LEASES_EXPIRED, times=ended.count(True))
        await self._garrison.dismiss(instance)

    async def _release_left(self, instance: m.Instance) -> None:
        """It stays known for a while: an answer to its last claims may have come too late for it."""
        held = list(self._memory.held_by(instance))
        self._log.info("a soldier left claims behind", **{telemetry.INSTANCE: instance}, missions=len(held))
        await self._recorder.decide_each([_release(mission) for mission in held])

    def _has_left(self, instance: m.Instance) -> bool:
        seen = self._garrison.soldier(instance)
        return seen is not None and seen.has_left

    def _beat_of(self, instance: m.Instance) -> int:
        seen = self._garrison.soldier(instance)
        return seen.beat.beat if seen and seen.beat else 0

    # Claims whose grant was never heard.

    async def _release_abandoned(self) -> None:
        abandoned = [mission for instance in self._memory.holders() for mission in self._unlisted(instance)]
        for mission in abandoned:
            self._log.warning("a claim's grant was never heard; released", **{telemetry.MISSION_ID: mission.id})
            self._absences.pop((mission.id, mission.epoch), None)
        released = await self._recorder.decide_each([_release(mission) for mission in abandoned])
        self._counts.add(metrics.CLAIMS_ABANDONED, times=released.count(True))
        if not abandoned and len(self._absences) > 10_000:
            self._absences.clear()  # a claim that is still absent is counted anew

    def _unlisted(self, instance: m.Instance) -> list[Mission]:
        seen = self._garrison.soldier(instance)
        if seen is None or seen.beat is None:
            return []
        return [mission for mission in self._memory.held_by(instance) if self._is_abandoned(mission, seen)]

    def _is_abandoned(self, mission: Mission, seen: Seen) -> bool:
        beat, claim = seen.beat, (mission.id, mission.epoch)
        if beat is None or beat.after <= (mission.claimed_at or 0):
            return False
        if claim in beat.held or claim in beat.unclaimed:
            self._absences.pop(claim, None)
            return False
        self._absences[claim].add(beat.beat)
        return len(self._absences[claim]) >= BEATS_TO_ABANDON

    async def _forget_gone(self) -> None:
        now = self._clock.monotonic()
        holders = set(self._memory.holders())
        for instance, seen in list(self._garrison.soldiers().items()):
            if now - seen.moved_at > FORGET_SECONDS and instance not in holders:
                await self._garrison.dismiss(instance)


def _expire(held: Mission) -> Command[bool]:
    """Answers whether it ended a claim: the mission may have moved on by a report."""

    def decide(mission: Mission | None, moment: Moment) -> Decision[bool]:
        ended = life.expire(mission, held.epoch, moment) if mission else None
        return Decision(ended is not None, ended)

    return Command(held.id, decide)


def _release(held: Mission) -> Command[bool]:
    """Answers whether it ended a claim."""

    def decide(mission: Mission | None, moment: Moment) -> Decision[bool]:
        released = life.release(mission, held.epoch, moment) if mission else None
        return Decision(released is not None, released)

    return Command(held.id, decide)
