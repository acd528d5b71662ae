"""Looks and views, in any order and any number of times, and comparing with the Commander."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.mission_desk import Desk, accepted
from support.operator_builders import NAME, UID, a_mission, a_status, a_view
from support.patience import until

from mission_contracts.envelope import Door
from mission_contracts.mission import MissionState, Reason
from mission_contracts.rest import MissionView
from mission_operator.kube import Answer

COMPLETED = MissionState.COMPLETED
NOT_FOUND = Answer(404, b'{"details": {"name": "resize"}}')


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with Desk().working() as desk:
        yield desk


async def test_many_looks_are_one_submission(desk: Desk) -> None:
    await accepted(desk, a_mission())
    for version in (200, 201, 202):
        desk.look(a_mission(version=version))
    await asyncio.sleep(0.02)
    assert desk.commander.submitted[UID] == 1


async def test_an_older_look_changes_nothing(desk: Desk) -> None:
    await accepted(desk, a_mission(suspend=False, generation=2))
    desk.look(a_mission(version=5, suspend=True))
    await asyncio.sleep(0.02)
    assert (UID, True) not in desk.commander.suspended


async def test_an_end_is_written_and_acknowledged(desk: Desk) -> None:
    await accepted(desk, a_mission())
    desk.missions.take_view(a_view(COMPLETED, 9, reason=Reason.COMPLETED))
    await until(lambda: UID in desk.commander.acknowledged, "the end is acknowledged")
    assert desk.status()["state"] == "Completed"


async def test_an_end_is_written_once_although_the_ledger_counts_its_acknowledgement(desk: Desk) -> None:
    await accepted(desk, a_mission())
    desk.missions.take_view(a_view(COMPLETED, 9, reason=Reason.COMPLETED))
    await until(lambda: UID in desk.commander.acknowledged, "the end is acknowledged")
    desk.missions.take_view(a_view(COMPLETED, 10, reason=Reason.COMPLETED))
    assert not len(desk.missions.writer), "nothing waits to be written"
    assert desk.status()["sequence"] == 9


async def test_a_deleted_mission_is_cancelled_and_forgotten_after_its_end(desk: Desk) -> None:
    await accepted(desk, a_mission())
    body = desk.cluster.objects.pop(NAME)
    desk.look(body, is_gone=True)
    await until(lambda: desk.commander.cancelled == [(UID, True)], "the Commander is told")
    desk.missions.take_view(a_view(MissionState.CANCELLED, 9, reason=Reason.DELETED))
    await until(lambda: UID in desk.commander.acknowledged and not len(desk.missions.index), "nothing is left of it")


async def test_a_mission_deleted_while_it_waits_for_the_commander_never_runs(desk: Desk) -> None:
    desk.commander.is_away = True
    desk.look(a_mission())
    await asyncio.sleep(0.01)
    desk.look(a_mission(version=11), is_gone=True)
    desk.commander.is_away = False
    await until(lambda: desk.commander.cancelled == [(UID, True)], "the Commander is told, in case")
    await until(lambda: not len(desk.missions.index), "it is forgotten")
    assert desk.commander.submitted[UID] == 0


async def test_a_refusal_is_a_final_status(desk: Desk) -> None:
    desk.commander.refuses = True
    await accepted(desk, a_mission())
    assert (desk.status()["state"], desk.status()["reason"]) == ("Failed", "Refused")
    assert desk.status()["message"] == "not so"


async def test_a_mission_beyond_a_quota_waits_with_its_reason_and_is_submitted_again(desk: Desk) -> None:
    desk.commander.is_full = True
    body = desk.cluster.put(a_mission())
    desk.look(body)
    await until(lambda: bool(desk.cluster.statuses), "it is told why it waits")
    assert (desk.status()["state"], desk.status()["reason"]) == ("Queued", "AdmissionPending")
    assert desk.status()["message"] == "no room; the mission is submitted again by itself"
    desk.commander.is_full = False
    await until(lambda: bool(desk.commander.missions), "it is accepted")
    await until(lambda: desk.status()["reason"] != "AdmissionPending", "it shows what it waits for now")


async def test_a_mission_that_was_accepted_before_is_never_shown_as_refused(desk: Desk) -> None:
    desk.commander.refuses = True
    running = a_mission(status=a_status("InProgress", 7))
    desk.cluster.put(running)
    desk.look(running)
    await until(lambda: desk.commander.submitted[UID] == 1, "it is submitted")
    await asyncio.sleep(0.05)
    assert desk.status()["state"] == "InProgress"


async def test_what_the_commander_forgot_is_submitted_again_above_what_is_shown(desk: Desk) -> None:
    await accepted(desk, a_mission())
    before = desk.status()["sequence"]
    desk.commander.missions.clear()
    await desk.resync.compare()
    await until(lambda: desk.commander.submitted[UID] == 2, "it is submitted again")
    assert desk.commander.missions[UID].sequence > before


async def test_many_forgotten_missions_are_found_in_one_list(desk: Desk) -> None:
    for number in range(120):
        body = desk.cluster.put(a_mission(f"uid-{number}", name=f"m{number}"))
        desk.look(body)
    await until(lambda: len(desk.commander.missions) == 120, "all are accepted")
    desk.commander.missions.clear()
    await desk.resync.compare()
    await until(lambda: len(desk.commander.missions) == 120, "all are accepted again")
    assert set(desk.commander.submitted.values()) == {2}


async def test_what_happened_unheard_is_written(desk: Desk) -> None:
    await accepted(desk, a_mission())
    desk.commander.missions[UID] = a_view(COMPLETED, 9, reason=Reason.COMPLETED)
    await desk.resync.compare()
    await until(lambda: desk.status()["state"] == "Completed", "the end is shown")


async def test_what_is_said_of_an_object_before_the_first_look_at_it_waits_for_that_look(desk: Desk) -> None:
    body = desk.cluster.put(a_mission(generation=3, status=a_status()))
    desk.commander.missions[UID] = a_view(MissionState.IN_PROGRESS, 7, door=Door.CLUSTER)
    desk.missions.take_view(desk.commander.missions[UID])
    assert not len(desk.missions.writer), "whoever started just now does not know what the object shows"
    desk.look(body)
    await until(lambda: desk.status()["state"] == "InProgress", "the object shows it")
    assert [status["observedGeneration"] for status in desk.cluster.statuses[NAME]] == [3]


async def test_an_end_that_was_told_of_an_object_that_is_gone_is_acknowledged(desk: Desk) -> None:
    desk.commander.missions[UID] = a_view(COMPLETED, 9, reason=Reason.COMPLETED, door=Door.CLUSTER)
    desk.missions.take_view(desk.commander.missions[UID])
    await desk.resync.compare()
    await until(lambda: UID in desk.commander.acknowledged, "the record may be purged")
    assert desk.missions.unseen() == ()


async def test_a_live_mission_whose_object_nobody_ever_saw_is_cancelled(desk: Desk) -> None:
    desk.commander.missions[UID] = a_view(door=Door.CLUSTER)
    await desk.resync.compare()
    await until(lambda: desk.commander.cancelled == [(UID, True)], "the orphan is cancelled")


async def test_a_live_mission_whose_name_another_object_has_is_cancelled(desk: Desk) -> None:
    desk.commander.missions[UID] = a_view(door=Door.CLUSTER)
    desk.cluster.put(a_mission("another"))
    await desk.resync.compare()
    await until(lambda: desk.commander.cancelled == [(UID, True)], "the orphan is cancelled")


async def test_an_api_server_that_does_not_serve_missions_is_no_reason_to_cancel(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def page_not_found(namespace: str, name: str) -> Answer:
        return Answer(404, b"404 page not found")

    monkeypatch.setattr(desk.cluster, "read", page_not_found)
    desk.commander.missions[UID] = a_view(door=Door.CLUSTER)
    await desk.resync.compare()
    await asyncio.sleep(0.02)
    assert desk.commander.cancelled == []


async def test_a_deletion_that_was_not_seen_is_found(desk: Desk) -> None:
    await accepted(desk, a_mission())
    del desk.cluster.objects[NAME]
    await desk.resync.compare()
    await until(lambda: (UID, True) in desk.commander.cancelled, "it is cancelled")


async def test_an_object_that_is_there_is_not_cancelled(desk: Desk) -> None:
    await accepted(desk, a_mission())
    await desk.resync.compare()
    await asyncio.sleep(0.02)
    assert desk.commander.cancelled == []


async def test_an_end_that_nobody_acknowledged_is_acknowledged_once_its_object_is_gone(desk: Desk) -> None:
    """No operator lived when it ended and its object went: else its record would be kept for ever."""
    desk.commander.missions[UID] = a_view(COMPLETED, 9, reason=Reason.COMPLETED, door=Door.CLUSTER)
    await desk.resync.compare()
    await until(lambda: UID in desk.commander.acknowledged, "the record may be purged")
    assert desk.commander.cancelled == []


async def test_an_end_that_nobody_acknowledged_is_acknowledged_when_its_object_shows_it(desk: Desk) -> None:
    await accepted(desk, a_mission())
    ended = a_view(COMPLETED, 9, reason=Reason.COMPLETED, door=Door.CLUSTER)
    desk.commander.missions[UID] = ended
    desk.missions.take_view(ended)
    await until(lambda: UID in desk.commander.acknowledged, "the end is acknowledged")
    desk.commander.acknowledged.clear()  # the answer was lost, or the ledger rolled back
    await desk.resync.compare()
    await until(lambda: UID in desk.commander.acknowledged, "and once more")


async def test_an_end_that_the_object_does_not_show_yet_is_not_acknowledged(desk: Desk) -> None:
    """Its record is the only place that has the result."""
    desk.cluster.put(a_mission(status=a_status("InProgress", 7)))
    desk.commander.missions[UID] = a_view(COMPLETED, 9, reason=Reason.COMPLETED, door=Door.CLUSTER)
    await desk.resync.compare()
    await asyncio.sleep(0.3)
    assert desk.commander.acknowledged == set()


async def test_not_each_comparison_reads_all_records(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    unacknowledged = desk.commander.unacknowledged_missions

    def counted(namespace: str) -> AsyncIterator[tuple[MissionView, ...]]:
        nonlocal asked
        asked += 1
        return unacknowledged(namespace)

    monkeypatch.setattr(desk.commander, "unacknowledged_missions", counted)
    for _ in range(13):
        await desk.resync.compare()
    assert asked == 2
