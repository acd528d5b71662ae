"""The ledger is damaged by hand in each way: the number rises, the auditor mends it, and the mission goes on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.commander_stage import KEY, eventually, running
from support.ledger_probe import ERA, MemoryStage, RedisStage, Stage

from mission_broker.memory import MemoryBroker
from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import Ledger, LedgerAwayError, OutboxEntry
from mission_commander.services import auditing
from mission_commander.services.auditing import Auditor
from mission_commander.services.eras import Eras
from mission_commander.services.garrison import Garrison
from mission_commander.services.outbox import Outbox
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_contracts.mission import Epoch, MissionId, Reason, Sequence
from mission_contracts.order_seals import OrderSeals
from mission_contracts.testing import FakeClock, a_mission

NAMESPACE = "default"


class Scene:
    """One Commander's parts on this ledger; the test does the damage, and takes the looks."""

    def __init__(self, stage: Stage, ledger: Ledger) -> None:
        self.stage, self.ledger = stage, ledger
        self.clock = FakeClock()
        self.memory = MissionMemory()
        self.recorder = Recorder(ledger, self.memory, self.clock, ERA)
        self.eras = Eras(ledger, self.recorder, self.clock, lease_seconds=1)
        self.garrison = Garrison(ledger, self.clock, heartbeat_seconds=1, is_whole=self.recorder.check)
        self.outbox = Outbox(ledger, MemoryBroker(), self.memory, OrderSeals(KEY))
        self.ready: int | None = None
        self.is_on_duty = True
        self.auditor = Auditor(
            ledger,
            self.memory,
            self.recorder,
            self.eras,
            self.garrison,
            self.outbox,
            self.clock,
            namespace=NAMESPACE,
            ready=lambda _: self.ready,
            is_on_duty=lambda: self.is_on_duty,
        )
        self.clock.turn(2)  # the era has settled

    async def accept(self, mission_id: str, phase: Phase = Phase.WAITING, **fields: Any) -> Mission:
        reason = Reason.COMPLETED if phase is Phase.FINAL else Reason.SCHEDULED
        envelope = a_mission(mission_id, accepted_at=self.clock.now())
        mission = Mission(
            envelope=envelope, sequence=Sequence(ERA * 1_000_000 + 1), phase=phase, reason=reason, **fields
        )
        return await self.recorder.decide(Command(mission.id, lambda *_: Decision(mission, mission, b"{}")))

    async def looks(self) -> list[int]:
        """The number after each of three looks: suspected, certain, mended."""
        numbers = []
        for _ in range(3):
            await self.auditor.look()
            numbers.append(self.auditor.unaccounted)
        return numbers

    async def listed(self) -> list[str]:
        return list(await self.ledger.live_ids(None, 100))

    # Damage.

    async def unlist(self, mission_id: str) -> None:
        if isinstance(self.stage, RedisStage):
            await self.stage.command("ZREM", "test:live", mission_id)
        elif isinstance(self.stage, MemoryStage):
            del self.stage.store.data.live[MissionId(mission_id)]

    async def list_by_hand(self, mission_id: str) -> None:
        if isinstance(self.stage, RedisStage):
            await self.stage.command("ZADD", "test:live", 0, mission_id)
        elif isinstance(self.stage, MemoryStage):
            self.stage.store.data.live[MissionId(mission_id)] = None

    async def lose_record(self, mission_id: str) -> None:
        if isinstance(self.stage, RedisStage):
            await self.stage.command("DEL", f"test:m:{mission_id}")
        elif isinstance(self.stage, MemoryStage):
            del self.stage.store.data.records[MissionId(mission_id)]


@asynccontextmanager
async def on_stage(stage: Stage, ledger: Ledger) -> AsyncIterator[Scene]:
    scene = Scene(stage, ledger)
    async with running(scene.recorder.run):
        yield scene


@pytest.fixture
async def scene(stage: Stage, ledger: Ledger) -> AsyncIterator[Scene]:
    async with on_stage(stage, ledger) as scene:
        yield scene


async def test_an_installation_that_is_whole_is_accounted_for(scene: Scene) -> None:
    await scene.accept("waits")
    await scene.accept("out", Phase.OUT, epoch=Epoch(ERA * 1_000_000 + 1))
    await scene.accept("over", Phase.FINAL)
    assert await scene.looks() == [0, 0, 0]
    assert scene.eras.is_in_doubt is False


