"""What has ended is left out of the watch: an object that leaves it has ended or is gone, and each gets its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from support.mission_desk import Desk, accepted
from support.operator_builders import NAME, NAMESPACE, NOON, UID, a_mission, a_status, a_view
from support.patience import until
from tools.generate.crds import definition

from mission_contracts.mission import MissionId, MissionState, Reason
from mission_contracts.resources import MISSION
from mission_contracts.testing import FakeClock
from mission_operator.kube import Answer, KubeAwayError, WatchExpiredError
from mission_operator.missions.ended import EndedFollower
from mission_operator.missions.expiring import Expiry
from mission_operator.missions.selecting import ENDED_WITH_A_TTL, LIVING, can_leave_out_what_ended

COMPLETED = MissionState.COMPLETED


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with Desk(leaves_out_ended=True).working() as desk:
        yield desk


async def end(desk: Desk) -> None:
    """The Commander says that the mission is over, and the object shows it."""
    desk.missions.take_view(a_view(COMPLETED, 9, reason=Reason.COMPLETED))
    await until(lambda: desk.status().get("state") == "Completed", "the end is written")


async def test_a_mission_that_ended_leaves_nothing_behind_and_is_not_cancelled(desk: Desk) -> None:
    before = a_mission()
    await accepted(desk, before)
    await end(desk)
    desk.leave(before)
    await until(lambda: UID in desk.commander.acknowledged and not len(desk.missions.index), "nothing is left of it")
    desk.missions.take_view(a_view(COMPLETED, 10, reason=Reason.COMPLETED))
    assert (desk.commander.cancelled, desk.missions.unseen()) == ([], ())


async def test_the_watch_may_show_an_end_before_our_write_of_it_is_answered(desk: Desk) -> None:
    before = a_mission()
    await accepted(desk, before)
    desk.cluster.hold_answers()
    await end(desk)
    desk.leave(before)
    desk.cluster.release_answers()
    await until(lambda: UID in desk.commander.acknowledged and not len(desk.missions.index), "nothing is left of it")
    assert desk.commander.cancelled == []


async def test_a_mission_that_was_deleted_is_cancelled(desk: Desk) -> None:
    before = a_mission()
    await accepted(desk, before)
    desk.cluster.objects.pop(NAME)
    desk.leave(before)
    await until(lambda: desk.commander.cancelled == [(UID, True)], "the Commander is told")


async def test_a_mission_whose_name_has_another_object_by_now_is_cancelled(desk: Desk) -> None:
    before = a_mission()
    await accepted(desk, before)
    desk.cluster.put(a_mission(uid="another", version=50))
    desk.leave(before)
    await until(lambda: desk.commander.cancelled == [(UID, True)], "the Commander is told")
    assert not desk.commander.submitted["another"], "the new object is looked at when the watch shows it"


async def test_a_mission_that_another_operator_ended_is_acknowledged(desk: Desk) -> None:
    before = a_mission()
    await accepted(desk, before)
    desk.cluster.put(a_mission(version=200, status=a_status("Completed", 9)))
    desk.leave(before)
    await until(lambda: UID in desk.commander.acknowledged and not len(desk.missions.index), "nothing is left of it")
    assert desk.commander.cancelled == []


async def test_an_api_server_that_is_away_is_asked_until_it_answers(desk: Desk) -> None:
    before = a_mission()
    await accepted(desk, before)
    desk.cluster.objects.pop(NAME)
    desk.cluster.faults = [KubeAwayError("away"), Answer(500, b"{}"), Answer(404, b'{"message": "not served"}')]
    desk.leave(before)
    await until(lambda: desk.commander.cancelled == [(UID, True)], "the Commander is told")
    assert desk.cluster.faults == []


async def test_a_refused_mission_leaves_nothing_behind(desk: Desk) -> None:
    desk.commander.refuses = True
    before = a_mission()
    await accepted(desk, before)
    desk.leave(before)
    await until(lambda: not len(desk.missions.index), "nothing is left of it")
    assert (desk.commander.cancelled, desk.commander.acknowledged) == ([], set())


async def test_a_comparison_acknowledges_ends_that_no_watch_shows_and_cancels_none(desk: Desk) -> None:
    desk.cluster.put(a_mission(status=a_status("Completed", 9)))
    desk.commander.missions[MissionId(UID)] = a_view(COMPLETED, 9, reason=Reason.COMPLETED)
    desk.missions.take_view(a_view(COMPLETED, 9, reason=Reason.COMPLETED))
    await desk.resync.compare()
    await until(lambda: UID in desk.commander.acknowledged, "its end is acknowledged")
    assert desk.commander.cancelled == []


async def test_an_end_that_is_not_written_yet_is_not_acknowledged(desk: Desk) -> None:
    await accepted(desk, a_mission())
    desk.commander.missions[MissionId(UID)] = a_view(COMPLETED, 9, reason=Reason.COMPLETED)
    desk.cluster.hold_answers(before_writing=True)
    desk.missions.take_view(a_view(COMPLETED, 9, reason=Reason.COMPLETED))
    await desk.resync.compare()
    assert not desk.commander.acknowledged


# Deletion of what has ended.


class Deletions:
    """An API server that deletes what it is told to."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    async def delete(self, namespace: str, name: str, mission_id: MissionId) -> Answer:
        self.deleted.append(name)
        return Answer(200, b"{}")


