"""What missions take is counted in the step that writes them, and a full ledger refuses new ones only."""

from collections.abc import AsyncIterator

import pytest
from support.ledger_probe import (
    ERA,
    NONE,
    Stage,
    a_mission,
    all_events,
    all_live,
    changed,
    creation,
    dead,
    finished,
    must,
    put,
    step,
)

from mission_commander.domain.owners import MISSION_BYTES, RETRY_PAYLOAD_BYTES, Usage
from mission_commander.domain.record import Mission
from mission_commander.ports import Change, Ledger, LedgerFullError, OutboxEntry, PoolRecord
from mission_contracts import mission as m
from mission_contracts.envelope import Door
from mission_contracts.soldiering import Beat, Registration

LARGE = b'"' + b"x" * 5_000 + b'"'
SMALL = b'"' + b"x" * (RETRY_PAYLOAD_BYTES - 2) + b'"'


@pytest.fixture
async def full(stage: Stage) -> AsyncIterator[Stage]:
    yield stage
    await stage.make_room()


async def submitted(ledger: Ledger, payload: bytes, mission_id: str = "m-1", door: Door = Door.REST) -> Mission:
    mission = changed(a_mission(mission_id, door=door), payload_bytes=len(payload))
    await must(ledger, Change(mission, NONE, payload))
    return mission


async def usage(ledger: Ledger, owner: str = "rest/") -> Usage:
    _, [own] = await ledger.usage([owner])
    return own


async def test_a_mission_counts_for_its_owner_and_for_everybody(ledger: Ledger) -> None:
    await submitted(ledger, LARGE)
    everybody, [rest, cluster] = await ledger.usage(["rest/", "cluster/default"])
    assert everybody == rest
    assert rest.payload == len(LARGE)
    assert rest.held > len(LARGE) + MISSION_BYTES
    assert cluster == Usage()


async def test_an_object_counts_for_its_namespace(ledger: Ledger) -> None:
    await submitted(ledger, LARGE, door=Door.CLUSTER)
    assert (await usage(ledger, "cluster/default")).payload == len(LARGE)
    assert await usage(ledger) == Usage()


async def test_a_change_counts_by_how_much_the_record_grows(ledger: Ledger) -> None:
    mission = await submitted(ledger, LARGE)
    before = await usage(ledger)
    await must(ledger, step(mission, changed(mission, message="x" * 200)))
    after = await usage(ledger)
    assert before.held + 200 <= after.held <= before.held + 240
    assert after.payload == before.payload


async def test_a_conflict_counts_nothing(ledger: Ledger) -> None:
    await submitted(ledger, LARGE)
    before = await usage(ledger)
    await ledger.commit(ERA, [Change(changed(a_mission(), message="x" * 500), NONE, LARGE * 2)])
    assert await usage(ledger) == before


async def test_the_end_of_a_mission_is_the_end_of_its_large_payload(ledger: Ledger) -> None:
    mission = await submitted(ledger, LARGE)
    await must(ledger, step(mission, finished(mission)))
    assert await ledger.payloads([mission.id]) == [None]
    after = await usage(ledger)
    assert after.payload == 0
    assert MISSION_BYTES < after.held < MISSION_BYTES + 500


async def test_a_small_payload_stays_for_a_retry(ledger: Ledger) -> None:
    mission = await submitted(ledger, SMALL)
    await must(ledger, step(mission, finished(mission)))
    assert await ledger.payloads([mission.id]) == [SMALL]
    assert (await usage(ledger)).payload == len(SMALL)


async def test_a_dead_letter_keeps_its_payload_until_it_is_redriven(ledger: Ledger) -> None:
    mission = await submitted(ledger, LARGE)
    given_up = dead(mission)
    await must(ledger, step(mission, given_up))
    assert await ledger.payloads([mission.id]) == [LARGE]
    redriven = changed(given_up, dead_letter=False, retried_as=m.MissionId("m-2"))
    await must(ledger, step(given_up, redriven))
    assert await ledger.payloads([mission.id]) == [None]
    assert (await usage(ledger)).payload == 0


@pytest.mark.parametrize("door", list(Door))
async def test_a_purge_takes_all_of_it_back(ledger: Ledger, door: Door) -> None:
    missions = [await submitted(ledger, payload, f"m-{i}", door) for i, payload in enumerate((LARGE, SMALL, b"{}"))]
    for mission in missions:
        await must(ledger, step(mission, dead(changed(mission, acknowledged=True, result=b"null"))))
    assert await ledger.purge(3000.0, 100) == 3
    everybody, each = await ledger.usage(["rest/", "cluster/default"])
    assert [everybody, *each] == [Usage()] * 3


async def test_a_full_ledger_refuses_a_commit_that_admits_and_writes_nothing_of_it(full: Stage) -> None:
    ledger = await full.another()
    await ledger.begin_era(ERA)
    [mission] = [a_mission("old")]
    await put(ledger, mission)
    seen, counted = await all_events(ledger), await usage(ledger)
    await full.fill()
    with pytest.raises(LedgerFullError):
        await ledger.commit(ERA, [step(mission, finished(mission)), creation(a_mission("new"))], admits=True)
    assert await all_live(ledger) == {mission.id: mission}
    assert await all_events(ledger) == seen
    assert await usage(ledger) == counted
    await full.make_room()
    await ledger.commit(ERA, [creation(a_mission("new"))], admits=True)
    assert set(await all_live(ledger)) == {"old", "new"}


async def test_a_full_ledger_goes_on_with_all_that_it_has(full: Stage) -> None:
    ledger = await full.another()
    await ledger.begin_era(ERA)
    mission, other = a_mission("m-1"), a_mission("m-2")
    await must(ledger, creation(mission, hands_out=True), creation(other))
    await full.fill()

    await ledger.touch()
    await must(ledger, creation(a_mission("accepted-before")))
    running = changed(mission, state=m.MissionState.IN_PROGRESS)
    await must(ledger, step(mission, running))
    await must(ledger, step(running, finished(running)))
    await ledger.confirmed([OutboxEntry(mission.id, mission.epoch)])
    await ledger.put_back(ERA, [OutboxEntry(other.id, other.epoch)])
    assert await ledger.purge(3000.0, 10) == 1
    assert set(await ledger.purged([mission.id])) == {mission.id}
    await ledger.save_pool(PoolRecord(namespace="default", name="default"))
    await ledger.save_scheduler(stopped=True)
    instance = m.Instance("soldier-1")
    await ledger.save_soldier(
        Registration(instance=instance, namespace="default", pool="default", types=(), concurrency=1)
    )
    assert await ledger.save_beat(instance, Beat(beat=1, after=0.0, held=(), unclaimed=(), slots=1, taking=True))
    assert await ledger.begin_era(m.Era(ERA + 1), replaces=ERA) == ERA + 1


async def test_how_full_a_ledger_is_can_be_seen(full: Stage) -> None:
    ledger = await full.another()
    await ledger.begin_era(ERA)
    before = await ledger.memory()
    assert before.limit is None
    await submitted(ledger, b'"' + b"x" * 200_000 + b'"')
    await full.fill()
    after = await ledger.memory()
    assert after.used >= before.used + 150_000
    assert after.limit is not None
    assert after.limit <= 1
