"""Records of missions, packed: what comes out equals what went in, and takes less."""

import tracemalloc

from support.records import claimed, completed, failed, out, waiting

from mission_commander.domain.memory import KEPT_FINAL_BYTES, MissionMemory
from mission_commander.domain.record import Mission
from mission_commander.domain.records import Records
from mission_contracts.mission import MissionId

MOST_BYTES_OF_A_WAITING_MISSION = 1_000
"""A million of them take less than the chart's limit, beside the budget of payloads and the process itself."""


def test_a_packed_record_equals_the_one_that_was_put() -> None:
    records = Records(unpacked=0)
    lives = [out(mission_id="out"), claimed(out(mission_id="claimed")), waiting(mission_id="waiting")]
    lives += [failed(claimed(out(mission_id="failed"))), completed(claimed(out(mission_id="completed")))]
    for mission in lives:
        records.put(mission)
    assert [records.get(mission.id) for mission in lives] == lives
    assert list(records.find([MissionId("gone"), *(mission.id for mission in lives)])) == lives
    assert records.pop(lives[0].id) == lives[0]
    assert (records.get(lives[0].id), len(records)) == (None, len(lives) - 1)


def test_a_waiting_mission_takes_less_than_a_kilobyte_of_memory() -> None:
    memory, count = MissionMemory(), 20_000
    tracemalloc.start()
    for number in range(count):
        memory.apply(waiting(mission_id=f"7d9f7f0e-0000-4000-8000-{number:012}", digest=f"{number:032}", subject="ana"))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken / count < MOST_BYTES_OF_A_WAITING_MISSION


def test_final_missions_with_large_results_are_kept_within_a_number_of_bytes() -> None:
    memory = MissionMemory()
    count = 2 * KEPT_FINAL_BYTES // LARGEST_RESULT
    for number in range(count):
        memory.apply(_final(number))
    kept = list(memory.finals())
    assert sum(len(mission.result or b"") for mission in kept) <= KEPT_FINAL_BYTES
    assert len(kept) > count // 3
    assert kept[-1].id == f"m-{count - 1}", "the newest stay"


LARGEST_RESULT = 16 * 1024


def _final(number: int) -> Mission:
    return completed(claimed(out(mission_id=f"m-{number}")), result=b'"' + b"x" * (LARGEST_RESULT - 2) + b'"')
