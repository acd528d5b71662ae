"""Payloads in memory never take more than their budget, and what has no other copy comes first."""

from hypothesis import given
from hypothesis import strategies as st

from mission_commander.domain.payload_store import OVERHEAD_BYTES, PayloadStore
from mission_contracts.mission import MissionId

BUDGET = 10_000
WHAT = ["keep", "drop", "carried", "not carried"]
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from("abcdefgh"), st.sampled_from(["keep", "drop", "carried", "not carried"]), st.integers(1, 4_000)
    ),
    max_size=60,
)


def size_of(payload: bytes) -> int:
    return len(payload) + OVERHEAD_BYTES


@given(OPERATIONS)
def test_the_budget_is_never_exceeded_and_the_sum_is_right(operations: list[tuple[str, str, int]]) -> None:
    store = PayloadStore(BUDGET)
    for name, what, size in operations:
        mission_id = MissionId(name)
        if what == "keep":
            assert store.keep(mission_id, b"x" * size) == (store.get(mission_id) is not None)
        elif what == "drop":
            store.drop(mission_id)
        else:
            store.note_carried(mission_id, is_carried=what == "carried")
        held = [payload for one in "abcdefgh" if (payload := store.get(MissionId(one))) is not None]
        assert store.size_bytes == sum(map(size_of, held)) <= BUDGET


def test_what_an_order_carries_gives_way_to_what_waits() -> None:
    store = PayloadStore(BUDGET)
    for name in ("out", "waits"):
        assert store.keep(MissionId(name), b"x" * 4_000)
    store.note_carried(MissionId("out"), is_carried=True)
    assert store.keep(MissionId("new"), b"x" * 4_000)
    assert (store.get(MissionId("out")), MissionId("waits") in store) == (None, True)


def test_what_waits_gives_way_to_nothing() -> None:
    store = PayloadStore(BUDGET)
    for name in ("one", "two"):
        assert store.keep(MissionId(name), b"x" * 4_000)
    assert not store.keep(MissionId("new"), b"x" * 4_000)
    assert (MissionId("one") in store, MissionId("two") in store) == (True, True)
