"""Whose word on an era is believed, and how far: words alone bring about no era more than a day ahead."""

import msgspec
import pytest
from structlog.testing import capture_logs
from support.commander_stage import LEASE_SECONDS, SOLDIER, Stage, a_lost_order, running

from mission_commander.services.claims import Claims
from mission_commander.services.eras import (
    MAX_PAUSE_SECONDS,
    MAX_WITNESSES,
    QUIET_SECONDS,
    RESTARTS_AHEAD,
    SECONDS_PER_LOG_LINE,
    WORDS_AHEAD,
    Eras,
    Witnesses,
)
from mission_contracts import messages, metrics
from mission_contracts.mission import GREATEST_ERA, NUMBERS_PER_ERA, Epoch, Era, MissionId
from mission_contracts.soldiering import Claim, ClaimAnswer, DropReason, Verdict
from mission_contracts.testing import ERA

HIGHEST = Era(ERA + WORDS_AHEAD)
MADE_UP = [
    pytest.param(Era(HIGHEST + 1), id="a minute too far"),
    pytest.param(GREATEST_ERA, id="the last that can be written"),
]
DAY_SECONDS = 86_400


def disbelieved(stage: Stage) -> int:
    return stage.counts.number(metrics.ERAS_DISBELIEVED)


async def after(stage: Stage) -> Era:
    """The era in force once everybody has agreed."""
    await stage.eras.agree()
    assert stage.store.data.era is not None
    return stage.store.data.era


@pytest.mark.parametrize("era", MADE_UP)
async def test_a_made_up_era_changes_nothing_and_is_counted(stage: Stage, era: Era) -> None:
    stage.eras.saw(era, by="a test")
    assert not stage.eras.is_in_doubt
    assert await after(stage) == ERA
    assert disbelieved(stage) == 1


async def test_an_era_within_the_tolerance_is_followed(stage: Stage) -> None:
    stage.eras.saw(HIGHEST, by="a test")
    assert await after(stage) == HIGHEST + 1
    assert disbelieved(stage) == 0


async def test_many_small_steps_lead_no_further_than_a_large_one(stage: Stage) -> None:
    for _ in range(5):
        stage.eras.saw(Era(stage.recorder.era + WORDS_AHEAD), by="a test")
        await stage.eras.agree()
    assert stage.recorder.era == HIGHEST + 1


async def test_a_made_up_era_does_not_keep_true_losses_from_being_heard(stage: Stage) -> None:
    """A day ahead, what a soldier says of a loss is measured against the era in force, as ever."""
    stage.eras.saw(HIGHEST, by="default/x")
    reached = await after(stage)
    stage.settle()
    stage.eras.suspect(reached, by="default/y")
    assert await after(stage) == reached + 1


async def test_words_of_an_era_that_is_over_bring_about_none(stage: Stage) -> None:
    stage.settle()
    stage.eras.suspect(Era(ERA - 1), by="default/x")
    assert await after(stage) == ERA


async def test_who_keeps_bringing_about_eras_is_believed_more_and_more_rarely(stage: Stage) -> None:
    hour = int(3_600 / LEASE_SECONDS)
    for _ in range(hour):
        stage.settle()
        stage.eras.suspect(stage.recorder.era, by="default/x")
        await stage.eras.agree()
    made = stage.recorder.era - ERA
    assert 1 < made <= 3_600 / MAX_PAUSE_SECONDS + 4
    stage.eras.suspect(stage.recorder.era, by="default/x")
    assert stage.recorder.era - ERA == made, "it has to wait"
    stage.settle()
    stage.eras.suspect(stage.recorder.era, by="default/y")
    assert await after(stage) == ERA + made + 1, "and nobody else has"


async def test_many_small_names_of_one_witness_bring_about_few_eras(stage: Stage) -> None:
    for _ in range(100):
        stage.eras.saw(Era(stage.recorder.era + 1), by="default/x")
        await stage.eras.agree()
    assert stage.recorder.era == ERA + 2, "one, and the era after it"


async def test_a_witness_who_was_quiet_is_believed_at_once_again(stage: Stage) -> None:
    eras = []
    for seconds in (0.0, LEASE_SECONDS, 2 * LEASE_SECONDS, QUIET_SECONDS + MAX_PAUSE_SECONDS, LEASE_SECONDS):
        stage.clock.turn(seconds)
        stage.eras.saw(Era(stage.recorder.era + 1), by="default/x")
        await stage.eras.agree()
        eras.append(stage.recorder.era - ERA)
    assert eras == sorted(set(eras)), "each word counted"


