"""What a look at a Mission calls for."""

from datetime import datetime
from typing import Any

import pytest
from support.operator_builders import a_mission, a_status

from mission_operator.missions.deciding import Acknowledge, Action, Cancel, Expire, SetSuspend, Submit, decide
from mission_operator.missions.index import Cancelling, Known
from mission_operator.missions.observing import observe

SUBMITTED = Known(is_submitted=True, suspend=False)
ENDED = a_status("Completed", finishedAt="2026-11-21T12:00:00.500Z")


@pytest.mark.parametrize(
    ("body", "known", "expected"),
    [
        pytest.param(a_mission(), Known(), (Submit(),), id="a new mission is submitted"),
        pytest.param(a_mission(), SUBMITTED, (), id="a submitted one needs nothing"),
        pytest.param(
            a_mission(status=a_status("InProgress", 7)),
            Known(),
            (Submit(),),
            id="after a restart it is submitted again",
        ),
        pytest.param(a_mission(suspend=True), Known(), (Submit(),), id="a first submission says that it is suspended"),
        pytest.param(
            a_mission(suspend=True, generation=2),
            Known(),
            (Submit(), SetSuspend(suspend=True)),
            id="after a change of the spec a submission may be a repeated one, which says nothing",
        ),
        pytest.param(
            a_mission(suspend=False, generation=3),
            Known(is_submitted=True, suspend=True),
            (SetSuspend(suspend=False),),
            id="a released mission is released at the Commander",
        ),
        pytest.param(
            a_mission(cancel=True), Known(), (Submit(), Cancel(deleted=False)), id="a mission can be born cancelled"
        ),
        pytest.param(
            a_mission(cancel=True, generation=2), SUBMITTED, (Cancel(deleted=False),), id="a cancelled one is cancelled"
        ),
        pytest.param(
            a_mission(cancel=True, generation=2),
            Known(is_submitted=True, suspend=False, cancelling=Cancelling.ASKED),
            (),
            id="once",
        ),
        pytest.param(
            a_mission(deleting=True),
            SUBMITTED,
            (Cancel(deleted=True),),
            id="a mission that is being deleted is cancelled",
        ),
        pytest.param(
            a_mission(deleting=True),
            Known(),
            (Cancel(deleted=True),),
            id="and never submitted, whatever is known of it",
        ),
        pytest.param(
            a_mission(deleting=True, cancel=True),
            Known(is_submitted=True, cancelling=Cancelling.ASKED),
            (Cancel(deleted=True),),
            id="deleting says more than cancelling",
        ),
        pytest.param(a_mission(deleting=True), Known(cancelling=Cancelling.DELETED), (), id="a deletion is told once"),
        pytest.param(a_mission(status=ENDED), SUBMITTED, (Acknowledge(),), id="an end that is shown is acknowledged"),
        pytest.param(a_mission(status=ENDED), Known(), (Acknowledge(),), id="a finished mission is never submitted"),
        pytest.param(a_mission(status=ENDED), Known(is_acknowledged=True), (), id="acknowledged once"),
        pytest.param(
            a_mission(status=ENDED, ttlSecondsAfterFinished=60),
            Known(is_acknowledged=True),
            (Expire(datetime.fromisoformat("2026-11-21T12:01:00.500Z")),),
            id="a time to live is counted from the end",
        ),
        pytest.param(
            a_mission(status=ENDED, ttlSecondsAfterFinished=60, deleting=True),
            Known(is_acknowledged=True),
            (),
            id="what is being deleted needs no plan",
        ),
        pytest.param(
            a_mission(status=ENDED, cancel=True, suspend=True, generation=4),
            Known(is_acknowledged=True),
            (),
            id="wishes after the end change nothing",
        ),
    ],
)
def test_decision(body: dict[str, Any], known: Known, expected: tuple[Action, ...]) -> None:
    assert decide(observe(body), known) == expected


def test_an_object_that_is_gone_and_was_not_final_is_cancelled() -> None:
    assert decide(observe(a_mission(), is_gone=True), SUBMITTED) == (Cancel(deleted=True),)


def test_an_object_that_is_gone_after_its_end_is_only_acknowledged() -> None:
    assert decide(observe(a_mission(status=ENDED), is_gone=True), SUBMITTED) == (Acknowledge(),)
