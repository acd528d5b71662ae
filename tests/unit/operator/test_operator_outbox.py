"""Submissions on their way to the Commander."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest
from support.operator_builders import NAME, NAMESPACE, a_view
from support.patience import until

from mission_contracts.errors import Problem
from mission_contracts.mission import MissionId
from mission_contracts.rest import BatchItem
from mission_contracts.testing import FakeClock
from mission_operator.commander.client import CommanderAwayError, CommanderRefusedError
from mission_operator.commander.outbox import MAX_BATCH_BYTES, MAX_ITEMS, Outbox, Pending
from mission_operator.commander.reachability import Reachability

PROBLEM = Problem(title="Refused", status=422, detail="no", code="Refused")


class FakeSubmitting:
    """Takes batches, unless told otherwise."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_away = False
        self.spoils: set[str] = set()
        self.problems: dict[str, int] = {}
        self.retry_after_seconds: float | None = None

    async def submit(self, bodies: Sequence[bytes]) -> Sequence[BatchItem]:
        names = [body.decode() for body in bodies]
        self.batches.append(names)
        await self.gate.wait()
        if self.is_away:
            raise CommanderAwayError("away")
        if self.spoils & set(names):
            raise CommanderRefusedError(PROBLEM)
        return [self._answer(name) for name in names]

    def _answer(self, name: str) -> BatchItem:
        if name in self.problems:
            problem = msgspec.structs.replace(PROBLEM, retry_after_seconds=self.retry_after_seconds)
            return BatchItem(status=self.problems[name], problem=problem)
        return BatchItem(status=202, mission=a_view(mission_id=name))


class Desk:
    def __init__(self, room: int = 1_000_000) -> None:
        self.commander = FakeSubmitting()
        self.reachability = Reachability(FakeClock())
        self.accepted: list[str] = []
        self.refused: list[str] = []
        self.held_up: list[str] = []
        self.outbox = Outbox(
            self.commander,
            self.reachability,
            on_accepted=lambda pending, _: self.accepted.append(pending.mission_id),
            on_refused=lambda pending, _: self.refused.append(pending.mission_id),
            on_held_up=lambda pending, _: self.held_up.append(pending.mission_id),
            max_waiting_bytes=room,
        )

    def offer(self, *names: str, is_ordered: bool = False) -> list[bool]:
        return [self.outbox.offer(_pending(name, is_ordered=is_ordered)) for name in names]

    async def until_empty(self) -> None:
        await until(lambda: self.outbox.is_empty, "every submission is settled", seconds=5)


def _pending(name: str, body: bytes | None = None, *, is_ordered: bool = False, namespace: str = NAMESPACE) -> Pending:
    return Pending(
        mission_id=MissionId(name), namespace=namespace, name=NAME, body=body or name.encode(), is_ordered=is_ordered
    )


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    work = asyncio.create_task(desk.outbox.run())
    yield desk
    work.cancel()
    await asyncio.wait([work])


async def test_what_arrives_while_a_request_is_under_way_goes_together(desk: Desk) -> None:
    desk.commander.gate.clear()
    desk.offer("a")
    await asyncio.sleep(0.01)
    desk.offer("b", "c")
    desk.commander.gate.set()
    await desk.until_empty()
    assert desk.commander.batches == [["a"], ["b", "c"]]
    assert desk.accepted == ["a", "b", "c"]


async def test_a_mission_on_its_way_is_not_offered_twice(desk: Desk) -> None:
    desk.offer("a", "a")
    await desk.until_empty()
    assert desk.commander.batches == [["a"]]


