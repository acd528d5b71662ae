"""What people are shown of a record: every record can be shown, however odd the numbers in it."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import (
    OTHER_SOLDIER,
    SOLDIER,
    START,
    accepted,
    cancelled,
    claimed,
    completed,
    failed,
    out,
    tries,
    waiting,
)

from mission_commander.domain.view import timings, view
from mission_contracts.envelope import Door
from mission_contracts.rest import MissionView, Timings

ANY_TIME = st.floats() | st.sampled_from([0.0, -1e300, 1e300, 253_402_300_800.0])


def test_a_completed_mission_shows_every_field() -> None:
    fields = {"door": Door.CLUSTER, "name": "resize-7", "trace_id": "t-1", "type": "resize"}
    running = claimed(out(**fields), seconds=1, instance=OTHER_SOLDIER)
    shown = view(completed(running, ran_seconds=1.5, result=b'{"ok":true}', seconds=9))
    assert shown == MissionView(
        mission_id=running.id,
        namespace="default",
        type="resize",
        pool="default",
        state=shown.state,
        reason="Completed",
        sequence=shown.sequence,
        door=Door.CLUSTER,
        name="resize-7",
        attempt=1,
        epoch=running.epoch,
        soldier=OTHER_SOLDIER,
        queued_at=moment(0),
        started_at=moment(1),
        finished_at=moment(2.5),
        duration_seconds=1.5,
        result=msgspec.Raw(b'{"ok":true}'),
        progress=100,
        trace_id="t-1",
    )


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(START + seconds, UTC)


def test_who_runs_it_is_shown_and_then_who_ran_it_last() -> None:
    assert view(out()).soldier == ""
    assert view(claimed()).soldier == SOLDIER
    assert view(failed()).soldier == SOLDIER


def test_when_it_is_looked_at_again_is_shown_while_it_waits_for_a_time() -> None:
    assert view(waiting()).due_at == moment(60)
    assert view(out()).due_at is None


def test_what_never_ran_has_no_duration() -> None:
    assert view(cancelled()).duration_seconds is None


def test_a_dead_letter_says_so() -> None:
    assert view(failed(claimed(accepted(retry=tries(1))))).dead_letter


def test_where_the_time_of_a_completed_mission_went() -> None:
    ended = completed(claimed(out(), seconds=1), ran_seconds=1.5, seconds=9)
    assert timings(ended, START + 100) == Timings(
        accepted_at=moment(0),
        handed_out_at=moment(0),
        claimed_at=moment(1),
        finished_at=moment(2.5),
        waiting_seconds=1.0,
        running_seconds=1.5,
    )


def test_what_waits_has_only_waited_and_what_runs_runs_until_now() -> None:
    waits, runs = timings(waiting(), START + 5), timings(claimed(seconds=1), START + 5)
    assert (waits.waiting_seconds, waits.running_seconds, waits.claimed_at) == (5.0, 0.0, None)
    assert (runs.waiting_seconds, runs.running_seconds, runs.claimed_at) == (1.0, 4.0, moment(1))


@given(ANY_TIME, ANY_TIME, ANY_TIME)
def test_impossible_times_come_to_seconds_all_the_same(first: float, second: float, now: float) -> None:
    mission = msgspec.structs.replace(completed(), started_at=first, finished_at=second)
    told = msgspec.json.decode(msgspec.json.encode(timings(mission, now)), type=Timings)
    assert told.waiting_seconds >= 0
    assert told.running_seconds >= 0


@given(ANY_TIME, ANY_TIME, ANY_TIME)
def test_a_record_with_impossible_times_can_be_shown(first: float, second: float, third: float) -> None:
    # A record is rebuilt from what soldiers sent; one that cannot be shown would end every watcher's stream.
    mission = msgspec.structs.replace(completed(), started_at=first, finished_at=second, due_at=third)
    assert msgspec.json.decode(msgspec.json.encode(view(mission)), type=MissionView).mission_id == mission.id


@pytest.mark.parametrize("accepted_at", [1e300, -1e300])
def test_an_impossible_acceptance_can_be_shown(accepted_at: float) -> None:
    assert view(accepted(accepted_at=accepted_at)).queued_at is not None
