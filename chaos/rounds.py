"""One round: missions go in, the fault strikes and ends, everything becomes final, and the history is judged."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from chaos import sink
from chaos.doors import BAD_INPUT, ObjectDoor, RestDoor, session
from chaos.errors import ChaosError
from chaos.faults import Clock, Fault, Stuck
from chaos.ground import Ground, until
from chaos.history import Accepted, Asked, Door, History, Outage, Source, Status
from chaos.judge import judge
from chaos.measures import Caught, Outcome, Recovery, recovery
from chaos.recorder import Recorder
from chaos.schedule import Plan

BATCH: Final = 12
"""Missions in one request, where a client sends several."""
SINGLES: Final = 0.3
OBJECTS_AT_ONCE: Final = 8
PATIENCE_SECONDS: Final = 60.0
"""How long a wave may take once everything is back; then what is not final is stuck."""
STRIKE_SECONDS: Final = 60.0
COLLECT_SECONDS: Final = 30.0
LOOK_SECONDS: Final = 0.05
ASK_SECONDS: Final = 0.5
"""How often missions are asked for that nothing shows as final."""
PROBE_SECONDS: Final = 0.1
SETTLE_SECONDS: Final = 0.3
"""After the last end: time for whatever might still undo it."""

Tell = Callable[[str, int, int], None]
"""Takes what goes on, and how many of how many missions are final."""


class Round:
    """One round on its ground."""

    def __init__(
        self,
        ground: Ground,
        fault: Fault,
        plan: Plan,
        recorder: Recorder,
        rest: RestDoor,
        objects: ObjectDoor,
        tell: Tell,
    ) -> None:
        self._ground = ground
        self._fault = fault
        self._plan = plan
        self._recorder = recorder
        self._rest = rest
        self._objects = objects
        self._tell = tell
        self._chance = random.Random(plan.seed)
        self._doors = {one.key: one.door for one in plan.missions}
        self._accepted: dict[str, Accepted] = {}
        self._again: list[Accepted] = []
        self._cancelled: list[str] = []
        self._swallowed: list[str] = []
        self._forgotten: set[str] = set()
        self._earlier: Mapping[str, Status] = {}
        self._outage: Outage | None = None
        self._during_per_second: float | None = None
        self._deeds_before = ground.noted_bytes
        self._pending: set[asyncio.Task[None]] = set()

    async def run(self) -> tuple[Outcome, History]:
        """Play it, and judge it."""
        if met := await self._fault.live_before(self._ground, self._rest, self._plan.caught):
            self._earlier = met
            self._deeds_before = self._ground.noted_bytes
        began_at = time.monotonic()
        self._recorder.start_anew()
        self._rest.take_answers()
        async with self._probing():
            before = await self._measured(self._plan.before, "before")
            recovered = await self._met_by_fault()
            after = await self._measured(self._plan.after, "after")
        self._tell("judging", *self._progress())
        await asyncio.sleep(SETTLE_SECONDS)
        history = await self._collect()
        outcome = Outcome(
            fault=self._plan.fault,
            number=self._plan.number,
            verdict=judge(history, repeats_allowed=self._fault.repeats),
            first_seconds=recovered.first_seconds,
            recovered_seconds=recovered.all_seconds,
            before_per_second=before,
            after_per_second=after,
            during_per_second=self._during_per_second,
            took_seconds=time.monotonic() - began_at,
        )
        return outcome, history

    # The waves.

    async def _measured(self, wave: Sequence[Asked], name: str) -> float:
        """Send a wave, wait for its ends, give missions per second."""
        began_at = time.time()
        await self._sent(wave, over_seconds=0)
        await self._until_final(wave, name)
        ends = [at for one in wave if (at := self._final_at(one)) is not None]
        return len(wave) / max(0.001, max(ends) - began_at) if len(ends) == len(wave) else 0.0

    async def _met_by_fault(self) -> Recovery:
        plan, fault = self._plan, self._fault
        await fault.prepare(self._ground)
        running = self._start(self._sent(plan.running, over_seconds=0))
        await until(lambda: len(self._begun()) >= plan.begun, f"{plan.begun} missions begin", PATIENCE_SECONDS)
        self._tell("striking", *self._progress())
        during = self._start(self._during())
        struck_at, held = time.time(), self._held_by_victims()
        await self._bounded(fault.strike(self._ground), "strikes")
        away_at = time.time()
        if fault.is_load:
            self._during_per_second = await self._measured(plan.during, "during")
        else:
            await asyncio.sleep(plan.lasts_seconds)
        if fault.away is not None:
            self._outage = Outage(who=fault.away, began_at=away_at, ended_at=time.time())
        await self._bounded(fault.end(self._ground), "ends")
        ended_at = time.time()
        late = self._start(self._sent(plan.late, over_seconds=0))
        clock_at = struck_at if fault.clock is Clock.STRIKE else ended_at
        self._tell("recovering", *self._progress())
        await self._all_sent((running, during, late))
        await self._until_final(plan.caught, "recovering")
        return recovery(clock_at, self._caught(clock_at, ended_at, held))

    async def _during(self) -> None:
        """What comes in while it lasts; under a load that is measured, and sent when it has begun."""
        if not self._fault.is_load:
            await self._sent(self._plan.during, over_seconds=self._plan.lasts_seconds + 0.5)

    async def _bounded(self, deed: Awaitable[None], verb: str) -> None:
        try:
            async with asyncio.timeout(STRIKE_SECONDS):
                await deed
        except TimeoutError as error:
            raise ChaosError(
                f"{self._fault.name} does not come to its point within {STRIKE_SECONDS:g} s: {verb}"
            ) from error

    async def _all_sent(self, waves: Iterable[asyncio.Task[None]]) -> None:
        """What is not accepted by then is left unaccepted, for the judge to see."""
        _, late = await asyncio.wait(waves, timeout=PATIENCE_SECONDS)
        for wave in late:
            wave.cancel()
        await asyncio.gather(*waves, return_exceptions=True)
        for wave in waves:
            if not wave.cancelled() and (error := wave.exception()) is not None:
                raise error

    async def _sent(self, wave: Sequence[Asked], *, over_seconds: float) -> None:
        """Send all of a wave, spread over some seconds, and return when all are accepted."""
        parcels = self._parcels(wave)
        pause = over_seconds / max(1, len(parcels))
        slots = asyncio.Semaphore(OBJECTS_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            for parcel in parcels:
                tasks.create_task(self._send(parcel, slots))
                if pause:
                    await asyncio.sleep(pause)

    def _parcels(self, wave: Sequence[Asked]) -> list[Sequence[Asked]]:
        """What goes in one request: an object, one mission, or several."""
        parcels: list[Sequence[Asked]] = [[one] for one in wave if one.door is Door.OBJECT]
        by_rest = [one for one in wave if one.door is Door.REST]
        singles = round(len(by_rest) * SINGLES)
        parcels += [[one] for one in by_rest[:singles]]
        parcels += [by_rest[start : start + BATCH] for start in range(singles, len(by_rest), BATCH)]
        self._chance.shuffle(parcels)
        return parcels

    async def _send(self, parcel: Sequence[Asked], objects: asyncio.Semaphore) -> None:
        if parcel[0].door is Door.OBJECT:
            async with objects:
                self._note([await self._objects.submit(parcel[0])])
        elif len(parcel) == 1:
            self._note([await self._rest.submit(parcel[0])])
            await self._maybe_again(parcel[0])
        else:
            self._note(await self._rest.submit_batch(parcel))
        await asyncio.gather(*(self._cancel(one) for one in parcel if one.cancels))

    async def _maybe_again(self, asked: Asked) -> None:
        """Some clients send the same twice, as one does that did not hear the answer."""
        if self._chance.random() < 0.2:
            self._again.append(await self._rest.submit(asked))

    async def _cancel(self, asked: Asked) -> None:
        mission_id = self._accepted[asked.key].mission_id
        if await self._rest.cancel(mission_id):
            self._cancelled.append(mission_id)
        else:
            self._forgotten.add(mission_id)

    def _note(self, accepted: Iterable[Accepted]) -> None:
        for one in accepted:
            self._accepted[one.key] = one

    def _start(self, deed: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(deed)
        self._pending.add(task)
        return task

    # Looking.

    @contextlib.asynccontextmanager
    async def _probing(self) -> AsyncIterator[None]:
        """Meanwhile others ask for accepted missions, and send what can never run."""
        probes = [asyncio.create_task(self._ask_for_missions()), asyncio.create_task(self._offer_bad_input())]
        try:
            yield
        finally:
            tasks = [*probes, *self._pending]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask_for_missions(self) -> None:
        while True:
            await asyncio.sleep(PROBE_SECONDS)
            if not self._accepted:
                continue
            by_rest = [one for one in self._accepted.values() if self._doors[one.key] is Door.REST]
            one = self._chance.choice(by_rest or list(self._accepted.values()))
            if by_rest and await self._rest.knows(one.mission_id) is False:
                self._forgotten.add(one.mission_id)

    async def _offer_bad_input(self) -> None:
        for body in itertools.cycle(BAD_INPUT):
            if await self._rest.offer(body) < 400:
                self._swallowed.append(repr(body))
            await asyncio.sleep(1.0)

    def _deeds(self) -> list[sink.Deed]:
        return sink.deeds_in(self._ground.notes, after=self._deeds_before)

    def _begun(self) -> set[str]:
        """Missions of the running wave that some soldier has begun."""
        keys = {one.key for one in self._plan.running}
        ids = {one.mission_id for key, one in self._accepted.items() if key in keys}
        return {deed.mission_id for deed in self._deeds() if deed.deed == sink.BEGAN and deed.mission_id in ids}

    def _held_by_victims(self) -> frozenset[str]:
        """What the fault's victims run at this moment."""
        running = (self._ground.running(one, noted_after=self._deeds_before) for one in self._fault.victims)
        return frozenset(itertools.chain.from_iterable(running))

    def _caught(self, clock_at: float, over_at: float, held: frozenset[str]) -> Iterator[Caught]:
        """What the fault caught: accepted before it was over, and final only after the clock began."""
        for asked in self._plan.caught:
            accepted, final_at = self._accepted.get(asked.key), self._final_at(asked)
            if accepted is None or final_at is None or final_at < clock_at:
                continue
            if self._is_caught(asked, accepted, over_at, held):
                redone = asked.seconds if accepted.mission_id in held else 0.0
                yield Caught(accepted_at=accepted.at, final_at=final_at, redone=redone)

    def _is_caught(self, asked: Asked, accepted: Accepted, over_at: float, held: frozenset[str]) -> bool:
        match self._fault.stuck:
            case Stuck.ALL:
                return accepted.at <= over_at
            case Stuck.HELD:
                return accepted.mission_id in held
            case Stuck.OBJECTS:
                return asked.door is Door.OBJECT

    def _final_at(self, asked: Asked) -> float | None:
        """When it was final where its client looks."""
        accepted = self._accepted.get(asked.key)
        if accepted is None:
            return None
        source = Source.OBJECT if asked.door is Door.OBJECT else Source.LEDGER
        return self._recorder.final_at(source, accepted.mission_id)

    async def _until_final(self, wave: Sequence[Asked], what: str) -> None:
        """Wait for a bounded time; what is not final then is stuck, and the judge will see it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        asked_at = time.monotonic()
        while any(self._final_at(one) is None for one in wave) and time.monotonic() < deadline:
            self._tell(what, *self._progress())
            await asyncio.sleep(LOOK_SECONDS)
            if time.monotonic() - asked_at > ASK_SECONDS:
                await self._ask_about(wave)
                asked_at = time.monotonic()

    async def _ask_about(self, wave: Sequence[Asked]) -> None:
        by_rest = [one for one in wave if one.door is Door.REST and self._final_at(one) is None]
        ids = [self._accepted[one.key].mission_id for one in by_rest if one.key in self._accepted]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ASK_SECONDS):
                self._recorder.learn(await self._rest.look_up(ids))

    def _progress(self) -> tuple[int, int]:
        missions = self._plan.missions
        return sum(self._final_at(one) is not None for one in missions), len(missions)

    # The end.

    async def _collect(self) -> History:
        ids = [one.mission_id for one in self._accepted.values()]
        objects = [one.mission_id for key, one in self._accepted.items() if self._doors[key] is Door.OBJECT]
        in_ledger: dict[str, Status] = {}
        in_objects: dict[str, Status] = {}
        try:
            async with asyncio.timeout(COLLECT_SECONDS):
                in_ledger = await self._rest.look_up(ids)
                in_objects = await self._objects.look_up(objects)
        except TimeoutError as error:
            raise ChaosError(f"after {self._plan.fault} the doors do not answer for {COLLECT_SECONDS:g} s") from error
        return History(
            asked=self._plan.missions,
            accepted=[*self._accepted.values(), *self._again],
            cancelled=self._cancelled,
            swallowed=self._swallowed,
            forgotten=sorted(self._forgotten),
            answers=self._rest.take_answers(),
            outage=self._outage,
            sightings=self._recorder.sightings,
            deeds=self._deeds(),
            in_ledger=in_ledger,
            in_objects=in_objects,
            earlier=self._earlier,
            by_commander=await self._by_commander(),
        )

    async def _by_commander(self) -> Mapping[str, Mapping[str, Status]]:
        """What each Commander tells of the ids that were used before."""
        if not self._earlier:
            return {}
        secret = self._ground.installation.client_secrets["operator"]
        told = {}
        async with asyncio.timeout(COLLECT_SECONDS):
            for name, url in self._ground.commander_urls.items():
                async with session(url) as connection:
                    told[name] = await RestDoor(connection, "operator", secret).look_up(list(self._earlier))
        return told
