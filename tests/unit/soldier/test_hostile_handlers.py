"""No handler takes down more than its own attempt, whatever it returns, raises, tells or logs, and wherever it runs."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
import pytest
from support import hostile, hostile_handlers
from support.broker_probe import eventually
from support.fake_commander import an_order
from support.soldier_stage import Stage, a_stage

from mission_contracts import bounds, strict_json
from mission_contracts.messages import Report, ReportKind
from mission_contracts.mission import Failure
from mission_contracts.spec import MAX_RESULT_BYTES

SLOTS: Final = 4
COMPLETED: Final = "completed"

WRITTEN: Final = frozenset(
    {
        # Dicts and lists are read by what they hold, not by their methods; the same for int and float.
        "a dict whose every method raises",
        "a list whose every method raises",
        "an int whose every method raises",
        "a float whose every method raises",
        "10 to the 400th",
        "a Decimal that is not a number",
        "a lone surrogate",
        "a lone surrogate as a key",
        "bytes",
        "an Enum",
        "a StrEnum",
        "a subclass of str",
        "a subclass of int",
        "a set of tuples",
        "a memoryview",
    }
)
"""Values that have a JSON form. All others are refused."""

TOO_LONG: Final = frozenset({name for name in hostile.TEXTS if name.startswith("5 MB")})

FAILURES: Final[Mapping[str, Failure]] = {
    **{name: Failure.GIVE_UP for name in hostile.ERRORS if name.startswith("GiveUp")},
    "RetryLater with an object": Failure.RETRY_LATER,
    "RetryLater with a surrogate": Failure.RETRY_LATER,
    "RetryLater without a constructor": Failure.RETRY_LATER,
}
"""Errors that say what they are; all others are errors of the handler, and may be tried again."""

EXPECTED: Final[Mapping[str, Callable[[str], Failure | str]]] = {
    "returns": lambda name: COMPLETED if name in WRITTEN else Failure.GIVE_UP,
    "returns text": lambda name: Failure.GIVE_UP if name in TOO_LONG else COMPLETED,
    "raises": lambda name: FAILURES.get(name, Failure.ERROR),
    "raises text": lambda _: Failure.ERROR,
    "gives up": lambda _: Failure.GIVE_UP,
    "retries later": lambda _: Failure.RETRY_LATER,
    "ends": lambda _: Failure.ERROR,
}
"""Progress and log lines never fail a mission."""


def expected(kind: str, name: str) -> Failure | str:
    return EXPECTED[kind](name) if kind in EXPECTED else COMPLETED


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", hostile_handlers.ACTS)
@pytest.mark.parametrize("isolation", hostile_handlers.ISOLATIONS)
async def test_a_hostile_handler_ends_one_attempt_and_nothing_else(isolation: str, kind: str) -> None:
    crowd, neighbour_may_end = hostile_handlers.Crowd(SLOTS), asyncio.Event()
    soldier = hostile_handlers.a_soldier(crowd, neighbour_may_end)
    async with a_stage(soldier, concurrency=SLOTS) as stage:
        await stage.hand_out(an_order("neighbour", mission_id="neighbour"))
        names = list(hostile_handlers.ACTS[kind].corpus)
        ended = await _all_ended(stage, isolation, kind, names)
        wrong = {name: told for name in names if (told := _told(ended[name])) != expected(kind, name)}
        assert wrong == {}, "each ends as the table says"
        for name in names:
            _is_sound(ended[name])
        neighbour_may_end.set()
        await _is_unharmed(stage)


async def test_a_process_that_exits_takes_only_its_own_mission_along() -> None:
    crowd, neighbour_may_end = hostile_handlers.Crowd(SLOTS), asyncio.Event()
    async with a_stage(hostile_handlers.a_soldier(crowd, neighbour_may_end), concurrency=SLOTS) as stage:
        await stage.hand_out(an_order("neighbour", mission_id="neighbour"))
        assert _told(await stage.run("exit", mission_id="m")) == Failure.PROCESS_DIED
        neighbour_may_end.set()
        await _is_unharmed(stage)


async def _all_ended(stage: Stage, isolation: str, kind: str, names: list[str]) -> dict[str, Report]:
    ids = {name: f"mission-{number}" for number, name in enumerate(names)}
    for name in names:
        payload = msgspec.json.encode({"kind": kind, "name": name})
        await stage.hand_out(an_order(isolation, mission_id=ids[name], payload=payload))
    await eventually(
        lambda: all(stage.commander.outcomes_of(mission_id) for mission_id in ids.values()),
        "every mission has ended",
        seconds=100,
    )
    reports = {name: stage.commander.outcomes_of(mission_id) for name, mission_id in ids.items()}
    assert {name: len(of) for name, of in reports.items() if len(of) != 1} == {}, "each has one outcome"
    return {name: of[0] for name, of in reports.items()}


def _told(report: Report) -> Failure | str:
    if report.kind is ReportKind.COMPLETED:
        return COMPLETED
    assert report.kind is ReportKind.FAILED
    assert report.error is not None
    return report.error.failure


def _is_sound(report: Report) -> None:
    """What is said can be read by everybody, and is bounded."""
    if report.error is not None:
        assert report.error.message, "a failure says something"
        assert len(report.error.message) <= bounds.MAX_MESSAGE_CHARACTERS
        assert len(report.error.traceback.encode()) <= bounds.MAX_TRACEBACK_CHARACTERS
        assert (report.error.retry_after_seconds is not None) == (report.error.failure is Failure.RETRY_LATER)
    if report.result is not None:
        assert len(bytes(report.result)) <= MAX_RESULT_BYTES
        strict_json.check(bytes(report.result))


async def _is_unharmed(stage: Stage) -> None:
    """The neighbour ends, every slot is free, and the soldier goes on."""
    assert _told(await stage.report_on("neighbour")) == COMPLETED
    for number in range(SLOTS):
        await stage.hand_out(an_order("crowd", mission_id=f"crowd-{number}"))
    for number in range(SLOTS):
        assert _told(await stage.report_on(f"crowd-{number}")) == COMPLETED
    await stage.beaten()
    assert stage.serving is not None
    assert not stage.serving.done()
