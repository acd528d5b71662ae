"""A ledger that lost something of a mission: its payload, a hand-out or a claim, and who proves it."""

from collections.abc import Callable

import msgspec
import pytest
from support.records import (
    OTHER_SOLDIER,
    SOLDIER,
    START,
    after,
    applied,
    cancelled,
    claimed,
    completed,
    failed,
    out,
    said,
    suspended,
    waiting,
)

from mission_commander.domain import life
from mission_commander.domain.life import OPEN_FIELD
from mission_commander.domain.life.losses import as_handed_out
from mission_commander.domain.record import Mission, Phase
from mission_contracts.messages import ReportKind
from mission_contracts.mission import Epoch, MissionState, Reason
from mission_contracts.rest import Floor

Made = Callable[[], Mission]
"""Made by the test, not beside it: mutation testing sees only what a test itself does."""


def later(mission: Mission) -> Epoch:
    return Epoch(mission.epoch + 4)


def proven(mission: Mission, epoch: Epoch) -> Mission:
    moved = life.prove_claim(mission, epoch, SOLDIER, after(7))
    assert moved is not None, "this proves nothing"
    return moved


# A claim that its holder proves with a heartbeat.


@pytest.mark.parametrize(
    ("mission", "attempt"),
    [
        pytest.param(out, 1, id="out"),
        pytest.param(waiting, 1, id="waiting"),
        pytest.param(suspended, 1, id="suspended"),
        pytest.param(failed, 2, id="its first attempt had failed"),
        pytest.param(
            lambda: claimed(instance=OTHER_SOLDIER), 1, id="another runs it: nobody knows that this one failed"
        ),
    ],
)
def test_a_claim_of_a_later_epoch_is_taken_in(mission: Made, attempt: int) -> None:
    running = proven(mission(), later(mission()))
    assert (running.phase, running.state, running.reason) == (Phase.CLAIMED, MissionState.IN_PROGRESS, Reason.RUNNING)
    assert (running.epoch, running.holder, running.attempt) == (later(mission()), SOLDIER, attempt)
    assert (running.claimed_at, running.started_at) == (START + 7, START + 7)
    assert (running.due_at, running.progress, running.message) == (None, None, "")
    assert running.sequence > mission().sequence


def test_a_claim_of_the_order_that_is_out_is_taken_in() -> None:
    assert proven(out(), out().epoch).holder == SOLDIER


@pytest.mark.parametrize(
    ("mission", "older_by"),
    [
        pytest.param(claimed, 0, id="this very claim is open"),
        pytest.param(suspended, 0, id="this claim was closed"),
        pytest.param(out, 1, id="an older epoch"),
        pytest.param(completed, -4, id="it is final"),
    ],
)
def test_a_claim_that_was_not_lost_proves_nothing(mission: Made, older_by: int) -> None:
    assert life.prove_claim(mission(), Epoch(mission().epoch - older_by), SOLDIER, after(7)) is None


def test_who_was_asked_to_stop_still_is() -> None:
    asked = cancelled(claimed(), 5)
    running = proven(asked, later(asked))
    assert (running.reason, running.message) == (Reason.CANCEL_REQUESTED, "told to stop; waiting for its handler")
    assert life.cancel_overdue(running, after(35), 30) is not None


def test_progress_of_what_it_overtook_is_not_its_own() -> None:
    before = applied(claimed(), said(claimed(), ReportKind.PROGRESS, progress=80.0))
    assert proven(before, later(before)).progress is None


# A hand-out that an undelivered order proves.


def test_an_undelivered_order_of_a_later_epoch_fences_what_runs_under_an_earlier_one() -> None:
    running = claimed()
    moved = life.return_undelivered(running, later(running), after(5))
    assert moved is not None
    assert (moved.phase, moved.reason, moved.attempt, moved.holder) == (Phase.OUT, Reason.RELEASED, 0, "")
    assert moved.epoch > later(running)
    assert "lost" in moved.message


def test_an_undelivered_order_of_a_later_epoch_lets_wait_what_waits_and_its_number_is_never_given_again() -> None:
    moved = life.return_undelivered(waiting(), later(waiting()), after(5))
    assert moved is not None
    assert (moved.phase, moved.due_at, moved.epoch) == (Phase.WAITING, START + 60, later(waiting()))
    assert moved.sequence > waiting().sequence


def test_an_undelivered_order_of_what_was_asked_to_stop_ends_it() -> None:
    asked = cancelled(claimed())
    moved = life.return_undelivered(asked, later(asked), after(5))
    assert moved is not None
    assert moved.state is MissionState.CANCELLED


# A change that an object shows.


@pytest.mark.parametrize("mission", [out, claimed, waiting], ids=["out", "running", "waiting"])
def test_an_object_that_shows_a_later_change_of_the_same_epoch_lifts_the_sequence_alone(mission: Made) -> None:
    shown = Floor(
        state=mission().state, epoch=mission().epoch, sequence=mission().sequence + 9, attempt=mission().attempt
    )
    lifted = life.lift(mission(), shown, after(5))
    assert lifted is not None
    assert lifted.sequence > shown.sequence
    assert msgspec.structs.replace(lifted, sequence=mission().sequence) == mission()


# A payload.


def test_a_payload_is_lost_and_found_and_nothing_else_changes() -> None:
    lost = life.lose_payload(waiting(), after(2))
    found = life.find_payload(lost, after(3))
    assert (lost.payload_lost, found.payload_lost) == (True, False)
    assert waiting().sequence < lost.sequence < found.sequence
    assert msgspec.structs.replace(found, sequence=waiting().sequence) == waiting()
    assert life.wake(found, after(60), OPEN_FIELD) is not None


# A hand-out that somebody proves.


def second_try() -> Mission:
    again = life.wake(failed(), after(60), OPEN_FIELD)
    assert again is not None
    return claimed(again, 61)


@pytest.mark.parametrize(
    ("mission", "attempt"),
    [
        pytest.param(claimed, 0, id="its attempt had not ended"),
        pytest.param(second_try, 1, id="its second attempt had not ended"),
        pytest.param(failed, 1, id="its attempt had failed, and it waits to be tried again"),
    ],
)
def test_a_hand_out_that_the_ledger_lost_leaves_nothing_of_what_was_before(mission: Made, attempt: int) -> None:
    before = mission()
    handed_out = as_handed_out(before, later(before))
    assert (handed_out.phase, handed_out.state) == (Phase.OUT, MissionState.QUEUED)
    assert (handed_out.epoch, handed_out.attempt, handed_out.due_at) == (later(before), attempt, None)
    assert not handed_out.holder
    assert handed_out.claimed_at is None
