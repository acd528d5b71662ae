"""What an instance is told of the things in its hands."""

import msgspec
import pytest
from support.commander_stage import LEASE_SECONDS, SOLDIER, Stage, a_pool, a_soldier, running

from mission_commander.domain import life
from mission_commander.domain.record import Mission, Phase
from mission_commander.domain.unapplied import Unapplied
from mission_commander.ports import LedgerAwayError
from mission_commander.services.heartbeats import Heartbeats, UnknownSoldierError
from mission_contracts import metrics
from mission_contracts.messages import Heard
from mission_contracts.mission import Epoch, Instance, MissionId
from mission_contracts.soldiering import Heartbeat, HeartbeatAnswer, Held, Hold
from mission_contracts.testing import ERA, a_mission


class Scene:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.unheard: list[Heard] = []
        self.heartbeats = Heartbeats(
            stage.garrison,
            stage.memory,
            stage.recorder,
            stage.ledger,
            stage.secrets,
            stage.tombstones,
            stage.eras,
            stage.proofs,
            stage.clock,
            lease_seconds=LEASE_SECONDS,
            is_away=lambda: stage.is_known_to_be_away,
            on_unheard=self.unheard.append,
            counts=stage.counts,
        )
        self.number = 0

    async def beat(self, *held: Hold, instance: Instance = SOLDIER) -> HeartbeatAnswer:
        self.number += 1
        said = Heartbeat(beat=self.number, after=0, era=ERA, held=held, unclaimed=(), slots=4, taking=True)
        return await self.heartbeats.answer(instance, said)

    def hold(self, mission: Mission, *, reported: bool = False, epoch: int | None = None) -> Hold:
        claimed = mission.epoch if epoch is None else Epoch(epoch)
        secret = self.stage.secrets.of(mission.id, claimed, SOLDIER)
        return Hold(mission_id=mission.id, epoch=claimed, secret=secret, reported=reported)

    async def running_one(self, mission_id: str = "m-1") -> Mission:
        return await self.stage.claim(await self.stage.accept(mission_id))


def the(mission: Mission) -> Held:
    return Held(mission_id=mission.id, epoch=mission.epoch)


@pytest.fixture
async def scene(stage: Stage) -> Scene:
    await stage.garrison.register(a_soldier(pod="pod-7"))
    return Scene(stage)


async def test_who_is_not_registered_is_told_so(scene: Scene) -> None:
    with pytest.raises(UnknownSoldierError, match="not registered"):
        await scene.beat(instance=Instance("stranger"))


@pytest.mark.parametrize("is_known", [True, False])
async def test_without_ledger_a_beat_is_answered_from_memory(scene: Scene, is_known: bool) -> None:
    """Whether the ledger was known to be away, or is found to be."""
    async with running(scene.stage.recorder.run):
        mission = await scene.stage.cancel(await scene.running_one())
        over = await scene.running_one("over")
        await scene.stage.move(over, lambda found, moment: life.expire(found, over.epoch, moment))
    scene.stage.ledger.cut()
    scene.stage.is_known_to_be_away = is_known
    answer = await scene.beat(scene.hold(mission), scene.hold(over))
    assert [one.mission_id for one in answer.cancels] == [mission.id]
    assert [one.mission_id for one in answer.drops] == [over.id]
    seen = scene.stage.garrison.soldier(SOLDIER)
    assert seen is not None
    assert seen.beats == scene.number
    assert [(one.instance, one.beat.beat) for one in scene.unheard] == [(SOLDIER, scene.number)]


