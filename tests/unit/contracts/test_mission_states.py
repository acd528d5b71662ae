"""The one enumeration and the one transition table."""

import copy
import itertools

import msgspec
import pytest

from mission_contracts.mission import (
    NUMBERS_PER_ERA,
    TRANSITIONS,
    Era,
    Failure,
    MissionState,
    OpenWords,
    Reason,
    next_number,
)
from mission_contracts.soldiering import DropReason

FINAL = {MissionState.COMPLETED, MissionState.FAILED, MissionState.CANCELLED}


def test_every_state_has_its_row() -> None:
    assert set(TRANSITIONS) == set(MissionState)


def test_exactly_three_states_are_final() -> None:
    assert {state for state in MissionState if state.is_final} == FINAL


def test_nothing_leaves_a_final_state() -> None:
    assert all(TRANSITIONS[state] == frozenset() for state in FINAL)


def test_no_state_leads_to_itself() -> None:
    assert not any(state in TRANSITIONS[state] for state in MissionState)


def test_every_state_can_still_reach_an_end() -> None:
    for state in set(MissionState) - FINAL:
        assert {MissionState.FAILED, MissionState.CANCELLED} <= TRANSITIONS[state], state


def test_only_a_running_mission_completes() -> None:
    assert [state for state in MissionState if MissionState.COMPLETED in TRANSITIONS[state]] == [
        MissionState.IN_PROGRESS
    ]


@pytest.mark.parametrize(
    ("state", "camel"),
    [(MissionState.QUEUED, "Queued"), (MissionState.IN_PROGRESS, "InProgress"), (MissionState.FAILED, "Failed")],
)
def test_the_clusters_spelling(state: MissionState, camel: str) -> None:
    assert state.camel == camel
    assert MissionState.from_camel(camel) is state


def test_another_spelling_is_an_error() -> None:
    with pytest.raises(ValueError, match="inprogress"):
        MissionState.from_camel("inprogress")


@pytest.mark.parametrize("reason", Reason)
def test_reasons_can_stand_in_a_condition(reason: Reason) -> None:
    assert reason.value.isalpha()
    assert reason.value[0].isupper()


@pytest.mark.parametrize("words", [Reason, Failure, DropReason])
def test_a_word_of_a_newer_version_is_kept_word_for_word(words: type[OpenWords]) -> None:
    for module in (msgspec.json, msgspec.msgpack):
        read = module.decode(module.encode("NotYetInvented"), type=words)
        assert read == "NotYetInvented"
        assert not read.is_known
        assert module.encode(read) == module.encode("NotYetInvented")
        assert copy.deepcopy(read) == read
    assert "NotYetInvented" not in list(words)


@pytest.mark.parametrize("words", [Reason, Failure, DropReason])
def test_every_word_of_this_version_is_known_as_itself(words: type[OpenWords]) -> None:
    for word in words:
        assert word.is_known
        assert msgspec.json.decode(msgspec.json.encode(word), type=words) is word


@pytest.mark.parametrize("nonsense", ["", "a\nb", "7", "x" * 65, "<b>"])
def test_what_is_no_word_is_still_an_error(nonsense: str) -> None:
    with pytest.raises(ValueError, match="not a valid Reason"):
        Reason(nonsense)


def test_numbers_never_repeat_across_eras() -> None:
    eras = (Era(29_000_000), Era(29_000_001), Era(29_000_001), Era(29_000_007))
    numbers = list(itertools.accumulate(eras, next_number, initial=0))
    assert numbers == sorted(set(numbers))


def test_a_number_of_an_older_era_is_left_behind() -> None:
    assert next_number(5 * NUMBERS_PER_ERA + 17, Era(6)) == 6 * NUMBERS_PER_ERA + 1


def test_a_number_beyond_the_era_goes_on_from_there() -> None:
    assert next_number(7 * NUMBERS_PER_ERA, Era(6)) == 7 * NUMBERS_PER_ERA + 1
