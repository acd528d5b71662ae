"""Applying reports: each counts once, none is lost, and one that cannot be used hurts no other."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from support.commander_stage import SOLDIER, Stage, eventually, running, turns
from support.malformed import MALFORMED, SECRET

from mission_broker import rejecting
from mission_broker.rejecting import Rejects
from mission_commander.domain import life
from mission_commander.domain.record import Mission, Phase
from mission_commander.services import reporting
from mission_commander.services.counts import Labels
from mission_contracts import messages, metrics, topology
from mission_contracts.messages import Report, ReportKind
from mission_contracts.mission import Epoch, Instance, MissionState
from mission_contracts.testing import ERA, a_mission, a_report

FIRST_EPOCH = Epoch(ERA * 1_000_000 + 1)


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(rejecting, "RETRY_SECONDS", 0.01)


@asynccontextmanager
async def reporting_to(stage: Stage, markers: list[str] | None = None) -> AsyncIterator[None]:
    heard: list[str] = [] if markers is None else markers
    rejects = Rejects(stage.broker, stage.clock, count=stage.count_rejected)
    reporter = stage.a_reporter(rejects, heard.append)
    await stage.broker.declare(topology.FIXED_QUEUES)
    async with running(stage.recorder.run, reporter.run, rejects.run):
        yield


def applied(stage: Stage) -> Mapping[Labels, int]:
    return stage.counts.of(metrics.REPORTS)


def dropped(stage: Stage) -> Mapping[Labels, int]:
    return stage.counts.of(metrics.REPORTS_DROPPED)


def word_on(stage: Stage, mission: Mission, kind: ReportKind = ReportKind.COMPLETED, **fields: Any) -> Report:
    return a_report(mission.envelope, kind, epoch=mission.epoch, secrets=stage.secrets, **fields)


def rejected(stage: Stage) -> list[tuple[bytes, str]]:
    held = stage.broker.server.find(topology.REJECTED.name)
    assert held is not None
    return [(stored.body, stored.headers["reason"]) for stored in held._waiting]


def unsettled(stage: Stage) -> int:
    """Status messages that are not acknowledged: in the queue, or in a consumer's hands."""
    held = stage.broker.server.find(topology.STATUS.name)
    assert held is not None
    return held.ready + sum(len(taker._unsettled) for taker in held._takers)  # type: ignore[attr-defined, misc]


async def test_a_report_is_applied_and_then_acknowledged(stage: Stage) -> None:
    async with reporting_to(stage):
        mission = await stage.claim(await stage.accept("m-1"))
        stage.ledger.gate.clear()
        await stage.publish_report(word_on(stage, mission))
        await eventually(lambda: stage.ledger.under_way, "the report is being committed")
        assert unsettled(stage) == 1, "acknowledged after the commit, not before"
        stage.ledger.gate.set()
        await eventually(lambda: not unsettled(stage), "it is acknowledged")
    assert stage.record(mission).state is MissionState.COMPLETED
    assert applied(stage) == {("completed",): 1}
    assert dropped(stage) == {}


async def test_many_reports_of_one_message_share_a_commit(stage: Stage) -> None:
    async with reporting_to(stage):
        missions = [await stage.claim(await stage.accept(f"m-{number}")) for number in range(5)]
        commits = len(stage.ledger.commits)
        await stage.publish_report(*(word_on(stage, mission) for mission in missions))
        await eventually(lambda: applied(stage) == {("completed",): 5}, "all are applied")
        assert len(stage.ledger.commits) == commits + 1


async def test_a_repeated_report_changes_nothing(stage: Stage) -> None:
    async with reporting_to(stage):
        mission = await stage.claim(await stage.accept("m-1"))
        for _ in range(3):
            await stage.publish_report(word_on(stage, mission))
        await eventually(lambda: not unsettled(stage), "all are acknowledged")
    assert applied(stage) == {("completed",): 1}
    assert dropped(stage) == {("final",): 2}


@pytest.mark.parametrize(
    "forgery",
    [
        pytest.param({"secret": "f" * 32}, id="a wrong secret"),
        pytest.param({"secret": "ü"}, id="no secret at all"),
        pytest.param({"envelope": a_mission("another")}, id="another mission's envelope"),
    ],
)
async def test_what_is_not_genuine_changes_nothing(stage: Stage, forgery: dict[str, object]) -> None:
    async with reporting_to(stage):
        mission = await stage.claim(await stage.accept("m-1"))
        genuine = word_on(stage, mission)
        fields = {name: getattr(genuine, name) for name in genuine.__struct_fields__} | forgery
        await stage.publish_report(Report(**fields))
        await eventually(lambda: not unsettled(stage), "it is acknowledged")
    assert stage.record(mission) == mission
    assert applied(stage) == {}
    assert dropped(stage) == {("wrong_secret",): 1}


