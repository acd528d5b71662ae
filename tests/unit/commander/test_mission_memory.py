"""What a Commander holds in memory: the indexes agree with the records, whatever is applied in whatever order."""

from collections import defaultdict
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from support.records import (
    OTHER_SOLDIER,
    SOLDIER,
    START,
    after,
    cancelled,
    claimed,
    completed,
    failed,
    out,
    suspended,
    waiting,
)

from mission_commander.domain import life
from mission_commander.domain.due import look_at
from mission_commander.domain.memory import MissionMemory, pool_of
from mission_commander.domain.record import Mission, Phase
from mission_commander.domain.retention import Retention
from mission_contracts.envelope import Door
from mission_contracts.mission import MissionId, Priority, Reason, Sequence

POOL = ("default", "default")


def memory_of(*missions: Mission, **settings: Any) -> MissionMemory:
    memory = MissionMemory(**settings)
    for mission in missions:
        memory.apply(mission, b"{}")
    return memory


def a_life(mission_id: str, pool: str, sequence: int) -> list[Mission]:
    """Some records of one mission, with sequences as given and up."""
    first = out(mission_id=mission_id, pool=pool)
    lives = [first, claimed(first), failed(claimed(first)), suspended(first), completed(claimed(first))]
    lives += [cancelled(claimed(first)), claimed(first, instance=OTHER_SOLDIER), waiting(mission_id=mission_id)]
    return [msgspec.structs.replace(one, sequence=Sequence(sequence + number)) for number, one in enumerate(lives)]


RECORDS = st.builds(
    lambda mission_id, pool, sequence, which: a_life(mission_id, pool, sequence)[which],
    st.sampled_from(["a", "b", "c", "d"]),
    st.sampled_from(["default", "gpu"]),
    st.integers(1, 30),
    st.integers(0, 7),
)


@given(st.lists(st.tuples(st.sampled_from(["apply", "forget"]), RECORDS), max_size=30), st.integers(1, 3))
def test_every_index_agrees_with_the_records(operations: list[tuple[str, Mission]], kept: int) -> None:
    memory, model = MissionMemory(kept_finals=kept), dict[MissionId, Mission]()
    for what, mission in operations:
        known = model.get(mission.id)
        if what == "forget":
            memory.forget(mission.id)
            model.pop(mission.id, None)
        elif known is not None and known.is_final and not mission.is_final:
            assert not memory.apply(mission, b"{}"), "nothing follows an end"
        else:
            is_newer = known is None or known.sequence < mission.sequence
            assert memory.apply(mission, b"{}") is is_newer
            if is_newer:
                model[mission.id] = mission
        model = {one.id: one for one in model.values() if memory.get(one.id) is not None or not one.is_final}
        assert_consistent(memory, model)
        assert sum(one.is_final for one in model.values()) <= kept


def assert_consistent(memory: MissionMemory, model: dict[MissionId, Mission]) -> None:
    live = [one for one in model.values() if not one.is_final]
    assert {one.id: one for one in (*memory.live(), *memory.finals())} == model
    assert memory.live_count() == len(live)
    by_place, by_holder = defaultdict(set), defaultdict(set)
    for one in live:
        by_place[pool_of(one), one.phase].add(one.id)
        if one.phase is Phase.CLAIMED:
            by_holder[one.holder].add(one.id)
    assert set(memory.pools()) == {pool for pool, _ in by_place}, "an empty pool is not held"
    for pool in ((POOL), ("default", "gpu")):
        for phase in Phase:
            assert {one.id for one in memory.in_phase(pool, phase)} == by_place[pool, phase]
            assert memory.count(pool, phase) == len(by_place[pool, phase])
    assert set(memory.holders()) == {holder for holder, held in by_holder.items() if held}
    for holder in (SOLDIER, OTHER_SOLDIER):
        assert {one.id for one in memory.held_by(holder)} == by_holder[holder]
    moments = [at for one in live if (at := look_at(one, 30.0)) is not None]
    assert memory.next_time() == min(moments, default=None)
    assert all(memory.payload(one.id) is not None for one in live)


def test_the_highest_sequence_wins_in_whichever_order_one_hears() -> None:
    older, newer = out(), claimed(out())
    for order in ((older, newer), (newer, older)):
        assert memory_of(*order).get(older.id) == newer


