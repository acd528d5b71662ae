"""How a soldier leaves: nothing is lost, and nothing that could finish runs twice."""

import asyncio
import threading

import pytest
from support.broker_probe import eventually
from support.fake_commander import FakeCommander, an_order
from support.soldier_stage import Stage, a_stage

from mission_contracts.messages import ReportKind
from mission_contracts.soldiering import LEAVING_SECONDS
from mission_soldier import Context, Soldier, execution, runtime
from mission_soldier.settings import Settings


class Company:
    """A soldier with handlers for leaving."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.let_go = threading.Event()
        self.running = 0
        self.soldier = Soldier()
        self.soldier.handler("gated")(self.gated)
        self.soldier.handler("heedful")(self.heedful)
        self.soldier.handler("deaf")(self.deaf)

    async def gated(self, _ctx: Context) -> None:
        self.running += 1
        await self.gate.wait()

    async def heedful(self, ctx: Context) -> None:
        self.running += 1
        await ctx.cancelled
        ctx.cancelled.raise_if_set()

    def deaf(self, _ctx: Context) -> None:
        self.running += 1
        self.let_go.wait(30)


async def busy(stage: Stage, company: Company, mission_type: str) -> None:
    await stage.hand_out(an_order(mission_type))
    await eventually(lambda: company.running == 1, f"{mission_type} runs")


async def test_what_runs_may_finish() -> None:
    company = Company()
    async with a_stage(company.soldier, drain_seconds=20) as stage:
        await busy(stage, company, "gated")
        stage.stop.set()
        await eventually(lambda: not stage.commander.beats[-1].taking, "the beat says that nothing more is taken")
        company.gate.set()
        assert (await stage.report_on()).kind is ReportKind.COMPLETED
        assert await stage.left_in() == 0


@pytest.mark.parametrize("mission_type", ["gated", "heedful"])
async def test_what_does_not_finish_in_time_is_released(mission_type: str) -> None:
    company = Company()
    async with a_stage(company.soldier, drain_seconds=0.05) as stage:
        await busy(stage, company, mission_type)
        assert await stage.left_in() == 0
        assert (await stage.report_on()).kind is ReportKind.RELEASED


async def test_a_thread_that_does_not_stop_is_released_and_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mission_soldier.execution.UNWIND_SECONDS", 0.05)
    company = Company()
    async with a_stage(company.soldier, drain_seconds=0.05) as stage:
        await busy(stage, company, "deaf")
        assert await stage.left_in() == 0
        assert (await stage.report_on()).kind is ReportKind.RELEASED
        company.let_go.set()


async def test_a_second_word_to_leave_releases_what_runs_at_once() -> None:
    company = Company()
    async with a_stage(company.soldier, drain_seconds=600) as stage:
        await busy(stage, company, "gated")
        stage.stop.set()
        await eventually(lambda: not stage.commander.beats[-1].taking, "nothing more is taken")
        stage.hurry.set()
        assert await stage.left_in() == 0
        assert (await stage.report_on()).kind is ReportKind.RELEASED


async def test_a_claim_without_an_answer_does_not_prolong_the_drain_of_what_runs() -> None:
    company = Company()
    commander = SlowCommander()
    commander.may_answer.set()
    async with a_stage(company.soldier, commander=commander, drain_seconds=0.05) as stage:
        await busy(stage, company, "gated")
        commander.may_answer.clear()
        commander.is_asked = False
        await stage.hand_out(an_order("gated", mission_id="late"))
        await eventually(lambda: commander.is_asked, "a claim is under way")
        stage.stop.set()
        assert (await stage.report_on()).kind is ReportKind.RELEASED
        assert not commander.may_answer.is_set()
        commander.may_answer.set()
        assert (await stage.report_on("late")).kind is ReportKind.RELEASED
        assert company.running == 1


def test_leaving_takes_no_longer_than_the_pods_grace_allows_for() -> None:
    flush = Settings.model_fields["flush_seconds"].default
    beyond = max(runtime.LAST_CLAIMS_SECONDS, execution.UNWIND_SECONDS) + flush + runtime.LAST_BEAT_SECONDS
    assert beyond + 2 * execution.UNWIND_SECONDS <= LEAVING_SECONDS


async def test_unclaimed_orders_go_back_and_nothing_more_is_taken() -> None:
    company = Company()
    async with a_stage(company.soldier, concurrency=1, drain_seconds=20) as stage:
        await busy(stage, company, "gated")
        await stage.hand_out(*(an_order(mission_id=f"more-{n}") for n in range(3)))
        stage.stop.set()
        await eventually(lambda: not stage.commander.beats[-1].taking, "nothing more is taken")
        company.gate.set()
        assert await stage.left_in() == 3
        assert set(stage.commander.granted) == {("mission-1", 1)}


async def test_a_claim_that_is_never_answered_does_not_hold_up_the_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mission_soldier.runtime.LAST_CLAIMS_SECONDS", 0.05)
    async with a_stage() as stage:
        stage.commander.is_away = True
        await stage.hand_out(an_order())
        await asyncio.sleep(0.05)
        assert await stage.left_in() == 1


async def test_a_claim_granted_while_leaving_runs_to_its_end_where_there_is_time() -> None:
    company = Company()
    company.gate.set()
    commander = SlowCommander()
    async with a_stage(company.soldier, commander=commander, drain_seconds=20) as stage:
        await stage.hand_out(an_order("gated"))
        await eventually(lambda: commander.is_asked, "the claim is under way")
        stage.stop.set()
        await eventually(lambda: not commander.beats[-1].taking, "nothing more is taken")
        commander.may_answer.set()
        assert await stage.left_in() == 0
        assert (await stage.report_on()).kind is ReportKind.COMPLETED


async def test_without_time_to_drain_a_claim_granted_while_leaving_is_released_before_it_begins() -> None:
    company = Company()
    commander = SlowCommander()
    async with a_stage(company.soldier, commander=commander) as stage:
        await stage.hand_out(an_order("gated"))
        await eventually(lambda: commander.is_asked, "the claim is under way")
        stage.stop.set()
        await eventually(lambda: not commander.beats[-1].taking, "nothing more is taken")
        commander.may_answer.set()
        assert await stage.left_in() == 0
        assert (await stage.report_on()).kind is ReportKind.RELEASED
        assert company.running == 0


async def test_the_last_beat_says_goodbye_with_empty_hands() -> None:
    company = Company()
    async with a_stage(company.soldier) as stage:
        await busy(stage, company, "gated")
        await stage.leave()
        last = stage.commander.beats[-1]
        assert (last.taking, last.held, last.unclaimed, last.left) == (False, (), (), True)
        assert not any(beat.left for beat in stage.commander.beats[:-1])


async def test_goodbye_is_said_again_until_it_is_heard() -> None:
    async with a_stage() as stage:
        stage.commander.is_away = True
        stage.stop.set()
        await eventually(lambda: stage.commander.unheard_goodbyes, "a goodbye that nobody heard")
        stage.commander.is_away = False
        await stage.leave()
        assert stage.commander.beats[-1].left


async def test_a_soldier_that_shall_leave_before_it_is_registered_just_goes() -> None:
    commander = FakeCommander(is_away=True)
    async with a_stage(commander=commander, begins=False) as stage:
        await asyncio.sleep(0.02)
        await stage.leave()
        assert commander.registrations == []


async def test_a_retired_soldier_takes_nothing_finishes_and_says_idle() -> None:
    company = Company()
    async with a_stage(company.soldier) as stage:
        await busy(stage, company, "gated")
        stage.commander.take_nothing = True
        await eventually(lambda: not stage.commander.beats[-1].taking, "it takes nothing")
        await stage.hand_out(an_order(mission_id="for-others"))
        company.gate.set()
        await stage.report_on()
        await eventually(lambda: not stage.commander.beats[-1].held, "its hands are empty")
        assert await stage.left_in() == 1


async def test_a_retired_soldier_takes_orders_again_when_told_so() -> None:
    async with a_stage() as stage:
        stage.commander.take_nothing = True
        await eventually(lambda: not stage.commander.beats[-1].taking, "it takes nothing")
        stage.commander.take_nothing = False
        await eventually(lambda: stage.commander.beats[-1].taking, "it takes orders again")
        await stage.run("noop")


class SlowCommander(FakeCommander):
    """Answers claims when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = False
        self.may_answer = asyncio.Event()

    async def claim(self, instance, claims):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        self.is_asked = True
        await self.may_answer.wait()
        return await super().claim(instance, claims)
