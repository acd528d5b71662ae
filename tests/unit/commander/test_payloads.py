"""Each replica reads the payloads of missions that wait, so that any one of them can restore them all."""

import pytest
from support.commander_stage import Stage, eventually, running

from mission_commander.domain.memory import MissionMemory
from mission_commander.services import payloads
from mission_commander.services.payloads import Payloads
from mission_contracts.mission import MissionId
from mission_contracts.spec import MAX_PAYLOAD_BYTES


async def test_a_replica_reads_what_others_accepted(stage: Stage) -> None:
    replica = stage.another()
    async with running(stage.recorder.run):
        accepted = [await stage.accept(f"m-{number}", start_after=stage.clock.now() + 60) for number in range(250)]
    for mission in accepted:
        replica.memory.apply(mission)
    assert len(replica.memory.bare(500)) == 250
    await Payloads(replica.ledger, replica.memory).look()
    assert all(replica.memory.payload(mission.id) for mission in accepted)
    assert replica.memory.bare(1) == []


async def test_no_more_is_read_than_the_budget_has_room_for(stage: Stage) -> None:
    replica = stage.another()
    largest = b'"' + b"x" * (MAX_PAYLOAD_BYTES - 2) + b'"'
    async with running(stage.recorder.run):
        accepted = [
            await stage.accept(f"m-{number}", largest, start_after=stage.clock.now() + 60) for number in range(12)
        ]
    replica.memory = MissionMemory(payload_bytes=4 * MAX_PAYLOAD_BYTES + 1_000)
    for mission in accepted:
        replica.memory.apply(mission)
    await Payloads(replica.ledger, replica.memory).look()
    held = [mission.id for mission in accepted if replica.memory.payload(mission.id) is not None]
    assert held == ["m-0", "m-1", "m-2", "m-3"]
    replica.memory.forget(accepted[0].id)
    await Payloads(replica.ledger, replica.memory).look()
    assert replica.memory.payload(MissionId("m-4")) == largest, "what ends makes room"


async def test_without_ledger_it_is_read_later(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "LOOK_SECONDS", 0.005)
    replica = stage.another()
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1", start_after=stage.clock.now() + 60)
    replica.memory.apply(mission)
    replica.ledger.cut()
    async with running(Payloads(replica.ledger, replica.memory).run):
        replica.ledger.mend()
        await eventually(lambda: replica.memory.payload(mission.id), "its payload is here")