async def test_the_newest_word_on_a_deletion_counts() -> None:
    clock, api = FakeClock(), Deletions()
    expiry = Expiry(api, clock)
    now = NOON.fromtimestamp(clock.now(), NOON.tzinfo)
    for name, seconds in {"sooner": [60, 10], "later": [10, 60], "kept": [10]}.items():
        for one in seconds:
            expiry.plan(MissionId(name), NAMESPACE, name, now + timedelta(seconds=one))
    expiry.drop(MissionId("kept"))
    expiry.plan(MissionId("now"), NAMESPACE, "now", now)
    clock.turn(20)
    work = asyncio.create_task(expiry.run())
    await until(lambda: "sooner" in api.deleted, "what is due is deleted")
    work.cancel()
    assert api.deleted == ["now", "sooner"]


async def test_an_ended_object_is_deleted_when_its_time_to_live_is_over_and_not_when_that_was_taken_back() -> None:
    async with Desk(leaves_out_ended=True).working() as desk:
        ended = a_status("Completed", 9, finishedAt="1970-01-01T00:00:00Z")
        later = a_status("Completed", 9, finishedAt="2999-01-01T00:00:00Z")
        kept = a_mission(uid="kept", name="kept", status=later, ttlSecondsAfterFinished=0)
        desk.missions.look_at_ended(kept, False)
        desk.missions.look_at_ended(a_mission(status=ended, ttlSecondsAfterFinished=0), False)
        await until(lambda: desk.cluster.deleted == [NAME], "it is deleted")
        desk.missions.look_at_ended(kept, True)
        assert not len(desk.missions.index), "no more is remembered of them"


class Ended:
    """An API server with one page, whose watch shows what it is given, and then breaks in this way."""

    def __init__(self, *breaks: Exception) -> None:
        self.breaks = list(breaks)
        self.asked_from: list[str] = []
        self.listed = 0

    async def ended_version(self) -> str:
        return "5"

    async def ended_pages(self) -> AsyncIterator[tuple[dict[str, Any], ...]]:
        self.listed += 1
        yield (a_mission(uid="listed", name="listed"),)

    async def ended_events(self, version: str) -> AsyncIterator[dict[str, Any]]:
        self.asked_from.append(version)
        await asyncio.sleep(0.01)
        number = len(self.asked_from)
        yield {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": f"{number}0"}}}
        yield {"type": "MODIFIED", "object": a_mission(name=f"changed-{number}", version=number * 10 + 1)}
        yield {"type": "DELETED", "object": a_mission(name=f"gone-{number}", version=number * 10 + 2)}
        if number > 1 and self.breaks:
            raise self.breaks.pop(0)
        if number > 1:
            await asyncio.Event().wait()


@pytest.mark.parametrize("fault", [WatchExpiredError("too old"), KubeAwayError("away")])
async def test_ended_ones_are_followed_from_where_the_watch_was_and_listed_again_when_it_breaks(
    fault: Exception,
) -> None:
    seen: list[tuple[str, bool]] = []

    def look(body: Mapping[str, Any], is_gone: bool) -> None:
        seen.append((body["metadata"]["name"], is_gone))

    ended = Ended(fault)
    work = asyncio.create_task(EndedFollower(ended, look, pause_seconds=0).run())
    await until(lambda: len(ended.asked_from) == 3 and ended.listed == 2, "it watches and lists again")
    work.cancel()
    assert ended.asked_from == ["5", "12", "5"]
    assert {("listed", False), ("changed-1", False), ("gone-1", True), ("changed-2", False)} <= set(seen)


# What is selected.


def test_the_selectors_name_only_fields_that_the_definition_makes_selectable() -> None:
    (version,) = definition(MISSION)["spec"]["versions"]
    selectable = {one["jsonPath"].removeprefix(".") for one in version["selectableFields"]}
    assert {one.split("!=")[0] for one in f"{LIVING},{ENDED_WITH_A_TTL}".split(",")} == selectable


@pytest.mark.parametrize("state", [state.camel for state in MissionState])
def test_each_state_is_watched_by_one_of_the_two(state: str) -> None:
    has_ended = MissionState.from_camel(state).is_final
    assert (f"status.state!={state}" in LIVING.split(",")) is has_ended
    assert (f"status.state!={state}" in ENDED_WITH_A_TTL.split(",")) is not has_ended


async def test_an_api_server_that_cannot_select_or_does_not_say_so_has_everything_watched() -> None:
    class Selecting:
        def __init__(self, said: bool | KubeAwayError) -> None:
            self._said = said

        async def can_select(self, selector: str) -> bool:
            if isinstance(self._said, KubeAwayError):
                raise self._said
            return self._said

    said = [await can_leave_out_what_ended(Selecting(one)) for one in (True, False, KubeAwayError("away"))]
    assert said == [True, False, False]