async def test_a_restart_moves_the_bound_by_an_hour_and_not_by_another_day(stage: Stage) -> None:
    stage.eras.saw(HIGHEST, by="default/x")
    reached = await after(stage)
    restarted = stage.another()
    restarted.eras.enter(reached)
    other = Eras(restarted.ledger, restarted.recorder, stage.clock, lease_seconds=LEASE_SECONDS)
    assert other.believes(Era(reached + RESTARTS_AHEAD))
    assert not other.believes(Era(reached + RESTARTS_AHEAD + 1))


def test_witnesses_take_bounded_room() -> None:
    witnesses = Witnesses(first_pause_seconds=6.0)
    for number in range(MAX_WITNESSES + 10):
        assert witnesses.may_speak(str(number), now=0.0)
    assert len(witnesses._pauses) == MAX_WITNESSES


async def test_what_the_ledger_itself_shows_to_be_lost_begins_an_era_wherever_it_lies(stage: Stage) -> None:
    stage.eras.saw(HIGHEST, by="a test")
    reached = await after(stage)
    stage.store.data.era = None
    assert await after(stage) > reached


async def test_time_makes_room(stage: Stage) -> None:
    era = Era(HIGHEST + 1)
    stage.clock.turn(60)
    stage.eras.saw(era, by="a test")
    assert await after(stage) == era + 1


async def test_what_a_secret_or_a_seal_proves_is_believed_whatever_the_clock_says(stage: Stage) -> None:
    stage.eras.learn(Era(HIGHEST + 77))
    assert await after(stage) == HIGHEST + 78


async def test_the_era_in_force_is_believed_by_a_commander_whose_clock_is_far_behind(stage: Stage) -> None:
    stage.clock.set_now(stage.clock.now() - 30 * DAY_SECONDS)
    other = stage.another()
    for era in (ERA, Era(ERA + 3)):
        assert other.eras.believes(era), "what the ledger said when it came, and a few losses since"
    assert not other.eras.believes(Era(HIGHEST + 1))


async def test_the_log_is_told_once_a_minute(stage: Stage) -> None:
    with capture_logs() as logs:
        for _ in range(3):
            stage.eras.saw(GREATEST_ERA, by="a test")
        stage.clock.turn(SECONDS_PER_LOG_LINE)
        stage.eras.saw(GREATEST_ERA, by="a test")
    assert [line["era"] for line in logs] == [GREATEST_ERA] * 2
    assert disbelieved(stage) == 4


# By claims.


def a_claim(mission_id: MissionId, era: Era, **fields: object) -> Claim:
    epoch = Epoch(era * NUMBERS_PER_ERA + 1)
    return Claim(mission_id=mission_id, epoch=epoch, era=era, accepted_at=0, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("era", MADE_UP)
async def test_a_claim_of_a_made_up_epoch_is_dropped_and_its_neighbour_runs(
    stage: Stage, claims: Claims, era: Era
) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1")
        neighbour = await stage.accept("m-2")
        stage.settle()
        honest = Claim(
            mission_id=neighbour.id, epoch=neighbour.epoch, era=ERA, accepted_at=neighbour.envelope.accepted_at
        )
        answers = await claims.answer_all(SOLDIER, [a_claim(mission.id, era), honest])
    assert answers[0] == ClaimAnswer(verdict=Verdict.DROP, drop=DropReason.STALE)
    assert answers[1].verdict is Verdict.RUN
    assert stage.record(mission) == mission
    assert not stage.eras.is_in_doubt


async def test_an_order_of_a_made_up_era_is_kept_but_its_mission_is_not_made(stage: Stage, claims: Claims) -> None:
    order = a_lost_order()
    far = msgspec.structs.replace(order, era=GREATEST_ERA, epoch=Epoch(GREATEST_ERA * NUMBERS_PER_ERA + 1))
    told = a_claim(far.envelope.mission_id, GREATEST_ERA, order=messages.encode(far))
    async with running(stage.recorder.run):
        stage.settle()
        [answer] = await claims.answer_all(SOLDIER, [told])
    assert answer.verdict is Verdict.WAIT, "it may be the only word on its mission"
    assert not stage.store.data.records
    assert not stage.eras.is_in_doubt


async def test_a_made_up_claim_does_not_begin_era_after_era(stage: Stage, claims: Claims) -> None:
    async with running(stage.recorder.run):
        mission = await stage.accept("m-1", deadline_seconds=30 * DAY_SECONDS)
        for _ in range(3):
            stage.settle()
            await claims.answer_all(SOLDIER, [a_claim(mission.id, GREATEST_ERA)])
            await stage.eras.agree()
    assert stage.recorder.era == ERA
