"""May this instance run this epoch? Every verdict, and what each does to the record."""

import pytest
from support.records import (
    OTHER_SOLDIER,
    SOLDIER,
    accepted,
    after,
    cancelled,
    claimed,
    completed,
    failed,
    out,
    suspended,
)

from mission_commander.domain import life
from mission_commander.domain.life import Dropped, Granted
from mission_commander.domain.record import Mission, Phase
from mission_contracts.mission import Epoch, Instance, MissionState, Reason
from mission_contracts.soldiering import DropReason


def verdict(
    mission: Mission,
    *,
    epoch: int | None = None,
    instance: Instance = SOLDIER,
    seconds: float = 1,
    has_handler: bool = True,
    known_types: tuple[str, ...] = (),
) -> Granted | Dropped:
    wanted = mission.epoch if epoch is None else Epoch(epoch)
    return life.claim(mission, wanted, instance, after(seconds), has_handler=has_handler, known_types=known_types)


def granted(answer: Granted | Dropped) -> Mission:
    assert isinstance(answer, Granted), answer
    assert answer.mission is not None
    return answer.mission


def dropped(answer: Granted | Dropped) -> Mission:
    assert isinstance(answer, Dropped), answer
    assert answer.mission is not None
    return answer.mission


def test_the_first_claim_of_an_epoch_runs() -> None:
    mission = granted(verdict(out(), seconds=3))
    assert (mission.phase, mission.state, mission.reason) == (Phase.CLAIMED, MissionState.IN_PROGRESS, Reason.RUNNING)
    assert (mission.holder, mission.attempt) == (SOLDIER, 1)
    assert mission.claimed_at == mission.started_at == after(3).now


@pytest.mark.parametrize(
    ("mission", "epoch", "instance", "reason"),
    [
        pytest.param(claimed(), None, OTHER_SOLDIER, DropReason.SPENT, id="another soldier was first"),
        pytest.param(claimed(), out().epoch - 1, SOLDIER, DropReason.STALE, id="an older epoch, while it runs"),
        pytest.param(out(), out().epoch - 1, SOLDIER, DropReason.STALE, id="an older epoch, while it is out"),
        pytest.param(suspended(), None, SOLDIER, DropReason.HELD, id="suspended meanwhile"),
        pytest.param(failed(), None, SOLDIER, DropReason.HELD, id="it waits for its retry"),
        pytest.param(completed(), None, SOLDIER, DropReason.FINAL, id="it is completed"),
        pytest.param(cancelled(), None, SOLDIER, DropReason.CANCELLED, id="it was cancelled"),
    ],
)
def test_an_order_is_of_no_use(mission: Mission, epoch: int | None, instance: Instance, reason: DropReason) -> None:
    assert verdict(mission, epoch=epoch, instance=instance) == Dropped(reason)


def test_a_lost_answer_is_given_again_and_changes_nothing() -> None:
    first = verdict(out(timeout_seconds=60), seconds=1)
    again = verdict(granted(first), seconds=2)
    assert again == Granted(None, attempt=1, timeout_seconds=60, solo=False)


def test_a_claim_that_was_reported_is_not_granted_again() -> None:
    assert verdict(failed()) == Dropped(DropReason.HELD)


def test_a_lost_answer_is_not_given_to_another_instance() -> None:
    assert verdict(claimed(), instance=OTHER_SOLDIER) == Dropped(DropReason.SPENT)


# Without a handler.


def test_without_a_handler_it_waits_a_second_uncharged_and_says_why() -> None:
    mission = dropped(verdict(out(type="resize"), seconds=1, has_handler=False, known_types=("noop", "simulate")))
    assert (mission.phase, mission.reason, mission.attempt) == (Phase.WAITING, Reason.NO_HANDLER, 0)
    assert mission.due_at == after(2).now
    assert 'type "resize"' in mission.message
    assert "noop, simulate" in mission.message


