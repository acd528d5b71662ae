"""The transition table: it says the same as the states that everybody outside sees, and nothing leaves an end."""

import msgspec
import pytest
from support.records import cancelled, claimed, completed, out

from mission_commander.domain.life import table
from mission_commander.domain.record import Mission, Phase
from mission_contracts.mission import TRANSITIONS, MissionState, Reason
from mission_contracts.reasons import MEANINGS


def test_it_allows_exactly_the_moves_of_the_states_that_are_shown() -> None:
    moves = {
        (table.state_of(step.before, before), table.state_of(step.after, after))
        for step in table.PHASE_TRANSITIONS
        for before in reasons_in(step.before)
        for after in step.reasons
    }
    shown = {(before, after) for before, follow in TRANSITIONS.items() for after in follow}
    assert {(before, after) for before, after in moves if before is not after} == shown


def reasons_in(phase: Phase) -> set[Reason]:
    return {reason for step in table.PHASE_TRANSITIONS if step.after is phase for reason in step.reasons}


def test_every_arrow_is_there_once() -> None:
    arrows = [(step.before, step.after) for step in table.PHASE_TRANSITIONS]
    assert len(arrows) == len(set(arrows))


def test_nothing_leaves_an_end() -> None:
    assert all(step.before is not Phase.FINAL for step in table.PHASE_TRANSITIONS)


def test_exactly_the_final_reasons_have_a_final_state() -> None:
    assert reasons_in(Phase.FINAL) == set(table.ENDS)
    assert all(state.is_final for state in table.ENDS.values())


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_can_be_reached(phase: Phase) -> None:
    assert reasons_in(phase)


newer = msgspec.structs.replace(claimed(), reason=Reason("NotYetInvented"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(out(), claimed(), id="claimed"),
        pytest.param(claimed(), completed(), id="completed"),
        pytest.param(completed(), completed(), id="an end that stays as it is"),
        pytest.param(newer, newer, id="whatever a newer Commander said, as long as it stays so"),
    ],
)
def test_what_may_follow(before: Mission, after: Mission) -> None:
    assert table.allows(before, after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(completed(), cancelled(), id="another end"),
        pytest.param(completed(), out(), id="out again after the end"),
        pytest.param(out(), completed(), id="completed, and nobody ran it"),
        pytest.param(
            completed(), msgspec.structs.replace(completed(), reason=Reason.GAVE_UP), id="another reason for the end"
        ),
        pytest.param(out(), msgspec.structs.replace(claimed(), reason=Reason.NO_POOL), id="a reason of another phase"),
        pytest.param(
            claimed(), msgspec.structs.replace(completed(), state=MissionState.FAILED), id="a state of another reason"
        ),
    ],
)
def test_what_must_not_follow(before: Mission, after: Mission) -> None:
    assert not table.allows(before, after)


def test_every_reason_has_a_meaning_that_the_documentation_shows() -> None:
    assert set(MEANINGS) == set(Reason)


def test_every_reason_can_be_shown() -> None:
    """Those of the transition table are the Commander's; the operator sets the others on objects."""
    of_the_operator = {Reason.REFUSED, Reason.STATUS_REFUSED, Reason.COMMANDER_UNREACHABLE, Reason.ACCEPTED}
    of_the_operator |= {Reason.ADMISSION_PENDING}
    assert {reason for step in table.PHASE_TRANSITIONS for reason in step.reasons} | of_the_operator == set(Reason)