async def test_another_instances_word_is_not_genuine(stage: Stage) -> None:
    async with reporting_to(stage):
        mission = await stage.claim(await stage.accept("m-1"))
        await stage.publish_report(word_on(stage, mission), instance="soldier-2")
        await eventually(lambda: not unsettled(stage), "it is acknowledged")
    assert stage.record(mission) == mission


@pytest.mark.parametrize("name", MALFORMED)
async def test_what_cannot_be_read_is_kept_with_the_reason(stage: Stage, name: str) -> None:
    async with reporting_to(stage):
        mission = await stage.claim(await stage.accept("m-1"))
        body = MALFORMED[name].of(messages.encode(stage.a_status(word_on(stage, mission))))
        await stage.publish_status(body)
        await stage.publish_report(word_on(stage, mission))
        await eventually(lambda: stage.record(mission).is_final, "the next one is applied")
        await eventually(lambda: not unsettled(stage), "both are acknowledged")
    [(kept, reason)] = rejected(stage)
    assert kept == body[: rejecting.MOST_KEPT_BYTES]
    assert "message" in reason.lower()
    assert SECRET not in reason
    assert stage.counts.of(metrics.REJECTED) == {(topology.STATUS.name, "malformed"): 1}
    assert applied(stage) == {("completed",): 1}


async def test_a_report_that_cannot_be_read_costs_its_neighbours_nothing(stage: Stage) -> None:
    async with reporting_to(stage):
        missions = [await stage.claim(await stage.accept(f"m-{number}")) for number in range(3)]
        good = messages.encode(stage.a_status(*(word_on(stage, mission) for mission in missions)))
        broken = good.replace(b'"mission_id":"m-1"', b'"mission_id":""', 1)
        await stage.publish_status(broken)
        await eventually(lambda: not unsettled(stage), "it is settled")
        assert [stage.record(mission).is_final for mission in missions] == [True, False, True]
        await stage.publish_status(good)
        await eventually(lambda: stage.record(missions[1]).is_final, "said rightly it counts")
    [(kept, reason)] = rejected(stage)
    assert kept == broken
    assert reason.startswith("1 of 3 reports cannot be read, first report 1: ")


@pytest.mark.parametrize(
    ("result", "says"),
    [
        pytest.param(b'"%b"' % (b"x" * 16_384), "store it elsewhere", id="too large"),
        pytest.param(b"[" * 500 + b"]" * 500, "the result", id="too deep for others"),
    ],
)
async def test_a_result_that_cannot_be_kept_is_left_out_with_a_sentence(stage: Stage, result: bytes, says: str) -> None:
    async with reporting_to(stage):
        mission = await stage.claim(await stage.accept("m-1"))
        await stage.publish_report(word_on(stage, mission, result=msgspec.Raw(result)))
        await eventually(lambda: stage.record(mission).is_final, "it is applied")
    record = stage.record(mission)
    assert (record.state, record.result) == (MissionState.COMPLETED, None)
    assert says in record.message


async def test_while_the_broker_takes_nothing_what_cannot_be_read_stays_where_it_is(stage: Stage) -> None:
    async with reporting_to(stage):
        await stage.publish_status(b"{}")
        stage.broker.block()
        await turns(50)
        assert unsettled(stage) == 1
        stage.broker.unblock()
        await eventually(lambda: not unsettled(stage), "it is acknowledged")
    assert len(rejected(stage)) == 1


async def test_without_ledger_reports_stay_in_their_queue_and_are_applied_once_it_is_back(stage: Stage) -> None:
    async with reporting_to(stage):
        mission = await stage.claim(await stage.accept("m-1"))
        stage.ledger.cut()
        await stage.publish_report(word_on(stage, mission))
        await turns(50)
        assert unsettled(stage) == 1
        stage.ledger.mend()
        await eventually(lambda: not unsettled(stage), "it is acknowledged")
    assert stage.record(mission).state is MissionState.COMPLETED
    assert applied(stage) == {("completed",): 1}
    assert dropped(stage) == {}


async def test_a_report_that_dies_with_its_connection_is_delivered_and_applied_again(stage: Stage) -> None:
    async with reporting_to(stage):
        mission = await stage.claim(await stage.accept("m-1"))
        stage.ledger.gate.clear()
        await stage.publish_report(word_on(stage, mission))
        await eventually(lambda: stage.ledger.under_way, "it is being committed")
        stage.broker.cut()
        stage.broker.mend()
        stage.ledger.gate.set()
        await eventually(lambda: sum(applied(stage).values()) + sum(dropped(stage).values()) == 2, "it was heard twice")
        await eventually(lambda: not unsettled(stage), "it is acknowledged")
    assert applied(stage) == {("completed",): 1}
    assert dropped(stage) == {("final",): 1}