def test_a_pool_of_many_types_is_named_in_part() -> None:
    types = tuple(f"type-{number}" for number in range(30))
    mission = dropped(verdict(out(), has_handler=False, known_types=types))
    assert "type-9, …" in mission.message
    assert "type-10" not in mission.message


def test_an_order_without_handler_that_is_of_no_use_anyway_changes_nothing() -> None:
    assert verdict(completed(), has_handler=False) == Dropped(DropReason.FINAL)


# Deadlines and time-outs.


def test_past_its_deadline_it_fails_instead_of_running() -> None:
    answer = verdict(out(deadline_seconds=10), seconds=10)
    assert isinstance(answer, Dropped)
    assert answer.reason is DropReason.PAST_DEADLINE
    mission = dropped(answer)
    assert (mission.state, mission.reason, mission.dead_letter) == (
        MissionState.FAILED,
        Reason.DEADLINE_EXCEEDED,
        True,
    )


@pytest.mark.parametrize(
    ("timeout", "deadline", "seconds", "expected"),
    [
        pytest.param(60, 3600, 0, 60, id="the attempt's own timeout"),
        pytest.param(60, 100, 70, 30, id="what is left until the deadline, if that is less"),
        pytest.param(60, 100, 100 - 1e-6, 0.001, id="never nothing at all"),
    ],
)
def test_how_long_it_may_run(timeout: float, deadline: float, seconds: float, expected: float) -> None:
    answer = verdict(out(timeout_seconds=timeout, deadline_seconds=deadline), seconds=seconds)
    assert isinstance(answer, Granted)
    assert answer.timeout_seconds == pytest.approx(expected)


# Suspects.


def test_a_suspect_runs_alone() -> None:
    expired = life.expire(claimed(), out().epoch, after(9))
    assert expired is not None
    answer = verdict(expired, seconds=10)
    assert isinstance(answer, Granted)
    assert answer.solo


# Where a rolled back ledger knows less than the order.


@pytest.mark.parametrize(
    "mission",
    [
        pytest.param(out(), id="out under an older epoch"),
        pytest.param(claimed(instance=OTHER_SOLDIER), id="claimed under an older epoch"),
        pytest.param(failed(), id="waiting"),
    ],
)
def test_an_order_of_a_later_epoch_knows_better_than_a_rolled_back_record(mission: Mission) -> None:
    run = granted(verdict(mission, epoch=mission.epoch + 5, seconds=3))
    assert run.epoch == mission.epoch + 5
    assert (run.phase, run.holder) == (Phase.CLAIMED, SOLDIER)


def test_whether_the_lost_attempts_counted_nobody_knows_so_they_did_not() -> None:
    running = claimed()
    assert granted(verdict(running, epoch=running.epoch + 5)).attempt == running.attempt == 1


def test_an_attempt_that_counted_before_the_rollback_still_does() -> None:
    retrying = failed()
    assert granted(verdict(retrying, epoch=retrying.epoch + 5)).attempt == 2


def test_a_later_order_without_handler_leaves_nothing_of_what_it_overtook() -> None:
    running = claimed(instance=OTHER_SOLDIER)
    mission = dropped(verdict(running, epoch=running.epoch + 5, has_handler=False))
    assert (mission.phase, mission.holder, mission.attempt) == (Phase.WAITING, "", 0)
    assert mission.epoch == running.epoch + 5, "else its next hand-out would repeat a number"


def test_a_later_order_of_what_was_asked_to_stop_is_cancelled() -> None:
    asked = cancelled(claimed())
    answer = verdict(asked, epoch=asked.epoch + 5)
    assert isinstance(answer, Dropped)
    assert answer.reason is DropReason.CANCELLED
    assert dropped(answer).state is MissionState.CANCELLED


def test_no_epoch_reopens_a_final_mission() -> None:
    assert verdict(completed(), epoch=completed().epoch + 5) == Dropped(DropReason.FINAL)


def test_progress_of_an_earlier_attempt_is_not_shown_in_the_next() -> None:
    assert granted(verdict(accepted())).progress is None
