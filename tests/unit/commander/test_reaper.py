"""Leases: who is silent for long enough loses its claims, and nobody else does."""

from collections.abc import Callable

import pytest
from support.commander_stage import LEASE_SECONDS, SOLDIER, Stage, a_beat, a_soldier, eventually, running, turns

from mission_broker.memory_server import Stored
from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import LedgerAwayError
from mission_commander.services import reaping
from mission_commander.services.reaping import FORGET_SECONDS, LOOK_SECONDS, Reaper
from mission_contracts import messages, topology
from mission_contracts.mission import Instance, Reason


class Scene:
    """One Commander with its reaper; the test turns the clock, and lets markers come back or not."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.reaper = Reaper(
            stage.recorder,
            stage.memory,
            stage.garrison,
            stage.broker,
            stage.clock,
            lease_seconds=LEASE_SECONDS,
            on_deaf=stage.eras.start_anew,
            counts=stage.counts,
        )

    async def pass_time(self, seconds: float) -> None:
        """Look as often as the reaper does while that time passes."""
        for _ in range(round(seconds / LOOK_SECONDS)):
            self.stage.clock.turn(LOOK_SECONDS)
            await self.reaper.look()

    def markers(self) -> list[str]:
        held = self.stage.broker.server.find(topology.STATUS.name)
        waiting: list[Stored] = list(held._waiting) if held else []
        return [messages.decode(stored.body, messages.StatusMessage).marker for stored in waiting]

    async def markers_come_back(self) -> None:
        for marker in self.markers():
            self.reaper.take_marker(marker)
        self.stage.broker.server.purge(topology.STATUS.name)
        await self.reaper.look()

    async def beat(
        self, number: int, *held: Mission, instance: Instance = SOLDIER, unclaimed: tuple[Mission, ...] = ()
    ) -> None:
        beat = a_beat(number, *held, after=self.stage.clock.now(), unclaimed=unclaimed)
        assert await self.stage.garrison.beat(instance, beat)


@pytest.fixture
async def scene(stage: Stage) -> Scene:
    await stage.broker.declare(topology.FIXED_QUEUES)
    await stage.garrison.register(a_soldier())
    return Scene(stage)


async def held(scene: Scene, mission_id: str = "m-1") -> Mission:
    return await scene.stage.claim(await scene.stage.accept(mission_id))


def now(scene: Scene, mission: Mission) -> Mission:
    return scene.stage.record(mission)


# Silence.


async def test_a_silent_soldiers_lease_ends_once_the_marker_came_back(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        await scene.beat(1, mission)
        await scene.pass_time(LEASE_SECONDS + 1)
        assert now(scene, mission).phase is Phase.CLAIMED, "reports may still be on their way"
        await scene.markers_come_back()
    assert (now(scene, mission).phase, now(scene, mission).reason) == (Phase.OUT, Reason.LEASE_LOST)
    assert scene.stage.garrison.soldier(SOLDIER) is None
    assert not scene.stage.store.data.registrations


@pytest.mark.parametrize(
    ("passed", "expected"), [(0.0, LOOK_SECONDS), (LEASE_SECONDS - LOOK_SECONDS / 2, LOOK_SECONDS / 2)]
)
async def test_the_next_look_is_not_later_than_the_end_of_a_lease(scene: Scene, passed: float, expected: float) -> None:
    async with running(scene.stage.recorder.run):
        await scene.beat(1, await held(scene))
    scene.stage.clock.turn(passed)
    assert scene.reaper.until_next_look() == pytest.approx(expected)


async def test_a_marker_that_comes_back_is_acted_upon_at_once(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaping, "LOOK_SECONDS", 3_600.0)
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        await scene.beat(1, mission)
        await scene.pass_time(LEASE_SECONDS + 1)
        async with running(scene.reaper.run):
            await turns()
            for marker in scene.markers():
                scene.reaper.take_marker(marker)
            await eventually(lambda: now(scene, mission).phase is Phase.OUT, "it does not wait for its next look")


async def left_behind(scene: Scene) -> Mission:
    mission = await held(scene)
    await scene.beat(1, mission)
    assert await scene.stage.garrison.beat(SOLDIER, a_beat(2, after=scene.stage.clock.now(), left=True))
    return mission


async def test_what_a_soldier_left_behind_is_released_as_soon_as_its_reports_are_in(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await left_behind(scene)
        await scene.reaper.look()
        assert now(scene, mission).phase is Phase.CLAIMED, "its last reports may still be on their way"
        await scene.markers_come_back()
    released = now(scene, mission)
    assert (released.phase, released.reason, released.solo) == (Phase.OUT, Reason.RELEASED, False)


async def test_a_claim_granted_to_a_soldier_after_it_left_is_released_too(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        await left_behind(scene)
        await scene.reaper.look()
        await scene.markers_come_back()
        late = await held(scene, "m-late")
        await scene.reaper.look()
        await scene.markers_come_back()
    assert (now(scene, late).phase, now(scene, late).reason) == (Phase.OUT, Reason.RELEASED)


async def test_a_soldier_that_left_counts_no_more(scene: Scene) -> None:
    assert scene.stage.garrison.soldiers_of(("default", "default"))
    await scene.stage.garrison.beat(SOLDIER, a_beat(1, left=True))
    assert not scene.stage.garrison.soldiers_of(("default", "default"))


async def test_within_its_lease_nobody_is_asked_about(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        await scene.beat(1, mission)
        await scene.pass_time(LEASE_SECONDS - 1)
    assert not scene.markers()


async def test_all_that_a_silent_soldier_held_is_handed_out_anew(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        missions = [await held(scene, f"m-{number}") for number in range(3)]
        await scene.beat(1, *missions)
        await scene.pass_time(LEASE_SECONDS + 1)
        await scene.markers_come_back()
    assert {now(scene, mission).phase for mission in missions} == {Phase.OUT}


async def test_who_beats_again_before_the_marker_is_back_keeps_its_claims(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        await scene.beat(1, mission)
        await scene.pass_time(LEASE_SECONDS + 1)
        await scene.beat(2, mission)
        await scene.markers_come_back()
        await scene.pass_time(1)
    assert now(scene, mission) == mission


async def test_a_beat_that_another_commander_heard_counts_as_well(scene: Scene) -> None:
    other = scene.stage.another()
    await other.garrison.refresh()
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        for number in range(1, 12):
            assert await other.garrison.beat(SOLDIER, a_beat(number, mission))
            await scene.pass_time(1)
    assert not scene.markers()


async def test_a_soldier_that_holds_claims_and_never_beat_has_a_lease_too(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        stranger = Instance("never-registered")
        mission = await scene.stage.claim(await scene.stage.accept("m-1"), stranger)
        await scene.pass_time(LEASE_SECONDS - 1)
        assert not scene.markers()
        await scene.pass_time(2)
        await scene.markers_come_back()
    assert now(scene, mission).phase is Phase.OUT


async def test_only_one_marker_is_under_way_per_lease(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        await scene.beat(1, mission)
        await scene.pass_time(LEASE_SECONDS + 3)
        assert len(scene.markers()) == 1
        await scene.pass_time(LEASE_SECONDS)
        assert len(scene.markers()) == 2, "the first one may be lost: asked again after a lease"


async def test_where_another_commander_reaps_markers_do_not_pile_up(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        await scene.beat(1, mission)
        await scene.pass_time(3 * LEASE_SECONDS)
        assert scene.reaper._asked
        await scene.beat(2, mission)
        await scene.pass_time(1)
    assert not scene.reaper._asked


async def test_a_marker_of_another_commander_means_nothing_here(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        scene.reaper.take_marker("theirs")
        await scene.pass_time(1)
    assert now(scene, mission) == mission


async def test_without_broker_no_lease_ends_and_the_marker_is_sent_once_it_is_back(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        await scene.beat(1, mission)
        scene.stage.broker.cut()
        await scene.pass_time(LEASE_SECONDS + 2)
        assert not scene.markers()
        scene.stage.broker.mend()
        await scene.pass_time(1)
        await scene.markers_come_back()
    assert now(scene, mission).phase is Phase.OUT


# This Commander's own deafness.


async def test_after_an_own_pause_all_leases_start_anew(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        await scene.beat(1, mission)
        scene.stage.clock.turn(60)
        await scene.reaper.look()
        await scene.pass_time(LEASE_SECONDS - 1)
        assert not scene.markers()
        await scene.pass_time(2)
        assert scene.markers()


async def test_a_marker_from_before_an_own_pause_ends_nothing(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        await scene.beat(1, mission)
        await scene.pass_time(LEASE_SECONDS + 1)
        scene.stage.clock.turn(60)
        await scene.markers_come_back()
    assert now(scene, mission) == mission


async def test_after_the_ledger_was_away_all_leases_start_anew(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mission_commander.services.reaping.LOOK_SECONDS", 0.005)
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        await scene.beat(1, mission)
        await scene.pass_time(LEASE_SECONDS + 1)
        asked = scene.markers()
        scene.stage.ledger.cut()
        async with running(scene.reaper.run):
            await eventually(lambda: not scene.reaper._asked, "the reaper noticed")
            scene.stage.ledger.mend()
            for marker in asked:
                scene.reaper.take_marker(marker)
            await turns(50)
    assert now(scene, mission) == mission


async def test_a_ledger_that_takes_no_beats_makes_nobody_silent(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It can be read all the while, and shows an old beat."""
    monkeypatch.setattr(reaping, "LOOK_SECONDS", 0.005)
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        await scene.beat(1, mission)
        async with running(scene.reaper.run):
            scene.stage.ledger.fill()
            for _ in range(round(LEASE_SECONDS / LOOK_SECONDS)):
                await time_passes(scene)
            scene.stage.ledger.mend()
            await time_passes(scene)
        assert not scene.markers(), "nobody was asked about"
    assert now(scene, mission) == mission