def test_a_mission_that_is_told_why_it_waits_keeps_its_place() -> None:
    first, second = out(mission_id="first"), out(mission_id="second")
    memory = memory_of(first, second)
    told = life.explain(first, after(3), Reason.POOL_AT_MAX, "all slots are in use")
    assert told is not None
    memory.apply(told)
    assert [one.id for one in memory.in_phase(POOL, Phase.OUT)] == ["first", "second"]
    assert memory.oldest(POOL, Phase.OUT) == told


def test_a_mission_that_is_handed_out_anew_joins_the_tail() -> None:
    first, second = out(mission_id="first"), out(mission_id="second")
    memory = memory_of(first, second)
    memory.apply(life.hand_out(first, after(3)))
    assert [one.id for one in memory.in_phase(POOL, Phase.OUT)] == ["second", "first"]


def test_a_limit_gives_the_first_ones() -> None:
    memory = memory_of(*(out(mission_id=f"m-{number}") for number in range(5)))
    assert [one.id for one in memory.in_phase(POOL, Phase.OUT, limit=2)] == ["m-0", "m-1"]


def test_only_the_newest_finals_are_kept_and_their_payloads_never() -> None:
    ends = [completed(claimed(out(mission_id=f"m-{number}"))) for number in range(5)]
    memory = memory_of(*ends, kept_finals=2)
    assert [one.id for one in memory.finals()] == ["m-3", "m-4"]
    assert memory.payload(MissionId("m-4")) is None


def test_asking_about_a_pool_that_nobody_named_leaves_no_trace() -> None:
    memory = memory_of()
    assert memory.oldest(POOL, Phase.OUT) is None
    assert memory.count(POOL, Phase.OUT) == 0
    assert not memory.pools()


def test_listeners_hear_each_record_that_was_taken_in_until_they_stop() -> None:
    memory, heard = memory_of(), list[Mission]()
    stop = memory.listen(heard.append)
    memory.apply(out())
    memory.apply(out())
    memory.apply(claimed())
    stop()
    memory.apply(completed())
    assert heard == [out(), claimed()]


def test_a_listener_may_stop_while_it_is_called() -> None:
    memory, heard = memory_of(), list[str]()

    def once(_: Mission) -> None:
        heard.append("once")
        stop()

    stop = memory.listen(once)
    memory.listen(lambda _: heard.append("always"))
    memory.apply(out())
    memory.apply(claimed())
    assert heard == ["once", "always", "always"]


def test_what_did_not_move_is_looked_at_again_later() -> None:
    memory = memory_of(waiting())
    [due] = memory.pop_due(after(60).now)
    assert memory.next_time() is None
    memory.look_again_unless_armed(due, after(61).now)
    assert memory.next_time() == after(61).now


def test_what_moved_keeps_its_own_moment() -> None:
    memory = memory_of(waiting())
    [due] = memory.pop_due(after(60).now)
    moved = life.wake(waiting(), after(60), life.OPEN_FIELD)
    assert moved is not None
    memory.apply(moved)
    memory.look_again_unless_armed(due, after(61).now)
    assert memory.next_time() == look_at(moved, 30.0)


def test_what_is_final_is_not_looked_at_again() -> None:
    memory = memory_of(completed())
    memory.look_again_unless_armed(completed().id, after(61).now)
    assert memory.next_time() is None


def test_it_knows_the_newest_hand_out_of_a_queue_that_was_claimed() -> None:
    memory = MissionMemory()
    assert memory.newest_claimed(POOL, Priority.NORMAL) == 0
    early, late = (msgspec.structs.replace(out(mission_id=name), handed_out_at=at) for name, at in (("a", 1), ("b", 5)))
    memory.apply(late)
    assert memory.newest_claimed(POOL, Priority.NORMAL) == 0, "it is out, and nobody claimed it"
    memory.apply(claimed(early))
    assert memory.newest_claimed(POOL, Priority.NORMAL) == 1
    memory.apply(claimed(late))
    memory.apply(completed(claimed(late)))
    assert memory.newest_claimed(POOL, Priority.NORMAL) == 5
    assert memory.newest_claimed(POOL, Priority.HIGH) == 0


def test_a_payload_that_comes_after_its_mission_was_heard_of_is_kept() -> None:
    memory = MissionMemory()
    memory.apply(out())  # the event, which has no payload, overtakes the answer to the commit
    assert not memory.apply(out(), b"{}")
    assert memory.payload(out().id) == b"{}"


