"""Statuses into objects: coalesced, in order, and with a reason for each that is not written."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from support.operator_builders import UID, a_view
from support.patience import until

from mission_contracts.mission import MissionId, MissionState
from mission_contracts.rest import MissionView
from mission_operator.kube import Answer, KubeAwayError
from mission_operator.missions.writing import Fate, StatusWriter

OK = Answer(200, b'{"metadata": {"resourceVersion": "7"}}')
INVALID = Answer(422, b'{"message": "no"}')
TOO_LARGE = Answer(500, b'{"message": "etcdserver: request is too large", "code": 500}')
FAULT = Answer(500, b'{"message": "internal error", "code": 500}')
NOT_FOUND = Answer(404, b'{"details": {"name": "resize"}}')
QUEUED, IN_PROGRESS, COMPLETED = MissionState.QUEUED, MissionState.IN_PROGRESS, MissionState.COMPLETED
HOLD_SECONDS = 0.05


def an_object(*, uid: str = UID, sequence: int = 0) -> Answer:
    return Answer(200, msgspec.json.encode({"metadata": {"uid": uid}, "status": {"sequence": sequence}}))


class FakeObjects:
    """An API server that answers as it is told, and by default says yes."""

    def __init__(self) -> None:
        self.patches: list[str] = []
        self.answers: list[Answer | Exception] = []
        self.object = an_object()
        self.in_flight = self.most_in_flight = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def patch_status(self, view: MissionView, patch: bytes) -> Answer:
        self.patches.append(patch.decode())
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await self.gate.wait()
        self.in_flight -= 1
        answer = self.answers.pop(0) if self.answers else OK
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def get(self, view: MissionView) -> Answer:
        return self.object


class PlainRendering:
    """Patches that a test can read."""

    def full(self, view: MissionView) -> bytes:
        return f"{view.state.camel} {view.sequence}".encode()

    def minimal(self, view: MissionView) -> bytes:
        return f"minimal {view.state.camel} {view.sequence}".encode()

    def bare(self, view: MissionView) -> bytes:
        return f"bare {view.state.camel} {view.sequence}".encode()


class Desk:
    """A writer at work, and what became of what it was given."""

    def __init__(self, *, head_start_seconds: float = 60.0) -> None:
        self.objects = FakeObjects()
        self.fates: list[tuple[int, Fate]] = []
        self.shown: dict[MissionId, int] = {}
        self.writer = StatusWriter(
            self.objects,
            PlainRendering(),
            sequence_shown=lambda mission_id: self.shown.get(mission_id, -1),
            on_fate=lambda view, fate, _: self.fates.append((view.sequence, fate)),
            in_flight=4,
            hold_seconds=HOLD_SECONDS,
            hold_waiting_seconds=0.3,
            hold_at_most_seconds=0.4,
            head_start_seconds=head_start_seconds,
            max_server_faults=3,
        )

    async def keep_busy(self) -> None:
        """Have an API server that answers nobody, with as many writes under way as may be."""
        self.objects.gate.clear()
        for number in range(4):
            self.writer.offer(a_view(COMPLETED, number, mission_id=f"busy-{number}"))
        await self.until_tried(4)

    def in_turn(self) -> int:
        """Objects whose status has held, and that wait for nothing but a free hand."""
        return sum(slot.ticket > 0 for slot in self.writer._slots.values())

    async def wait_in_turn(self, view: MissionView) -> None:
        """Offer a status, and wait until it has held and waits for nothing but its turn."""
        before = self.in_turn()
        self.writer.offer(view)
        await until(lambda: self.in_turn() > before, f"{view.state} waits for its turn", seconds=5)

    async def written_after_all(self) -> list[str]:
        """Have the API server answer again; gives what was written then."""
        self.objects.patches.clear()
        self.objects.gate.set()
        await self.until_done()
        return self.objects.patches

    async def until_tried(self, times: int = 1) -> None:
        await until(lambda: len(self.objects.patches) >= times, f"{times} writes are tried", seconds=5)

    async def until_done(self) -> None:
        await until(lambda: len(self.writer) == 0, "nothing waits to be written", seconds=5)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with at_work(Desk()) as desk:
        yield desk


@asynccontextmanager
async def at_work(desk: Desk) -> AsyncIterator[Desk]:
    work = asyncio.create_task(desk.writer.run())
    yield desk
    work.cancel()
    await asyncio.wait([work])


async def test_a_mission_that_ends_at_once_costs_one_write(desk: Desk) -> None:
    for view in (a_view(QUEUED, 1), a_view(IN_PROGRESS, 2), a_view(COMPLETED, 3)):
        desk.writer.offer(view)
    await desk.until_done()
    assert desk.objects.patches == ["Completed 3"]


async def test_a_status_is_written_once_it_held(desk: Desk) -> None:
    desk.writer.offer(a_view(QUEUED, 1))
    desk.writer.offer(a_view(IN_PROGRESS, 2))
    await asyncio.sleep(0)
    assert desk.objects.patches == []
    await desk.until_done()
    assert desk.objects.patches == ["InProgress 2"]


async def test_a_status_that_never_holds_is_written_now_and_then(desk: Desk) -> None:
    sequence = 0
    async with asyncio.timeout(5):
        while not desk.objects.patches:
            sequence += 1
            desk.writer.offer(a_view(IN_PROGRESS, sequence))
            await asyncio.sleep(HOLD_SECONDS / 5)
    assert sequence > 5, "it was held while it moved"


async def test_an_older_view_never_follows_a_newer_one(desk: Desk) -> None:
    desk.writer.offer(a_view(IN_PROGRESS, 5))
    desk.writer.offer(a_view(QUEUED, 4))
    await desk.until_done()
    assert desk.objects.patches == ["InProgress 5"]


async def test_what_the_object_shows_already_is_not_written(desk: Desk) -> None:
    desk.shown[UID] = 5
    desk.writer.offer(a_view(COMPLETED, 5))
    desk.writer.offer(a_view(COMPLETED, 4))
    await desk.until_done()
    assert desk.objects.patches == []


async def test_one_object_has_one_write_under_way_and_the_newest_follows(desk: Desk) -> None:
    desk.objects.gate.clear()
    desk.writer.offer(a_view(IN_PROGRESS, 1))
    await desk.until_tried()
    desk.writer.offer(a_view(IN_PROGRESS, 2))
    desk.writer.offer(a_view(COMPLETED, 3))
    desk.objects.gate.set()
    await desk.until_done()
    assert desk.objects.patches == ["InProgress 1", "Completed 3"]
    assert desk.objects.most_in_flight == 1


async def test_writes_under_way_are_bounded(desk: Desk) -> None:
    desk.objects.gate.clear()
    for number in range(20):
        desk.writer.offer(a_view(COMPLETED, 1, mission_id=f"m{number}"))
    await desk.until_tried(4)
    desk.objects.gate.set()
    await desk.until_done()
    assert desk.objects.most_in_flight == 4
    assert len(desk.objects.patches) == 20


async def test_why_a_mission_waits_on_is_told_later_than_that_it_waits(desk: Desk) -> None:
    desk.shown[MissionId("waits")] = 4
    desk.writer.offer(a_view(QUEUED, 5, mission_id="waits"))
    desk.writer.offer(a_view(QUEUED, 1, mission_id="new"))
    await desk.until_done()
    assert desk.objects.patches == ["Queued 1", "Queued 5"]


async def test_what_is_not_final_leaves_half_of_the_hands_to_ends(desk: Desk) -> None:
    desk.objects.gate.clear()
    for number in range(4):
        desk.writer.offer(a_view(IN_PROGRESS, 1, mission_id=f"runs-{number}"))
    await desk.until_tried(2)
    desk.writer.offer(a_view(COMPLETED, 2, mission_id="ends"))
    await desk.until_tried(3)
    assert sorted(desk.objects.patches) == ["Completed 2", "InProgress 1", "InProgress 1"]
    desk.objects.gate.set()
    await desk.until_done()


async def test_where_the_api_server_is_slow_an_end_overtakes_what_is_not_final(desk: Desk) -> None:
    await desk.keep_busy()
    await desk.wait_in_turn(a_view(IN_PROGRESS, 5, mission_id="runs"))
    await desk.wait_in_turn(a_view(COMPLETED, 6, mission_id="ends"))
    assert await desk.written_after_all() == ["Completed 6", "InProgress 5"]


async def test_an_end_takes_the_place_of_what_its_own_object_was_to_show(desk: Desk) -> None:
    await desk.keep_busy()
    await desk.wait_in_turn(a_view(QUEUED, 5, mission_id="waits"))
    await desk.wait_in_turn(a_view(QUEUED, 6, mission_id="ends"))
    desk.writer.offer(a_view(COMPLETED, 7, mission_id="ends"))
    assert await desk.written_after_all() == ["Completed 7", "Queued 5"]


async def test_no_end_overtakes_what_has_waited_for_longer_than_its_head_start() -> None:
    async with at_work(Desk(head_start_seconds=0)) as desk:
        await desk.keep_busy()
        await desk.wait_in_turn(a_view(IN_PROGRESS, 5, mission_id="runs"))
        await desk.wait_in_turn(a_view(COMPLETED, 6, mission_id="ends"))
        assert await desk.written_after_all() == ["InProgress 5", "Completed 6"]


@pytest.mark.parametrize(
    "obstacle",
    [KubeAwayError("away"), Answer(409, b"{}"), Answer(429, b"{}", 0.01), Answer(503, b""), Answer(404, b"page")],
    ids=["away", "conflict", "too many", "unavailable", "kind not served"],
)
async def test_what_may_pass_is_tried_again(desk: Desk, obstacle: Answer | Exception) -> None:
    desk.objects.answers = [obstacle, obstacle]
    desk.writer.offer(a_view(COMPLETED, 3))
    await desk.until_done()
    assert desk.objects.patches == ["Completed 3"] * 3
    assert desk.fates == [(3, Fate.WRITTEN)]


async def test_while_the_api_server_is_away_few_try_and_after_its_return_nobody_waits(desk: Desk) -> None:
    desk.objects.answers = [KubeAwayError("away")] * 12
    for number in range(500):
        desk.writer.offer(a_view(COMPLETED, 1, mission_id=f"m{number}"))
    await desk.until_done()
    assert len(desk.objects.patches) == 512, "each status is tried once, and again only where nobody answered"
    assert len(desk.fates) == 500


async def test_a_newer_view_takes_the_place_of_one_that_is_tried_again(desk: Desk) -> None:
    desk.objects.answers = [Answer(503, b"")]
    desk.writer.offer(a_view(IN_PROGRESS, 1))
    await desk.until_tried()
    desk.writer.offer(a_view(COMPLETED, 2))
    await desk.until_done()
    assert desk.objects.patches == ["InProgress 1", "Completed 2"]


async def test_an_object_that_is_gone_is_left_alone(desk: Desk) -> None:
    desk.objects.answers = [NOT_FOUND]
    desk.writer.offer(a_view(COMPLETED, 3))
    await desk.until_done()
    assert desk.fates == [(3, Fate.GONE)]


async def test_a_refused_patch_of_another_object_of_that_name_says_that_ours_is_gone(desk: Desk) -> None:
    desk.objects.answers = [INVALID]
    desk.objects.object = an_object(uid="another")
    desk.writer.offer(a_view(COMPLETED, 3))
    await desk.until_done()
    assert desk.fates == [(3, Fate.GONE)]
    assert desk.objects.patches == ["Completed 3"]


async def test_a_refused_patch_of_an_object_that_is_further_is_stale(desk: Desk) -> None:
    desk.objects.answers = [INVALID]
    desk.objects.object = an_object(sequence=3)
    desk.writer.offer(a_view(COMPLETED, 3))
    await desk.until_done()
    assert desk.fates == [(3, Fate.STALE)]


async def test_a_status_that_is_refused_for_itself_is_written_in_short(desk: Desk) -> None:
    desk.objects.answers = [INVALID]
    desk.objects.object = an_object(sequence=2)
    desk.writer.offer(a_view(COMPLETED, 3))
    await desk.until_done()
    assert desk.objects.patches == ["Completed 3", "minimal Completed 3"]
    assert desk.fates == [(3, Fate.WRITTEN)]
    assert desk.writer.minimal_written == 1


async def test_a_status_that_is_refused_in_short_too_is_written_bare(desk: Desk) -> None:
    desk.objects.answers = [INVALID, INVALID]
    desk.writer.offer(a_view(COMPLETED, 3))
    await desk.until_done()
    assert desk.objects.patches == ["Completed 3", "minimal Completed 3", "bare Completed 3"]
    assert desk.fates == [(3, Fate.WRITTEN)]


@pytest.mark.parametrize("refusal", [INVALID, TOO_LARGE, Answer(413, b"{}"), Answer(400, b"no JSON")])
async def test_a_status_that_no_size_helps_is_given_up_and_never_tried_again(desk: Desk, refusal: Answer) -> None:
    desk.objects.answers = [refusal] * 20
    desk.writer.offer(a_view(COMPLETED, 3))
    await desk.until_done()
    assert len(desk.objects.patches) == 3
    assert desk.fates == [(3, Fate.REFUSED)]


async def test_a_status_too_large_for_the_store_is_written_in_short_at_once(desk: Desk) -> None:
    desk.objects.answers = [TOO_LARGE]
    desk.writer.offer(a_view(COMPLETED, 3))
    await desk.until_done()
    assert desk.objects.patches == ["Completed 3", "minimal Completed 3"]
    assert desk.fates == [(3, Fate.WRITTEN)]


async def test_a_status_at_which_the_server_fails_each_time_is_written_in_short(desk: Desk) -> None:
    desk.objects.answers = [FAULT] * 4
    desk.writer.offer(a_view(COMPLETED, 3))
    await desk.until_done()
    assert desk.objects.patches[-2:] == ["Completed 3", "minimal Completed 3"]
    assert desk.fates == [(3, Fate.WRITTEN)]


async def test_a_fault_of_the_server_that_passes_costs_the_status_nothing(desk: Desk) -> None:
    desk.objects.answers = [FAULT] * 2
    desk.writer.offer(a_view(COMPLETED, 3))
    await desk.until_done()
    assert desk.objects.patches == ["Completed 3"] * 3


async def test_a_status_that_cannot_be_rendered_leaves_the_others_alone(desk: Desk) -> None:
    desk.objects.answers = [RuntimeError("made up")]
    desk.writer.offer(a_view(COMPLETED, 3))
    desk.writer.offer(a_view(COMPLETED, 4, mission_id="another"))
    await desk.until_done()
    assert sorted(desk.fates) == [(3, Fate.REFUSED), (4, Fate.WRITTEN)]