async def test_without_ledger_what_memory_lacks_is_neither_dropped_nor_asked_for(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await scene.running_one()
    stranger = scene.hold(mission)
    scene.stage.memory.forget(mission.id)
    scene.stage.ledger.cut()
    answer = await scene.beat(stranger)
    assert (answer.drops, answer.applied, answer.unknown) == ((), (), ())


async def test_without_ledger_a_soldier_that_nobody_remembers_is_told_to_come_again(scene: Scene) -> None:
    scene.stage.ledger.cut()
    with pytest.raises(LedgerAwayError, match="does not know soldier"):
        await scene.beat(instance=Instance("a-stranger"))


async def test_all_is_well(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        answer = await scene.beat(scene.hold(await scene.running_one()))
    assert not scene.unheard
    assert answer == HeartbeatAnswer(now=scene.stage.clock.now(), era=ERA)


async def test_a_cancelled_mission_is_told_until_it_is_reported(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await scene.stage.cancel(await scene.running_one())
        assert (await scene.beat(scene.hold(mission))).cancels == (the(mission),)
        assert (await scene.beat(scene.hold(mission, reported=True))).cancels == ()


async def test_a_dead_claim_is_dropped_and_a_reported_one_is_applied(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await scene.running_one()
        await scene.stage.move(mission, lambda one, at: life.expire(one, one.epoch, at))
        dropped = await scene.beat(scene.hold(mission))
        applied = await scene.beat(scene.hold(mission, reported=True))
    assert (dropped.drops, dropped.applied) == ((the(mission),), ())
    assert (applied.drops, applied.applied) == ((), (the(mission),))


async def test_a_claim_of_another_instance_is_dropped(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await scene.stage.claim(await scene.stage.accept("m-1"), Instance("soldier-2"))
        assert (await scene.beat(scene.hold(mission))).drops == (the(mission),)


async def test_what_waits_for_its_retry_is_applied(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await scene.running_one()
        held = await scene.stage.move(mission, lambda one, at: life.release(one, one.epoch, at))
        suspended = await scene.stage.move(held, life.suspend)
        assert suspended.phase is Phase.WAITING
        assert (await scene.beat(scene.hold(suspended, reported=True))).applied == (the(suspended),)


# A Commander that lags behind another one.


async def test_a_claim_that_another_commander_has_just_granted_is_left_alone(scene: Scene) -> None:
    other = scene.stage.another()
    async with running(scene.stage.recorder.run, other.recorder.run):
        mission = await scene.stage.accept("m-1")
        claimed = await other.claim(mission)
        assert scene.stage.memory.get(mission.id) == mission, "this Commander has not heard of it"
        answer = await scene.beat(scene.hold(claimed))
    assert (answer.drops, answer.applied, answer.unknown) == ((), (), ())


async def test_a_later_epoch_than_this_commander_knows_is_left_alone(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await scene.running_one()
        answer = await scene.beat(scene.hold(mission, epoch=mission.epoch + 1))
    assert (answer.drops, answer.applied) == ((), ())


async def test_a_mission_that_memory_lacks_is_recalled_from_the_ledger(scene: Scene) -> None:
    other = scene.stage.another()
    async with running(other.recorder.run):
        mission = await other.claim(await other.accept("m-1"))
    answer = await scene.beat(scene.hold(mission))
    assert (answer.drops, answer.unknown) == ((), ())
    assert scene.stage.memory.get(mission.id) == mission


# A mission that the ledger lacks.


def lost(scene: Scene, *, with_envelope: bool, secret: str | None = None, envelope_of: str = "lost") -> Hold:
    epoch = Epoch(ERA * 1_000_000 + 5)
    mission_id = MissionId("lost")
    return Hold(
        mission_id=mission_id,
        epoch=epoch,
        secret=secret or scene.stage.secrets.of(mission_id, epoch, SOLDIER),
        envelope=a_mission(envelope_of) if with_envelope else None,
        envelope_seal=scene.stage.order_seals.of_envelope(a_mission(envelope_of)) if with_envelope else "",
    )


async def test_what_the_ledger_lacks_is_asked_for_and_rebuilt_from_its_envelope(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        asked = await scene.beat(lost(scene, with_envelope=False))
        assert asked.unknown == ("lost",)
        assert asked.drops == ()
        told = await scene.beat(lost(scene, with_envelope=True))
    assert (told.unknown, told.drops) == ((), ())
    rebuilt = scene.stage.store.data.records[MissionId("lost")]
    assert (rebuilt.phase, rebuilt.holder) == (Phase.CLAIMED, SOLDIER)
    assert rebuilt.envelope == a_mission("lost")


@pytest.mark.parametrize(
    "forgery",
    [
        pytest.param({"secret": "f" * 32}, id="a wrong secret"),
        pytest.param({"envelope_of": "another"}, id="another mission's envelope"),
    ],
)
async def test_what_is_not_genuine_rebuilds_nothing(scene: Scene, forgery: dict[str, str]) -> None:
    async with running(scene.stage.recorder.run):
        await scene.beat(lost(scene, with_envelope=True, **forgery))
    assert not scene.stage.store.data.records


# A report that the ledger lost.


async def waiting_for_its_report(scene: Scene) -> tuple[Mission, Hold]:
    """A mission whose soldier said that its report is confirmed, a moment ago."""
    mission = await scene.running_one()
    hold = scene.hold(mission, reported=True)
    assert (await scene.beat(hold)).report_again == ()
    return mission, hold


async def test_a_report_is_asked_for_again_a_lease_after_it_was_confirmed_and_not_before(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission, hold = await waiting_for_its_report(scene)
        scene.stage.clock.turn(LEASE_SECONDS - 0.1)
        assert (await scene.beat(hold)).report_again == ()
        scene.stage.clock.turn(0.1)
        answer = await scene.beat(hold)
    assert (answer.report_again, answer.applied, answer.drops) == ((the(mission),), (), ())
    assert scene.stage.counts.number(metrics.REPORTS_ASKED_AGAIN) == 1


async def test_a_report_that_never_can_be_applied_is_asked_for_ever_more_rarely(scene: Scene) -> None:
    asked_at = []
    async with running(scene.stage.recorder.run):
        _, hold = await waiting_for_its_report(scene)
        for lease in range(1, 20):
            scene.stage.clock.turn(LEASE_SECONDS)
            if (await scene.beat(hold)).report_again:
                asked_at.append(lease)
    assert asked_at == [1, 3, 7, 15]


async def test_what_runs_for_long_is_not_asked_for(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission = await scene.running_one()
        for _ in range(3):
            scene.stage.clock.turn(LEASE_SECONDS)
            assert (await scene.beat(scene.hold(mission))).report_again == ()


async def test_a_report_that_was_applied_is_not_asked_for(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission, hold = await waiting_for_its_report(scene)
        await scene.stage.move(mission, lambda one, at: life.expire(one, one.epoch, at))
        scene.stage.clock.turn(LEASE_SECONDS)
        answer = await scene.beat(hold)
    assert (answer.report_again, answer.applied) == ((), (the(mission),))


async def test_a_ledger_that_was_away_has_a_lease_to_apply_what_waited(scene: Scene) -> None:
    async with running(scene.stage.recorder.run):
        mission, hold = await waiting_for_its_report(scene)
        scene.stage.is_known_to_be_away = True
        scene.stage.clock.turn(LEASE_SECONDS)
        assert (await scene.beat(hold)).report_again == (), "reports wait in their queue"
        scene.stage.is_known_to_be_away = False
        assert (await scene.beat(hold)).report_again == ()
        scene.stage.clock.turn(LEASE_SECONDS)
        assert (await scene.beat(hold)).report_again == (the(mission),)


async def test_a_report_of_a_mission_that_was_rebuilt_from_its_envelope_is_asked_for(scene: Scene) -> None:
    """The ledger lost mission and report: the soldier knows both."""
    hold = msgspec.structs.replace(lost(scene, with_envelope=True), reported=True)
    async with running(scene.stage.recorder.run):
        await scene.beat(hold)
        scene.stage.clock.turn(LEASE_SECONDS)
        answer = await scene.beat(hold)
    assert [one.mission_id for one in answer.report_again] == ["lost"]


def test_who_is_gone_is_waited_for_no_more() -> None:
    unapplied = Unapplied(lease_seconds=1)
    claim = (MissionId("m-1"), Epoch(1))
    for name in ("here", "gone"):
        unapplied.look(Instance(name), [claim], now=0)
    unapplied.keep({Instance("here")})
    assert unapplied.instances == 1
    assert unapplied.look(Instance("gone"), [claim], now=5) == [], "it begins anew"
    assert unapplied.look(Instance("here"), [claim], now=5) == [claim]
    assert unapplied.look(Instance("here"), [], now=6) == []
    unapplied.start_anew(Instance("gone"))
    assert unapplied.instances == 0


# Retiring.


@pytest.mark.parametrize(("pod", "expected"), [("pod-7", True), ("pod-8", False)])
async def test_a_pod_that_shall_retire_is_told_to_take_nothing(scene: Scene, pod: str, expected: bool) -> None:
    await scene.stage.garrison.declare(a_pool(retire=(pod,)))
    assert (await scene.beat()).take_nothing is expected