async def test_a_batch_is_bounded_in_number_and_in_bytes(desk: Desk) -> None:
    desk.offer(*(f"n{number}" for number in range(MAX_ITEMS + 1)))
    await desk.until_empty()
    assert [len(batch) for batch in desk.commander.batches] == [MAX_ITEMS, 1]

    big = Desk(room=10 * MAX_BATCH_BYTES)
    for name in ("x", "y"):
        big.outbox.offer(_pending(name, name.encode() * (MAX_BATCH_BYTES // 2 + 1)))
    work = asyncio.create_task(big.outbox.run())
    await big.until_empty()
    work.cancel()
    assert [len(batch) for batch in big.commander.batches] == [1, 1]


async def test_a_commander_that_is_away_gets_them_in_order_when_it_is_back(desk: Desk) -> None:
    desk.commander.is_away = True
    desk.offer("a", "b")
    await until(lambda: len(desk.commander.batches) >= 2, "it is tried again", seconds=5)
    assert [one.mission_id for one in desk.outbox.waiting()] == ["a", "b"]
    desk.commander.is_away = False
    await desk.until_empty()
    assert desk.accepted == ["a", "b"]
    assert desk.reachability.away_seconds == 0


async def test_a_refused_mission_is_told_and_its_neighbours_are_accepted(desk: Desk) -> None:
    desk.commander.problems = {"b": 422}
    desk.offer("a", "b", "c")
    await desk.until_empty()
    assert (desk.accepted, desk.refused) == (["a", "c"], ["b"])


async def test_a_mission_that_spoils_the_whole_request_is_found(desk: Desk) -> None:
    desk.commander.spoils = {"d"}
    desk.offer(*"abcdefg")
    await desk.until_empty()
    assert (sorted(desk.accepted), desk.refused) == (list("abcefg"), ["d"])


@pytest.mark.parametrize("status", [403, 429, 500, 503])
async def test_an_answer_that_does_not_blame_the_mission_is_no_refusal(desk: Desk, status: int) -> None:
    desk.commander.problems = {"b": status}
    desk.offer("a", "b", "c")
    await until(lambda: len(desk.commander.batches) >= 2, "it is tried again", seconds=5)
    assert (desk.accepted, desk.refused) == (["a", "c"], [])
    desk.commander.problems = {}
    await desk.until_empty()
    assert desk.accepted == ["a", "c", "b"]


async def test_missions_with_a_lane_that_are_held_up_keep_their_order_and_hold_up_nobody(desk: Desk) -> None:
    desk.commander.problems = dict.fromkeys("abc", 503)
    desk.offer("a", "b", is_ordered=True)
    desk.offer("free")
    await until(lambda: desk.accepted == ["free"], "who has no lane does not wait for them", seconds=5)
    desk.offer("c", is_ordered=True)
    desk.commander.problems = {}
    await desk.until_empty()
    assert desk.accepted == ["free", "a", "b", "c"]


async def test_missions_beyond_a_quota_wait_as_long_as_they_are_told_and_nobody_waits_for_them(desk: Desk) -> None:
    held_up = [f"over-{number}" for number in range(3 * MAX_ITEMS)]
    desk.commander.problems = dict.fromkeys(held_up, 429)
    desk.commander.retry_after_seconds = 5.0
    desk.offer(*held_up)
    await until(lambda: len(desk.held_up) == len(held_up), "all are told", seconds=5)
    asked = len(desk.commander.batches)
    desk.offer("other")
    await until(lambda: desk.accepted == ["other"], "another one is accepted at once", seconds=2)
    assert len(desk.commander.batches) == asked + 1, "those beyond the quota are not asked for again meanwhile"
    assert desk.held_up == held_up, "each is told once"


async def test_a_mission_that_is_held_up_can_be_withdrawn_at_once(desk: Desk) -> None:
    desk.commander.problems = {"a": 503}
    desk.commander.retry_after_seconds = 60.0
    desk.offer("a")
    await until(lambda: desk.held_up == ["a"], "it is held up", seconds=5)
    desk.outbox.withdraw(MissionId("a"))
    await desk.until_empty()
    assert desk.accepted == []


async def test_one_namespace_never_takes_all_room() -> None:
    desk = Desk(room=1_000)
    greedy = [desk.outbox.offer(_pending(f"greedy-{number}", b"x" * 10)) for number in range(200)]
    assert 50 < sum(greedy) < 100
    assert desk.outbox.offer(_pending("late", b"x" * 10, namespace="another"))


async def test_a_withdrawn_mission_is_not_submitted(desk: Desk) -> None:
    desk.commander.gate.clear()
    desk.offer("a")
    await asyncio.sleep(0.01)
    desk.offer("b", "c")
    desk.outbox.withdraw(MissionId("b"))
    desk.commander.gate.set()
    await desk.until_empty()
    assert desk.commander.batches == [["a"], ["c"]]


async def test_whoever_waits_for_a_submission_goes_on_when_it_is_answered_or_withdrawn(desk: Desk) -> None:
    desk.commander.gate.clear()
    desk.offer("a")
    await asyncio.sleep(0.01)
    desk.offer("b")
    waiting = [asyncio.create_task(desk.outbox.settled(MissionId(name))) for name in "ab"]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    desk.outbox.withdraw(MissionId("b"))
    desk.commander.gate.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)
    await desk.outbox.settled(MissionId("never offered"))


async def test_a_full_outbox_says_so_and_has_room_again_later() -> None:
    desk = Desk(room=2)
    assert desk.offer("a", "b", "c") == [True, True, False]
    work = asyncio.create_task(desk.outbox.run())
    await desk.until_empty()
    assert desk.offer("c") == [True]
    work.cancel()
