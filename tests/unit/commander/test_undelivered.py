"""Orders that the broker gave up on come back, and their missions run all the same."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.commander_stage import Stage, a_lost_order, eventually, running, turns
from support.malformed import MALFORMED

from mission_broker.port import Message
from mission_broker.rejecting import Rejects
from mission_commander.domain.record import Mission, Phase
from mission_commander.services import undelivered
from mission_commander.services.undelivered import Undelivered
from mission_contracts import messages, metrics, topology
from mission_contracts.mission import GREATEST_ERA, NUMBERS_PER_ERA
from mission_contracts.testing import a_mission, an_order


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undelivered, "RETRY_SECONDS", 0.01)


@asynccontextmanager
async def burying(stage: Stage) -> AsyncIterator[None]:
    rejects = Rejects(stage.broker, stage.clock, count=stage.count_rejected)
    service = Undelivered(
        stage.recorder, stage.broker, stage.tombstones, stage.eras, rejects, stage.proofs, stage.counts
    )
    await stage.broker.declare(topology.FIXED_QUEUES)
    async with running(stage.recorder.run, service.run, rejects.run):
        yield


async def bury(stage: Stage, body: bytes) -> None:
    await stage.broker.publish([Message(exchange=topology.MISSIONS, key=topology.DEAD.key, body=body)])


def order_of(mission: Mission) -> bytes:
    return messages.encode(an_order(mission.envelope, epoch=mission.epoch, payload=b'{"width":640}'))


def settled(stage: Stage) -> bool:
    held = stage.broker.server.find(topology.DEAD.name)
    assert held is not None
    return not held.ready and not any(taker._unsettled for taker in held._takers)  # type: ignore[attr-defined]


async def test_an_undelivered_order_is_handed_out_anew_uncharged(stage: Stage) -> None:
    async with burying(stage):
        mission = await stage.accept("m-1")
        await bury(stage, order_of(mission))
        await eventually(lambda: stage.record(mission).epoch > mission.epoch, "it is handed out anew")
        await eventually(lambda: settled(stage), "the dead order is acknowledged")
    assert stage.record(mission).attempt == 0
    assert len(stage.store.data.outbox) == 2


async def test_what_runs_already_is_left_alone(stage: Stage) -> None:
    async with burying(stage):
        mission = await stage.accept("m-1")
        running_one = await stage.claim(mission)
        await bury(stage, order_of(mission))
        await eventually(lambda: settled(stage), "the dead order is acknowledged")
    assert stage.record(mission) == running_one


async def test_without_ledger_the_order_stays_where_it_is(stage: Stage) -> None:
    async with burying(stage):
        mission = await stage.accept("m-1")
        stage.ledger.cut()
        await bury(stage, order_of(mission))
        await turns(50)
        assert not settled(stage)
        stage.ledger.mend()
        await eventually(lambda: stage.record(mission).epoch > mission.epoch, "it is handed out anew")


async def test_an_order_that_a_commander_without_ledger_cannot_hand_out_another_one_does(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undelivered, "GIVE_WAY_SECONDS", 0.05)
    other = stage.another()
    async with burying(stage), burying(other):
        mission = await stage.accept("m-1")
        stage.ledger.cut()
        for _ in range(2):  # one for each of them
            await bury(stage, order_of(mission))
        await eventually(lambda: settled(stage), "the other one handed it out")
    assert stage.record(mission).epoch > mission.epoch


async def test_a_mission_that_the_ledger_lost_is_rebuilt_from_its_only_copy(stage: Stage) -> None:
    order = a_lost_order()
    async with burying(stage):
        await bury(stage, messages.encode(order))
        await turns(50)
        assert not settled(stage), "somebody may be running a later hand-out of it"
        stage.settle()
        await eventually(lambda: order.envelope.mission_id in stage.store.data.records, "it is rebuilt")
        await eventually(lambda: settled(stage), "the dead order is acknowledged")
    rebuilt = stage.store.data.records[order.envelope.mission_id]
    assert rebuilt.phase is Phase.OUT
    assert rebuilt.epoch > order.epoch
    assert stage.store.data.payloads[rebuilt.id] == b'{"width":640}'
    assert [entry.epoch for entry in stage.store.data.outbox] == [rebuilt.epoch]


async def test_a_mission_that_was_purged_is_not_rebuilt(stage: Stage) -> None:
    async with burying(stage):
        mission = await stage.cancel(await stage.accept("m-1"))
        stage.clock.turn(1)
        assert await stage.ledger.purge(stage.clock.now(), 10) == 1
        stage.memory.forget(mission.id)
        await bury(stage, order_of(mission))
        await eventually(lambda: settled(stage), "the dead order is acknowledged")
    assert not stage.store.data.records


async def test_an_unreadable_order_is_kept_with_the_reason(stage: Stage) -> None:
    async with burying(stage):
        await bury(stage, b"{}")
        await eventually(lambda: stage.ready(topology.REJECTED) == 1, "it is kept")
        await eventually(lambda: settled(stage), "the dead order is acknowledged")


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_cannot_be_read_is_kept_and_the_next_is_handed_out_anew(stage: Stage, name: str) -> None:
    async with burying(stage):
        mission = await stage.accept("m-1")
        await bury(stage, MALFORMED[name].of(order_of(mission)))
        await bury(stage, order_of(mission))
        await eventually(lambda: stage.record(mission).epoch > mission.epoch, "the next one is handed out anew")
        await eventually(lambda: settled(stage), "both are acknowledged")
    assert stage.ready(topology.REJECTED) == 1
    assert stage.counts.of(metrics.REJECTED) == {(topology.DEAD.name, "malformed"): 1}


async def test_an_order_of_an_era_that_cannot_be_is_kept_apart_and_the_next_is_handed_out_anew(stage: Stage) -> None:
    far = an_order(a_mission("lost"), epoch=GREATEST_ERA * NUMBERS_PER_ERA + 1)
    async with burying(stage):
        mission = await stage.accept("m-1")
        stage.settle()
        await bury(stage, messages.encode(far))
        await bury(stage, order_of(mission))
        await eventually(lambda: stage.record(mission).epoch > mission.epoch, "the next one is handed out anew")
        await eventually(lambda: settled(stage), "both are acknowledged")
    assert stage.ready(topology.REJECTED) == 1
    assert "lost" not in stage.store.data.records
    assert not stage.eras.is_in_doubt