def test_a_payload_of_what_is_final_is_not_kept() -> None:
    memory = memory_of(completed(claimed(out())))
    memory.apply(out(), b"{}")
    assert memory.payload(out().id) is None


def test_what_waits_without_its_payload_is_known_until_it_comes() -> None:
    memory, mission = MissionMemory(), waiting()
    memory.apply(mission)
    assert memory.bare(10) == [mission.id]
    memory.keep_payload(mission.id, b"{}")
    assert (memory.bare(10), memory.payload(mission.id)) == ([], b"{}")


def test_what_nobody_has_the_payload_of_is_not_asked_for_again() -> None:
    memory, mission = MissionMemory(), waiting()
    memory.apply(mission)
    memory.keep_payload(mission.id, None)
    assert (memory.bare(10), memory.payload(mission.id)) == ([], None)


def test_what_is_out_or_over_needs_no_payload_here() -> None:
    memory = memory_of()
    for mission in (out(), completed(), cancelled(waiting(mission_id="m-2"))):
        memory.apply(mission)
        assert memory.bare(10) == []


def test_what_comes_back_from_a_soldier_waits_without_a_payload() -> None:
    memory = MissionMemory()
    for mission in (out(), claimed(), failed()):
        memory.apply(mission)
    assert memory.bare(10) == [out().id]
    memory.forget(out().id)
    assert memory.bare(10) == []


# Lives.

WEEK = Retention(7 * 86_400.0)


def a_later_life(**fields: Any) -> Mission:
    return out(accepted_at=START + 2 + WEEK.seconds, **fields)


def test_a_final_mission_goes_with_its_retention() -> None:
    memory = memory_of(completed(), out(mission_id="m-2"), retention=WEEK)
    assert memory.forget_ended(START + 1 + WEEK.seconds) == 0
    assert memory.forget_ended(START + 2 + WEEK.seconds) == 1
    assert [one.id for one in memory.live()] == ["m-2"]
    assert list(memory.finals()) == []
    assert memory.forget_ended(START + 9 * WEEK.seconds) == 0


def test_the_end_of_an_object_goes_once_it_is_acknowledged() -> None:
    ended = completed(claimed(out(door=Door.CLUSTER)))
    memory = memory_of(ended, retention=WEEK)
    assert memory.forget_ended(START + 9 * WEEK.seconds) == 0
    told = life.acknowledge(ended, after(5))
    assert told is not None
    memory.apply(told)
    assert memory.forget_ended(START + 9 * WEEK.seconds) == 1


def test_a_later_life_takes_the_place_of_an_earlier_one_whatever_its_numbers() -> None:
    memory = memory_of(completed(), retention=WEEK)
    second = msgspec.structs.replace(a_later_life(), sequence=Sequence(1))
    assert memory.apply(second, b'{"week":2}')
    assert memory.get(second.id) == second
    assert memory.payload(second.id) == b'{"week":2}'
    assert (memory.live_count(), memory.live_of(second.envelope.subject)) == (1, 1)
    assert list(memory.finals()) == []
    assert memory.forget_ended(START + 9 * WEEK.seconds) == 0, "it lives"


def test_an_earlier_life_comes_too_late() -> None:
    second = msgspec.structs.replace(a_later_life(), sequence=Sequence(1))
    memory = memory_of(second, retention=WEEK)
    assert not memory.apply(completed())
    assert memory.get(second.id) == second


def test_what_made_room_for_newer_ends_is_not_counted_again() -> None:
    memory = memory_of(completed(), retention=WEEK, kept_finals=1)
    memory.apply(completed(claimed(out(mission_id="m-2"))))
    memory.apply(msgspec.structs.replace(out(), sequence=Sequence(completed().sequence + 1)))
    assert memory.forget_ended(START + 2 + WEEK.seconds) == 1, "the live one stays"
    assert [one.id for one in memory.live()] == ["m-1"]


def test_a_record_is_looked_up_by_its_life() -> None:
    memory = memory_of(completed(), retention=WEEK)
    assert memory.of_life(completed().id, START + 1 + WEEK.seconds) == completed()
    assert memory.of_life(completed().id, START + 2 + WEEK.seconds) is None