async def test_a_marker_is_heard_after_every_report_before_it(stage: Stage) -> None:
    markers: list[str] = []
    async with reporting_to(stage, markers):
        mission = await stage.claim(await stage.accept("m-1"))
        stage.ledger.gate.clear()
        await stage.publish_report(word_on(stage, mission))
        await stage.publish_status(messages.encode(messages.StatusMessage(v=messages.VERSION, marker="ours")))
        await eventually(lambda: stage.ledger.under_way, "the report is being committed")
        await turns(50)
        assert not markers
        stage.ledger.gate.set()
        await eventually(lambda: markers == ["ours"], "the marker is heard")
        assert stage.record(mission).is_final


async def test_a_report_of_a_mission_that_the_ledger_lacks_rebuilds_it(stage: Stage) -> None:
    envelope = a_mission("lost", type="resize")
    async with reporting_to(stage):
        report = a_report(
            envelope,
            ReportKind.COMPLETED,
            epoch=FIRST_EPOCH,
            secrets=stage.secrets,
            seals=stage.order_seals,
            attempt=2,
            ran_seconds=4.0,
        )
        await stage.publish_report(report)
        await eventually(lambda: applied(stage), "it is applied")
    rebuilt = stage.store.data.records[envelope.mission_id]
    assert (rebuilt.state, rebuilt.attempt, rebuilt.envelope) == (MissionState.COMPLETED, 2, envelope)
    assert rebuilt.attempts[-1].instance == SOLDIER


async def test_progress_of_a_mission_that_the_ledger_lacks_shows_it_as_running(stage: Stage) -> None:
    async with reporting_to(stage):
        report = a_report(
            a_mission("lost"), ReportKind.PROGRESS, secrets=stage.secrets, seals=stage.order_seals, progress=40.0
        )
        await stage.publish_report(report)
        await eventually(lambda: applied(stage), "it is applied")
    rebuilt = stage.store.data.records[a_mission("lost").mission_id]
    assert (rebuilt.phase, rebuilt.holder, rebuilt.progress) == (Phase.CLAIMED, SOLDIER, 40.0)


async def test_a_report_that_nobody_can_judge_is_kept_and_its_neighbours_are_applied(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = life.report

    def sometimes_broken(mission: Mission, said: Report, instance: Instance, *rest: object, **named: object) -> object:
        if mission.id == "broken":
            raise life.IllegalMoveError("a defect")
        return judge(mission, said, instance, *rest, **named)  # type: ignore[arg-type]

    async with reporting_to(stage):
        broken, sound = await stage.claim(await stage.accept("broken")), await stage.claim(await stage.accept("sound"))
        monkeypatch.setattr(life, "report", sometimes_broken)
        await stage.publish_report(word_on(stage, broken), word_on(stage, sound))
        await eventually(lambda: not unsettled(stage), "it is acknowledged")
    assert stage.record(sound).is_final
    [(_, reason)] = rejected(stage)
    assert "a defect" in reason


# Without the ledger.


@pytest.fixture
def gives_way_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "GIVE_WAY_SECONDS", 0.05)


@pytest.mark.usefixtures("gives_way_soon")
async def test_what_a_commander_without_ledger_cannot_apply_another_one_does(stage: Stage) -> None:
    other = stage.another()
    async with reporting_to(stage), reporting_to(other):
        mission = await stage.claim(await stage.accept("m-1"))
        stage.ledger.cut()
        await stage.publish_report(word_on(stage, mission))
        await eventually(lambda: not unsettled(stage), "the other one applied it")
    assert stage.record(mission).state is MissionState.COMPLETED
    assert (applied(stage), applied(other)) == ({}, {("completed",): 1})


@pytest.mark.usefixtures("gives_way_soon")
async def test_a_marker_comes_back_to_a_commander_that_has_the_ledger(stage: Stage) -> None:
    here, there = [], []  # type: list[str], list[str]
    other = stage.another()
    async with reporting_to(stage, here), reporting_to(other, there):
        stage.ledger.cut()
        await stage.publish_status(messages.encode(messages.StatusMessage(v=messages.VERSION, marker="a5c1")))
        await eventually(lambda: there == ["a5c1"], "the other one got it")
    assert not here


@pytest.mark.usefixtures("gives_way_soon")
async def test_a_commander_alone_applies_what_waited_once_its_ledger_is_back(stage: Stage) -> None:
    async with reporting_to(stage):
        mission = await stage.claim(await stage.accept("m-1"))
        stage.ledger.cut()
        await stage.publish_report(word_on(stage, mission))
        await eventually(lambda: stage.ready(topology.STATUS) == 1, "it waits in its queue, in nobody's hands")
        stage.ledger.mend()
        await eventually(lambda: not unsettled(stage), "it is applied")
    assert stage.record(mission).state is MissionState.COMPLETED
