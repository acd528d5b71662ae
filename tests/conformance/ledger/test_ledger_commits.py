"""Compare and write: what a commit promises."""

import asyncio

import pytest
from support.ledger_probe import (
    ERA,
    NONE,
    PAYLOAD,
    Stage,
    a_mission,
    all_events,
    all_live,
    changed,
    creation,
    must,
    put,
    step,
)

from mission_commander.domain.record import Attempt, Mission, Phase
from mission_commander.ports import Change, Committed, Conflict, EraChangedError, Ledger, Stored
from mission_contracts import mission as m
from mission_contracts.envelope import Door, Envelope, Retry


async def test_a_new_mission_is_written_with_its_payload(ledger: Ledger) -> None:
    mission = a_mission()
    [answer] = await ledger.commit(ERA, [creation(mission)])
    assert isinstance(answer, Committed)
    assert await ledger.fetch([mission.id]) == [Stored(mission, PAYLOAD)]


async def test_every_field_of_a_record_comes_back_as_it_was(ledger: Ledger) -> None:
    envelope = Envelope(
        mission_id=m.MissionId("6f8e8d0c-full"),
        namespace="default",
        pool="gpu",
        type="resize/image",
        accepted_at=1_700_000_000.123456,
        door=Door.CLUSTER,
        name="käse",
        subject="user",
        digest="ab",
        start_after=5.5,
        retry=Retry(max_attempts=7),
        priority=m.Priority.HIGH,
        ordering_key="k",
        sequence_number=2**53,
        retry_of=m.MissionId("older"),
    )
    ended = Attempt(
        number=1,
        epoch=m.Epoch(3),
        instance=m.Instance("s-1"),
        started_at=1.5,
        ended_at=2.5,
        failure=m.Failure.PROCESS_DIED,
        message="gone",
    )
    mission = Mission(
        envelope=envelope,
        sequence=m.Sequence(29_000_000_000_001),
        phase=Phase.CLAIMED,
        state=m.MissionState.IN_PROGRESS,
        reason=m.Reason.RUNNING,
        progress=12.5,
        result=b'{"bytes": "\\u0000"}',
        attempts=(ended,),
        solo=True,
    )
    await put(ledger, mission)
    assert await ledger.fetch([mission.id]) == [Stored(mission, PAYLOAD)]
    assert [event.mission for event in await all_events(ledger)] == [mission]


async def test_a_change_based_on_the_newest_record_is_written(ledger: Ledger) -> None:
    first = a_mission()
    second = changed(first, phase=Phase.CLAIMED)
    await put(ledger, first)
    await must(ledger, step(first, second))
    assert await ledger.fetch([first.id]) == [Stored(second, PAYLOAD)]


async def test_a_change_based_on_an_older_record_meets_the_newest_one(ledger: Ledger) -> None:
    first = a_mission()
    second = changed(first, message="the winner's")
    await put(ledger, first)
    await must(ledger, step(first, second))
    assert await ledger.commit(ERA, [step(first, changed(first, message="the loser's"))]) == [Conflict(second)]
    assert await ledger.fetch([first.id]) == [Stored(second, PAYLOAD)]


async def test_a_creation_of_what_exists_meets_the_record(ledger: Ledger) -> None:
    mission = a_mission()
    await put(ledger, mission)
    again = a_mission(accepted_at=5000.0)
    assert await ledger.commit(ERA, [creation(again)]) == [Conflict(mission)]
    assert await ledger.list_ids("default", before=(2000.0, m.MissionId("")), limit=10) == [mission.id]


async def test_a_change_of_what_does_not_exist_meets_nothing(ledger: Ledger) -> None:
    mission = a_mission()
    assert await ledger.commit(ERA, [step(mission, changed(mission))]) == [Conflict(None)]
    assert await ledger.fetch([mission.id]) == [None]


async def test_a_conflict_changes_nothing_at_all(ledger: Ledger) -> None:
    mission = a_mission()
    await put(ledger, mission)
    before = await all_events(ledger)
    stale = Change(changed(changed(mission)), m.Sequence(mission.sequence + 1), PAYLOAD, hands_out=True)
    await ledger.commit(ERA, [stale])
    assert await all_events(ledger) == before
    assert await ledger.outbox(10) == []


async def test_each_change_of_a_commit_has_its_own_answer_in_order(ledger: Ledger) -> None:
    known = a_mission("known")
    await put(ledger, known)
    answers = await ledger.commit(
        ERA,
        [
            creation(a_mission("new-1")),
            creation(known),
            step(a_mission("missing"), changed(a_mission("missing"))),
            creation(a_mission("new-2")),
        ],
    )
    assert [type(answer) for answer in answers] == [Committed, Conflict, Conflict, Committed]
    assert answers[1:3] == [Conflict(known), Conflict(None)]
    assert [event.id for event in await all_events(ledger)][1:] == [
        answer.event for answer in answers if isinstance(answer, Committed)
    ]


async def test_an_empty_commit_has_no_answers_but_still_compares_the_era(ledger: Ledger) -> None:
    assert await ledger.commit(ERA, []) == []
    with pytest.raises(EraChangedError):
        await ledger.commit(m.Era(ERA + 1), [])


