"""A benchmark's arithmetic and its books: a number that would mislead is refused, not printed."""

import asyncio
import io
import json
from collections.abc import Callable

import msgspec
import pytest
from benchmarks import crowd, report
from benchmarks.checks import Books
from benchmarks.kube import Object
from benchmarks.machine import Machine
from benchmarks.measures import BenchError, Latency, Limit, Ours, Rate, Sizes, percentile, ratio
from benchmarks.report import Report
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mission_contracts.mission import MissionId, MissionState
from missionctl.client import MissionControl, Submission
from missionctl.testing import FakeCommander

PUBLISH = Limit(name="AMQP publish", how="bare", rate=Rate(10_000, 1.0), latency=Latency(1, 1.0, 2.0))
BATCH = Ours(
    name="REST batch", how="in batches", rate=Rate(5_000, 2.0), latency=Latency(50, 3.0, 9.0), bound="AMQP publish"
)


@pytest.mark.parametrize(("percent", "value"), [(50, 2), (99, 4), (100, 4), (1, 1), (75, 3)])
def test_percentiles_are_values_that_were_measured(percent: float, value: float) -> None:
    assert percentile([4, 1, 3, 2], percent) == value


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(1, 100))
def test_at_least_so_many_percent_do_not_exceed_it(values: list[float], percent: float) -> None:
    bound = percentile(values, percent)
    assert sum(value <= bound for value in values) * 100 >= percent * len(values) - 1e-6


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 50)


def test_the_ratio_is_ours_over_the_bound() -> None:
    assert ratio(BATCH, [PUBLISH]) == 0.25


def test_without_the_bound_there_is_no_ratio() -> None:
    assert ratio(BATCH, []) is None


def test_quick_is_smaller_in_everything() -> None:
    quick, whole = msgspec.structs.asdict(Sizes.quick()), msgspec.structs.asdict(Sizes())
    assert all(quick[name] < whole[name] for name in whole)


async def test_a_crowd_does_each_once_and_never_too_many_together() -> None:
    done: list[int] = []
    inside = most = 0

    async def deed(number: int) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)  # let others in
        done.append(number)
        inside -= 1

    await crowd.each(range(20), deed, at_once=3)
    assert sorted(done) == list(range(20))
    assert most <= 3


# The books.


class CountingCommander(FakeCommander):
    """Tells, as the real one does, how many executions it granted."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    async def count(self) -> int:
        return self.runs

    def complete(self, mission_id: str, *, attempt: int = 1) -> None:
        self.runs += attempt
        self.change(mission_id, attempt=attempt)
        self.finish(mission_id)


async def submitted(control: MissionControl, count: int) -> list[MissionId]:
    answers = await control.submit_many([Submission(type="noop", payload={})] * count)
    return [one.mission.mission_id for one in answers if one.mission]


async def test_books_that_balance_say_nothing() -> None:
    commander = CountingCommander()
    async with MissionControl(commander.url, transport=commander.transport) as control:
        books = Books(control, commander.count)
        await books.open()
        ids = await submitted(control, 3)
        for one in ids:
            commander.complete(one)
        await books.check(ids, expected=3)


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        pytest.param(lambda c, ids: c.missions.pop(ids[0]), "1 of 3 missions are wrong; one is lost", id="lost"),
        pytest.param(
            lambda c, ids: c.change(ids[0], state=MissionState.FAILED), "one is Failed in attempt 1", id="failed"
        ),
        pytest.param(lambda c, ids: c.change(ids[0], attempt=2), "one is Completed in attempt 2", id="tried twice"),
        pytest.param(lambda c, ids: setattr(c, "runs", 4), "3 missions took 4 executions", id="ran twice"),
        pytest.param(lambda c, ids: ids.pop(), "3 missions were submitted and 2 accepted", id="not accepted"),
    ],
)
async def test_books_that_do_not_balance_end_the_run(
    spoil: Callable[[CountingCommander, list[MissionId]], object], complaint: str
) -> None:
    commander = CountingCommander()
    async with MissionControl(commander.url, transport=commander.transport) as control:
        books = Books(control, commander.count)
        await books.open()
        ids = await submitted(control, 3)
        for one in ids:
            commander.complete(one)
        spoil(commander, ids)
        with pytest.raises(BenchError, match=complaint):
            await books.check(ids, expected=3)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (b'{"metadata": {"name": "x"}, "status": {"state": "Completed", "attempt": 1}}', "Completed"),
        (b'{"metadata": {"name": "x"}}', ""),
        (b'{"kind": "Status", "metadata": {}, "status": "Failure", "code": 410}', ""),
    ],
)
def test_whatever_a_watch_brings_can_be_read(text: bytes, state: str) -> None:
    assert msgspec.json.decode(text, type=Object).state == state


# The report.


def a_report() -> Report:
    machine = Machine(cores=2, cpu="some cpu", memory_gib=4.0, system="Linux", load_before=0.1)
    return Report(
        taken_at="2026-01-01T00:00:00+00:00",
        commit="abc",
        is_quick=True,
        soldiers=1,
        machine=machine,
        versions={"Redis": "7.0"},
        limits=[PUBLISH],
        ours=[BATCH],
        checks="checked",
    )


def test_the_json_has_rates_and_ratios_worked_out() -> None:
    content = json.loads(report.as_json(a_report()))
    assert content["ours"][0]["per_second"] == 2_500
    assert content["ours"][0]["ratio"] == 0.25
    assert content["limits"][0]["per_second"] == 10_000
    assert content["machine"]["cores"] == 2


def test_the_table_names_machine_versions_and_the_share_of_the_bound() -> None:
    out = io.StringIO()
    report.show(a_report(), Console(file=out, width=160))
    text = out.getvalue()
    assert [
        part for part in ("2,500", "0.25", "3.0 ms", "some cpu", "Redis 7.0", "load before 0.1") if part not in text
    ] == []


def test_the_machine_describes_itself() -> None:
    here = Machine.here()
    assert here.cores >= 1
    assert here.memory_gib > 0
    assert here.cpu