async def test_a_live_mission_that_no_index_names_is_listed_again(scene: Scene) -> None:
    mission = await scene.accept("m-1")
    await scene.unlist("m-1")
    assert await scene.looks() == [0, 1, 0]
    assert await scene.listed() == [mission.id]


async def test_one_that_memory_lacks_as_well_is_found_by_its_acceptance(scene: Scene) -> None:
    await scene.accept("m-1")
    await scene.unlist("m-1")
    scene.memory.forget(MissionId("m-1"))
    for _ in range(6):
        await scene.auditor.look()
    assert scene.auditor.unaccounted == 0
    assert await scene.listed() == ["m-1"]
    assert scene.memory.get(MissionId("m-1")) is not None
    assert scene.memory.next_time() is not None, "its time will come"


async def test_an_index_entry_that_points_nowhere_is_removed(scene: Scene) -> None:
    await scene.list_by_hand("ghost")
    assert await scene.looks() == [0, 1, 0]
    assert await scene.listed() == []


async def test_a_final_mission_leaves_the_index_of_live_ones(scene: Scene) -> None:
    await scene.accept("over", Phase.FINAL)
    await scene.list_by_hand("over")
    assert await scene.looks() == [0, 1, 0]
    assert await scene.listed() == []


async def test_only_who_is_on_duty_mends_the_index_and_all_count(scene: Scene) -> None:
    scene.is_on_duty = False
    await scene.list_by_hand("ghost")
    assert await scene.looks() == [0, 1, 1]
    assert await scene.listed() == ["ghost"]


async def test_what_this_commander_has_not_heard_it_hears(scene: Scene) -> None:
    mission = await scene.accept("m-1")
    scene.memory.forget(mission.id)
    assert await scene.looks() == [0, 1, 0]
    assert scene.memory.get(mission.id) == mission


async def test_a_mission_at_which_nobody_would_look_gets_its_moment(scene: Scene) -> None:
    mission = await scene.accept("m-1")
    scene.memory._due.arm(mission.id, None)
    assert await scene.looks() == [0, 1, 0]
    assert scene.memory.pop_due(scene.clock.now()) == [mission.id]


async def test_an_order_in_the_outbox_of_a_mission_that_is_not_there_goes_to_the_relay(scene: Scene) -> None:
    stray = OutboxEntry(MissionId("ghost"), Epoch(ERA * 1_000_000 + 1))
    await scene.ledger.put_back(ERA, [stray])
    assert (await scene.looks())[1] == 1
    assert stray in scene.outbox._pending, "the relay looks it up, and takes out what is over"


async def test_an_order_that_is_nowhere_is_counted(scene: Scene) -> None:
    await scene.accept("m-1", Phase.OUT, epoch=Epoch(ERA * 1_000_000 + 1))
    await scene.ledger.confirmed([entry async for entry in _entries(scene.ledger)])
    scene.ready = 3
    assert await scene.looks() == [0, 0, 0], "it may be one of those"
    scene.ready = 0
    assert await scene.looks() == [0, 1, 1], "`Vanished` publishes it again"


async def _entries(ledger: Ledger) -> AsyncIterator[OutboxEntry]:
    for entry in await ledger.outbox(100):
        yield entry


async def test_a_record_that_memory_has_and_the_ledger_lost_begins_a_new_era(scene: Scene) -> None:
    await scene.accept("m-1")
    await scene.lose_record("m-1")
    await scene.auditor.look()
    assert not scene.eras.is_in_doubt, "one look proves nothing"
    await scene.auditor.look()
    assert scene.auditor.unaccounted == 1
    assert scene.eras.is_in_doubt, "everybody restores what they hold"


async def test_more_missions_than_a_page_are_all_looked_at(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "PAGE", 3)
    for number in range(10):
        await scene.accept(f"m-{number}")
        scene.clock.turn(1)
    await scene.unlist("m-9")
    await scene.list_by_hand("z-ghost")
    for _ in range(16):
        await scene.auditor.look()
    assert scene.auditor.unaccounted == 0
    assert await scene.listed() == [f"m-{number}" for number in range(10)]


async def test_it_outlives_the_ledgers_absence(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "LOOK_SECONDS", 0.01)
    looks = 0
    look = scene.auditor.look

    async def failing_first() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise LedgerAwayError("gone")
        await look()

    monkeypatch.setattr(scene.auditor, "look", failing_first)
    await scene.list_by_hand("ghost")
    async with running(scene.auditor.run):
        await eventually(lambda: looks >= 4, "it goes on looking")
    assert await scene.listed() == []
