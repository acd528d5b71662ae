"""All services together: loading, living through trouble, and ending."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.commander_stage import GatedLedger, eventually, turns

from mission_broker.memory import MemoryBroker
from mission_commander.adapters.memory_ledger import MemoryStore
from mission_commander.commander import Commander
from mission_commander.ports import PoolRecord
from mission_commander.services.limiting import Alone
from mission_commander.services.submission import Accepted, Request
from mission_commander.settings import CommanderSettings
from mission_contracts import topology
from mission_contracts.clock import SystemClock
from mission_contracts.rest import PoolDeclaration, Submission

SETTINGS = CommanderSettings(install_key="of these tests, and of no installation")


def a_commander(store: MemoryStore | None = None, broker: MemoryBroker | None = None) -> Commander:
    return Commander(SETTINGS, GatedLedger(store or MemoryStore()), broker or MemoryBroker(), SystemClock(), Alone())


@asynccontextmanager
async def alive(commander: Commander) -> AsyncIterator[Commander]:
    life = asyncio.create_task(commander.run())
    try:
        yield commander
        assert not life.done(), life
    finally:
        life.cancel()
        done, _ = await asyncio.wait([life], timeout=5)
        assert done, "the Commander does not end"


async def submit(commander: Commander, key: str) -> Accepted:
    request = Request(submission=Submission(type="noop", payload={}), subject="anna", idempotency_key=key)
    [answer] = await commander.submitter.submit_all([request])
    assert isinstance(answer, Accepted)
    return answer


async def test_it_is_loaded_once_the_ledger_is_there() -> None:
    commander = a_commander()
    ledger = commander.ledger
    assert isinstance(ledger, GatedLedger)
    ledger.cut()
    async with alive(commander):
        await turns(50)
        assert not commander.is_loaded
        assert commander.vitals.health().status == "degraded"
        ledger.mend()
        await eventually(lambda: commander.is_loaded, "it is loaded")
        await eventually(lambda: commander.vitals.health().status == "ok", "it is well")


async def test_it_starts_without_broker_and_declares_the_queues_at_its_return() -> None:
    broker = MemoryBroker()
    broker.cut()
    commander = a_commander(broker=broker)
    async with alive(commander):
        await eventually(lambda: commander.is_loaded, "it is loaded")
        await submit(commander, "k")
        broker.mend()
        for queue in topology.FIXED_QUEUES:
            assert broker.server.find(queue.name) is not None


async def test_it_ends_at_whatever_moment_it_is_told_to() -> None:
    for moment in range(0, 60, 7):
        commander = a_commander()
        async with alive(commander):
            asked = asyncio.create_task(submit(commander, "k")) if moment > 20 else None
            await turns(moment)
        if asked is not None:
            async with asyncio.timeout(5):
                await asyncio.gather(asked, return_exceptions=True)


async def test_the_next_commander_goes_on_where_the_last_one_ended() -> None:
    store, broker = MemoryStore(), MemoryBroker()
    async with alive(a_commander(store, broker)) as first:
        await eventually(lambda: first.is_loaded, "it is loaded")
        await first.garrison.declare(PoolRecord(namespace="default", name="default"))
        await first.scheduler.stop()
        made = await submit(first, "k")
    queue = topology.orders_of("default", "default")
    async with alive(a_commander(store, MemoryBroker(broker.server))) as second:
        await eventually(lambda: broker.server.find(queue.name), "the pool's queue exists")
        assert second.scheduler.is_stopped, "whoever was stopped stays so over a restart"
        await second.scheduler.start()
        await eventually(lambda: broker.server.find(queue.name).ready, "the hand-out is published")  # type: ignore[union-attr]
        again = await submit(second, "k")
    assert again == Accepted(made.mission, is_new=False)


@pytest.mark.parametrize("trouble", ["ledger", "broker", "both", "wipe"])
async def test_every_service_lives_through_trouble(trouble: str) -> None:
    broker = MemoryBroker()
    commander = a_commander(broker=broker)
    ledger = commander.ledger
    assert isinstance(ledger, GatedLedger)
    async with alive(commander):
        await eventually(lambda: commander.is_loaded, "it is loaded")
        await commander.pools.declare("default", "default", PoolDeclaration())
        await submit(commander, "before")
        for _ in range(3):
            if trouble in {"ledger", "both"}:
                ledger.cut()
            if trouble in {"broker", "both"}:
                broker.cut()
            if trouble == "wipe":
                ledger.wipe()
            await asyncio.sleep(0.6)  # longer than the reaper's and the timer's look
            ledger.mend()
            if broker.away is not None:
                broker.mend()
        await eventually(lambda: ledger.store.data.era == commander.recorder.era, "the ledger is whole")
        before = await submit(commander, "before")
        after = await submit(commander, "after")
    assert (before.is_new, after.is_new) == (False, True)
