"""Which disagreement is a fault, and that none is where all agree."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mission_commander.domain.accounts import Account, Fault, Suspicion, suspicion_of
from mission_commander.domain.record import Mission, Phase
from mission_contracts.mission import Epoch, MissionId, Sequence
from mission_contracts.testing import a_mission


def record(phase: Phase = Phase.OUT, sequence: int = 5, **fields: Any) -> Mission:
    return Mission(envelope=a_mission("m-1"), sequence=Sequence(sequence), phase=phase, epoch=Epoch(7), **fields)


def account(kept: Mission | None, **said: Any) -> Account:
    """One on which all agree, but for what is said here."""
    is_live = kept is not None and not kept.is_final
    agreed: dict[str, Any] = {
        "known": kept,
        "is_listed": is_live,
        "is_unconfirmed": is_live,
        "has_moment": is_live,
    }
    return Account(id=MissionId("m-1"), kept=kept, **(agreed | said))


def fault(one: Account) -> Fault | None:
    suspicion = suspicion_of(one)
    return suspicion.fault if suspicion is not None else None


FAULTS = [
    pytest.param(account(None, known=record()), Fault.LOST, id="the ledger lacks what memory has live"),
    pytest.param(account(record(), known=record(sequence=6)), Fault.LOST, id="the ledger has an older record"),
    pytest.param(
        account(record(sequence=9), known=record(Phase.FINAL)),
        Fault.LOST,
        id="the ledger has a live one that had ended",
    ),
    pytest.param(account(None, is_listed=True), Fault.DANGLING, id="the index names nobody"),
    pytest.param(account(record(Phase.FINAL), is_listed=True), Fault.DANGLING, id="the index names a final one"),
    pytest.param(account(record(), is_listed=False), Fault.UNLISTED, id="a live one is in no index"),
    pytest.param(account(record(), known=None), Fault.UNHEARD, id="memory lacks it"),
    pytest.param(account(record(), known=record(sequence=4)), Fault.UNHEARD, id="memory is behind"),
    pytest.param(
        account(record(Phase.FINAL), known=record(sequence=4)), Fault.UNHEARD, id="memory did not hear of the end"
    ),
    pytest.param(account(record(Phase.WAITING), has_moment=False), Fault.NO_MOMENT, id="nobody will look at it"),
    pytest.param(account(None, has_outbox_entry=True), Fault.STRAY_ORDER, id="the outbox holds an order of nobody"),
    pytest.param(
        account(record(Phase.FINAL), has_outbox_entry=True), Fault.STRAY_ORDER, id="the outbox holds a final one's"
    ),
    pytest.param(
        account(record(), is_unconfirmed=False, is_queue_empty=True), Fault.NO_ORDER, id="its order is nowhere"
    ),
]


@pytest.mark.parametrize(("one", "expected"), FAULTS)
def test_a_fault(one: Account, expected: Fault) -> None:
    assert fault(one) is expected


NO_FAULTS = [
    pytest.param(account(None), id="nobody knows it"),
    pytest.param(account(None, known=record(Phase.FINAL)), id="purged, and still remembered as final"),
    pytest.param(account(record(Phase.FINAL), known=None), id="final, and not remembered any more"),
    pytest.param(account(record(), is_unconfirmed=False, is_queue_empty=False), id="its order may be in the queue"),
    pytest.param(
        account(record(), is_unconfirmed=False, is_queue_empty=True, is_in_hand=True), id="a soldier has its order"
    ),
    pytest.param(account(record(Phase.CLAIMED), is_unconfirmed=False, is_queue_empty=True), id="claimed"),
    pytest.param(
        account(record(payload_lost=True), is_unconfirmed=False, is_queue_empty=True), id="no order can be made of it"
    ),
]


@pytest.mark.parametrize("one", NO_FAULTS)
def test_no_fault(one: Account) -> None:
    assert fault(one) is None


records = st.builds(record, st.sampled_from(Phase), st.integers(1, 3))


@given(records)
def test_where_all_agree_there_is_no_fault(kept: Mission) -> None:
    assert fault(account(kept)) is None


@given(
    st.builds(
        Account,
        id=st.just(MissionId("m-1")),
        kept=st.none() | records,
        known=st.none() | records,
        is_listed=st.booleans(),
        is_unconfirmed=st.booleans(),
        has_outbox_entry=st.booleans(),
        has_moment=st.booleans(),
        is_in_hand=st.booleans(),
        is_queue_empty=st.booleans(),
    )
)
def test_a_live_mission_without_a_fault_is_found_by_whoever_has_to_act(one: Account) -> None:
    """What no fault means: the ledger's index, this Commander and the clock all know of it, and it has an order."""
    if fault(one) is not None or one.kept is None or one.kept.is_final:
        return
    assert one.is_listed
    assert one.known is not None
    assert one.known.sequence == one.kept.sequence
    assert one.has_moment
    assert one.kept.phase is not Phase.OUT or one.is_unconfirmed or one.is_in_hand or not one.is_queue_empty


def test_a_suspicion_is_of_one_record() -> None:
    """The same fault at a later record is another one: the mission has moved between the looks."""
    before = account(record(), is_listed=False)
    after = msgspec.structs.replace(before, kept=record(sequence=6), known=record(sequence=6))
    assert suspicion_of(before) == Suspicion(Fault.UNLISTED, Sequence(5))
    assert suspicion_of(before) != suspicion_of(after)