async def time_passes(scene: Scene) -> None:
    """The running reaper looks at it."""
    scene.stage.clock.turn(LOOK_SECONDS)
    await eventually(lambda: scene.reaper._last_look == scene.stage.clock.monotonic(), "the reaper looked")
    await turns()


async def test_who_beats_at_a_commander_without_ledger_is_not_silent(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        await scene.beat(1, mission)
        for number in range(2, 8):
            await scene.pass_time(LEASE_SECONDS / 3)
            heard = messages.Heard(instance=SOLDIER, beat=a_beat(number, mission))
            scene.stage.garrison.beat_elsewhere([heard])
        assert not scene.markers(), "nobody was asked about"
    assert now(scene, mission) == mission


@pytest.mark.parametrize("accident", ["cut", "fill"])
async def test_a_look_without_ledger_decides_nothing(scene: Scene, accident: str) -> None:
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        getattr(scene.stage.ledger, accident)()
        with pytest.raises(LedgerAwayError):
            await scene.reaper.look()
        scene.stage.ledger.mend()
    assert now(scene, mission) == mission


# Claims whose grant was never heard.


async def test_a_claim_that_two_later_beats_do_not_list_is_released(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        scene.stage.clock.turn(0.1)
        await scene.beat(1)
        await scene.reaper.look()
        assert now(scene, mission).phase is Phase.CLAIMED
        await scene.pass_time(1)
        assert now(scene, mission).phase is Phase.CLAIMED, "one beat is one beat, however often it is looked at"
        await scene.beat(2)
        await scene.reaper.look()
    released = now(scene, mission)
    assert (released.phase, released.attempt, released.solo) == (Phase.OUT, 0, False)


async def test_beats_that_began_before_the_grant_say_nothing_of_it(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        before = scene.stage.clock.now()
        mission = await held(scene)
        for number in (1, 2, 3):
            assert await scene.stage.garrison.beat(SOLDIER, a_beat(number, after=before))
            await scene.reaper.look()
    assert now(scene, mission) == mission


@pytest.mark.parametrize(
    "list_it",
    [
        pytest.param(lambda scene, number, one: scene.beat(number, one), id="as running"),
        pytest.param(lambda scene, number, one: scene.beat(number, unclaimed=(one,)), id="as waiting for its claim"),
    ],
)
async def test_a_claim_that_is_listed_is_never_released(
    scene: Scene, list_it: Callable[[Scene, int, Mission], object]
) -> None:
    async with running(scene.stage.recorder.run):
        mission = await held(scene)
        for number in range(1, 8):
            scene.stage.clock.turn(1)
            if number % 2:
                await list_it(scene, number, mission)  # type: ignore[misc]
            else:
                await scene.beat(number)  # absent once: its answer was on the way
            await scene.reaper.look()
    assert now(scene, mission) == mission


# The gone.


async def test_who_holds_nothing_and_is_silent_for_long_is_forgotten(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        await scene.beat(1)
        await scene.pass_time(FORGET_SECONDS - 1)
        assert scene.stage.garrison.soldier(SOLDIER) is not None
        await scene.pass_time(2)
    assert scene.stage.garrison.soldier(SOLDIER) is None
    assert not scene.stage.store.data.registrations
