"""Writes down what doors and ledger show while a round goes on, from places that no fault of a link can touch."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from benchmarks.kube import ApiError, KubeClient, Object

from chaos.doors import shown
from chaos.history import Sighting, Source, Status
from mission_commander.adapters import redis_ledger
from mission_commander.domain.record import Mission
from mission_commander.ports import Event, EventId, Ledger, LedgerAwayError

WAIT_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 0.05


class Recorder:
    """Everything that was shown since the last `start_anew`, and when each mission was first seen final."""

    def __init__(self) -> None:
        self.sightings: list[Sighting] = []
        self._final_at: dict[tuple[Source, str], float] = {}
        self._streams = Counter[Source]()

    def start_anew(self) -> None:
        self.sightings = []
        self._final_at.clear()

    def add(self, source: Source, mission_id: str, status: Status, at: float) -> None:
        self.sightings.append(
            Sighting(source=source, mission_id=mission_id, status=status, at=at, stream=self._streams[source])
        )
        if status.state.is_final:
            self._final_at.setdefault((source, mission_id), at)

    def begin_stream(self, source: Source) -> None:
        """What the source shows from here on does not go on from what it showed."""
        self._streams[source] += 1

    def learn(self, told: Mapping[str, Status]) -> None:
        """Take from REST what the ledger's stream did not show: a wipe takes along what no reader has read yet."""
        for mission_id, status in told.items():
            if status.state.is_final:
                self._final_at.setdefault((Source.LEDGER, mission_id), time.time())

    def final_at(self, source: Source, mission_id: str) -> float | None:
        return self._final_at.get((source, mission_id))


@asynccontextmanager
async def recording(kube: KubeClient, namespace: str, ledger: redis_ledger.RedisSettings) -> AsyncIterator[Recorder]:
    """Follow the ledger's stream and a watch of Missions while the block lasts."""
    recorder = Recorder()
    async with redis_ledger.connect(ledger, client_name="chaos") as followed:
        tasks = [
            asyncio.create_task(_follow_ledger(followed, recorder)),
            asyncio.create_task(_follow_objects(kube, namespace, recorder)),
        ]
        try:
            yield recorder
            for task in tasks:
                if task.done():
                    task.result()  # a recorder that ended saw less than it should have
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _follow_ledger(ledger: Ledger, recorder: Recorder) -> None:
    last: EventId | None = None
    while True:
        try:
            if last is None:
                last = await ledger.last_event()
            events = await ledger.events(last, wait_seconds=WAIT_SECONDS)
        except LedgerAwayError:
            await asyncio.sleep(RETRY_SECONDS)
            continue
        if events is None:
            last = None  # wiped or rolled back: it is another stream now, and goes on from its own end
            recorder.begin_stream(Source.LEDGER)
            continue
        for event in events:
            recorder.add(Source.LEDGER, event.mission.id, _status(event.mission), _at(event))
            last = event.id


async def _follow_objects(kube: KubeClient, namespace: str, recorder: Recorder) -> None:
    while True:
        try:
            version, listed = await kube.missions(namespace)
            for one in listed:
                _add(recorder, one)
            async for one in kube.changes(namespace, version):
                _add(recorder, one)
        except (ApiError, aiohttp.ClientError, TimeoutError, OSError):
            await asyncio.sleep(RETRY_SECONDS)


def _add(recorder: Recorder, one: Object) -> None:
    status = shown(one)
    if status is not None:
        recorder.add(Source.OBJECT, one.metadata.uid, status, time.time())


def _at(event: Event) -> float:
    """When Redis took it, which no delay of ours can blur."""
    return int(event.id.partition("-")[0]) / 1000


def _status(mission: Mission) -> Status:
    return Status(
        state=mission.state,
        sequence=mission.sequence,
        epoch=mission.epoch,
        attempt=mission.attempt,
        reason=mission.reason.value,
        message=mission.message,
    )