@pytest.mark.parametrize("other", [m.Era(ERA - 1), m.Era(ERA + 1)], ids=["an older era", "a newer era"])
async def test_a_commit_in_another_era_writes_nothing(ledger: Ledger, other: m.Era) -> None:
    known = a_mission("known")
    await put(ledger, known)
    before = await all_events(ledger)
    with pytest.raises(EraChangedError, match=f"era {ERA}, not {other}"):
        await ledger.commit(other, [creation(a_mission(), hands_out=True), step(known, changed(known))])
    assert await ledger.fetch([m.MissionId("m-1"), known.id]) == [None, Stored(known, PAYLOAD)]
    assert await all_events(ledger) == before
    assert await all_live(ledger) == {known.id: known}
    assert await ledger.outbox(10) == []


async def test_a_commit_before_any_era_writes_nothing(fresh: Ledger) -> None:
    with pytest.raises(EraChangedError, match="era"):
        await fresh.commit(ERA, [creation(a_mission())])
    assert await fresh.last_event() == "0-0"


async def test_a_commit_after_a_wipe_writes_nothing(ledger: Ledger, stage: Stage) -> None:
    mission = a_mission()
    await put(ledger, mission)
    await stage.wipe()
    assert await ledger.era() is None
    with pytest.raises(EraChangedError):
        await ledger.commit(ERA, [step(mission, changed(mission))])
    assert await ledger.fetch([mission.id]) == [None]


async def test_a_mission_twice_in_one_commit_is_refused_before_anything_is_written(ledger: Ledger) -> None:
    mission = a_mission()
    with pytest.raises(ValueError, match="m-1 is in one commit twice"):
        await ledger.commit(ERA, [creation(a_mission("m-0")), creation(mission), step(mission, changed(mission))])
    assert await ledger.last_event() == "0-0"


async def test_a_change_that_does_not_raise_the_sequence_is_refused(ledger: Ledger) -> None:
    mission = a_mission()
    await put(ledger, mission)
    with pytest.raises(ValueError, match="must raise it"):
        await ledger.commit(ERA, [Change(mission, mission.sequence)])


async def test_the_payload_is_written_once(ledger: Ledger) -> None:
    first = a_mission()
    second, third = changed(first), changed(changed(first))
    await put(ledger, first)
    await must(ledger, step(first, second))
    await must(ledger, Change(third, second.sequence, b'{"forged":true}'))
    assert await ledger.payloads([first.id]) == [PAYLOAD]


async def test_a_mission_rebuilt_without_payload_takes_the_first_one_that_turns_up(ledger: Ledger) -> None:
    first = a_mission()
    await must(ledger, Change(first, NONE))
    assert await ledger.payloads([first.id]) == [None]
    assert await ledger.fetch([first.id]) == [Stored(first, b"")]
    await must(ledger, Change(changed(first), first.sequence, PAYLOAD))
    assert await ledger.payloads([first.id]) == [PAYLOAD]


async def test_a_large_payload_comes_back_byte_for_byte(ledger: Ledger) -> None:
    payload = b'{"text":"' + bytes(range(32, 127)).replace(b'"', b"").replace(b"\\", b"") * 2700 + b'"}'
    mission = a_mission()
    await must(ledger, Change(mission, NONE, payload))
    assert await ledger.payloads([mission.id]) == [payload]


async def test_missions_are_read_in_the_order_they_were_asked_for(ledger: Ledger) -> None:
    one, two = a_mission("one"), a_mission("two")
    await put(ledger, one, two)
    ids = [two.id, m.MissionId("missing"), one.id, two.id]
    assert await ledger.fetch(ids) == [Stored(two, PAYLOAD), None, Stored(one, PAYLOAD), Stored(two, PAYLOAD)]
    assert await ledger.records(ids) == [two, None, one, two]
    assert await ledger.payloads(ids) == [PAYLOAD, None, PAYLOAD, PAYLOAD]
    assert (await ledger.fetch([]), await ledger.records([]), await ledger.payloads([])) == ([], [], [])


async def test_payloads_are_read_within_a_number_of_bytes_and_at_least_one(ledger: Ledger) -> None:
    missions = [a_mission(f"m-{number}") for number in range(4)]
    for mission in missions:
        await must(ledger, Change(mission, NONE, b'"' + b"x" * 98 + b'"'))
    ids = [mission.id for mission in missions]
    read = [len(await ledger.payloads(ids, within_bytes=most)) for most in (1, 100, 101, 250, 1_000)]
    assert read == [1, 1, 2, 3, 4]
    assert await ledger.payloads([], within_bytes=1) == []


async def test_a_commit_of_a_thousand_changes_is_answered_whole(ledger: Ledger) -> None:
    missions = [a_mission(f"m-{number:04}") for number in range(1000)]
    assert len(await put(ledger, *missions)) == 1000
    assert await all_live(ledger) == {mission.id: mission for mission in missions}


async def test_of_two_commanders_racing_on_one_mission_exactly_one_wins(ledger: Ledger, stage: Stage) -> None:
    rival = await stage.another()
    current = a_mission()
    await put(ledger, current)
    for _ in range(20):
        ours, theirs = changed(current, message="ours"), changed(current, message="theirs")
        [mine], [others] = await asyncio.gather(
            ledger.commit(ERA, [step(current, ours)]), rival.commit(ERA, [step(current, theirs)])
        )
        assert {type(mine), type(others)} == {Committed, Conflict}
        current = ours if isinstance(mine, Committed) else theirs
        assert Conflict(current) in (mine, others)
    assert await rival.fetch([current.id]) == [Stored(current, PAYLOAD)]
    assert (await rival.last_event()) == (await ledger.last_event())
