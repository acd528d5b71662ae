"""What users write: handlers, their types, their context; and what they are told when it does not work."""

import asyncio
import numbers
import threading
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec
import pytest
from pydantic import BaseModel, Field

from mission_contracts.envelope import Envelope
from mission_contracts.mission import Epoch, MissionId
from mission_soldier import Context, HandlerDefinitionError, MissionCancelledError, RetryLater, Soldier
from mission_soldier.builtin import SimulationFailedError, built_in, noop, simulate
from mission_soldier.context import Cancellation
from mission_soldier.errors import BadPayloadError, BadResultError
from mission_soldier.handlers import Handler, Isolation
from mission_soldier.testing import Logged, Progress, SoldierEnvironment


class Size(BaseModel):
    width: Annotated[int, Field(ge=1)]
    height: int = 1


class Point(msgspec.Struct):
    x: int


async def takes_nothing(ctx: Context) -> None: ...
async def takes_size(ctx: Context, size: Size) -> int:
    return size.width * size.height


def takes_anything(ctx: Context, payload):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    return payload


async def takes_point(ctx: Context, point: Point) -> Point:
    return Point(point.x + 1)


async def takes_too_much(ctx: Context, a: int, b: int) -> None: ...
async def takes_keywords_only(*, ctx: Context) -> None: ...
def takes_none() -> None: ...
async def speaks_of_the_unknown(ctx: Context, payload: "Unheard") -> None: ...  # type: ignore[name-defined]  # noqa: F821


def read(function: Any, payload: bytes) -> Any:
    handler = Handler.of("t", function)
    assert handler.read is not None
    return handler.read(msgspec.Raw(payload))


# Registering


def test_registering_leaves_the_function_as_it_is() -> None:
    soldier = Soldier()
    assert soldier.handler("t")(takes_size) is takes_size
    assert set(soldier.handlers) == {"t"}


@pytest.mark.parametrize("name", ["", "-a", "a b", "a\n", "ä", "a" * 129, "a/"])
def test_a_name_that_cannot_travel_is_refused(name: str) -> None:
    with pytest.raises(HandlerDefinitionError, match="cannot name a mission type: use letters, digits"):
        Soldier().handler(name)(takes_nothing)


def test_a_type_has_one_handler() -> None:
    soldier = Soldier()
    soldier.handler("t")(takes_nothing)
    with pytest.raises(HandlerDefinitionError, match=r"'t' has a handler already, .*takes_nothing; .*takes_size needs"):
        soldier.handler("t")(takes_size)


def test_modules_of_handlers_are_combined() -> None:
    one, other = Soldier(), Soldier()
    one.handler("a")(takes_nothing)
    other.handler("b")(takes_size)
    one.include(other)
    one.include(other)  # the same once more changes nothing
    assert set(one.handlers) == {"a", "b"}


def test_combining_refuses_a_type_that_both_have() -> None:
    one, other = Soldier(), Soldier()
    one.handler("t")(takes_nothing)
    other.handler("t")(takes_size)
    with pytest.raises(HandlerDefinitionError, match="has a handler already"):
        one.include(other)


def test_the_built_in_handlers_give_way_to_the_users() -> None:
    soldier = Soldier()
    soldier.handler("noop")(takes_nothing)
    complete = soldier.completed_by(built_in())
    assert complete.handlers["noop"].function is takes_nothing
    assert complete.handlers["simulate"].function is simulate


@pytest.mark.parametrize(
    ("function", "isolation"),
    [(takes_size, Isolation.ASYNC), (takes_anything, Isolation.THREAD)],
)
def test_where_a_handler_runs_follows_from_how_it_is_written(function: Any, isolation: Isolation) -> None:
    assert Handler.of("t", function).isolation is isolation


@pytest.mark.parametrize(
    ("function", "isolation", "complaint"),
    [
        pytest.param(takes_anything, "async", "is no async function", id="sync in the loop"),
        pytest.param(takes_size, "thread", "is an async function", id="async in a thread"),
        pytest.param(takes_size, "fibre", "is not known", id="unknown isolation"),
        pytest.param(lambda ctx: None, "process", "define it at its module's top level", id="lambda in a child"),
        pytest.param(takes_too_much, None, r"write it as takes_too_much\(ctx\)", id="too many parameters"),
        pytest.param(takes_keywords_only, None, "cannot be called as a handler", id="keyword only"),
        pytest.param(takes_none, None, "cannot be called as a handler", id="no context"),
        pytest.param(speaks_of_the_unknown, None, "name types that its module defines", id="unknown type"),
    ],
)
def test_a_handler_that_cannot_work_is_refused(function: Any, isolation: str | None, complaint: str) -> None:
    with pytest.raises(HandlerDefinitionError, match=complaint):
        Handler.of("t", function, isolation)


def test_the_payloads_schema_is_described() -> None:
    soldier = Soldier()
    soldier.handler("size")(takes_size)
    soldier.handler("point")(takes_point)
    soldier.handler("any")(takes_anything)
    soldier.handler("nothing")(takes_nothing)
    described = {info.name: info.schema for info in soldier.described()}
    assert list(described) == ["any", "nothing", "point", "size"]
    assert described["any"] is None
    assert described["nothing"] is None
    assert described["size"] is not None
    assert described["size"]["properties"]["width"]["minimum"] == 1


# Payloads and results


@pytest.mark.parametrize(
    ("function", "payload", "value"),
    [
        pytest.param(takes_size, b'{"width":2}', Size(width=2), id="pydantic"),
        pytest.param(takes_point, b'{"x":2}', Point(2), id="msgspec"),
        pytest.param(takes_anything, b'{"x":[1,null]}', {"x": [1, None]}, id="untyped"),
    ],
)
def test_a_payload_becomes_what_the_handler_announces(function: Any, payload: bytes, value: object) -> None:
    assert read(function, payload) == value


@pytest.mark.parametrize(
    ("function", "payload", "complaint"),
    [
        pytest.param(takes_size, b'{"width":0}', r"does not fit Size: width: Input should be greater", id="bound"),
        pytest.param(takes_size, b"{}", "does not fit Size: width: Field required", id="missing"),
        pytest.param(takes_size, b"[1]", "does not fit Size: payload: ", id="no object"),
        pytest.param(takes_point, b'{"x":"a"}', r"does not fit: Expected `int`, got `str` - at `\$.x`", id="msgspec"),
    ],
)
def test_a_payload_that_does_not_fit_is_explained(function: Any, payload: bytes, complaint: str) -> None:
    with pytest.raises(BadPayloadError, match=complaint):
        read(function, payload)


async def takes_size_or_none(ctx: Context, size: Size | None) -> None: ...
async def takes_annotated(ctx: Context, size: Annotated[Size, "a note"]) -> None: ...


@pytest.mark.parametrize(
    ("function", "name"),
    [(takes_size_or_none, "Size or None"), (takes_annotated, "Size")],
    ids=["optional", "annotated"],
)
def test_an_explanation_names_the_type_as_a_person_says_it(function: Any, name: str) -> None:
    with pytest.raises(BadPayloadError, match=f"the payload does not fit {name}: "):
        read(function, b'{"width":0}')


class Aliased(BaseModel):
    page_count: int = Field(alias="pageCount")


async def echo(ctx: Context, order: Aliased) -> Aliased:
    return order


async def test_a_field_is_answered_under_the_name_that_it_is_asked_for() -> None:
    handler = Handler.of("t", echo)
    assert handler.write(read(echo, b'{"pageCount":3}')) == b'{"pageCount":3}'
    schema = handler.described().schema
    assert schema is not None
    assert list(schema["properties"]) == ["pageCount"]
    assert await SoldierEnvironment().run(echo, Aliased(pageCount=4)) == Aliased(pageCount=4)


class Scalar:
    def __init__(self, value: float) -> None:
        self._value = value

    def __int__(self) -> int:
        return int(self._value)

    def __float__(self) -> float:
        return float(self._value)


class IntegerScalar(Scalar): ...


class RealScalar(Scalar): ...


numbers.Integral.register(IntegerScalar)
numbers.Real.register(RealScalar)


def test_numbers_of_a_library_are_written_as_numbers() -> None:
    written = Handler.of("t", takes_anything).write({"n": IntegerScalar(3), "x": [RealScalar(0.5)]})
    assert written == b'{"n":3,"x":[0.5]}'


def test_the_explanation_does_not_repeat_the_payload() -> None:
    with pytest.raises(BadPayloadError) as raised:
        read(takes_size, b'{"width":"hunter2"}')
    assert "hunter2" not in str(raised.value)


def test_a_result_at_the_bound_is_kept_and_one_byte_more_is_not() -> None:
    write = Handler.of("t", takes_anything).write
    assert len(write("x" * (16 * 1024 - 2))) == 16 * 1024
    with pytest.raises(BadResultError, match="16,385 bytes as JSON and 16,384 are kept"):
        write("x" * (16 * 1024 - 1))


def test_models_inside_an_untyped_result_are_written() -> None:
    assert Handler.of("t", takes_anything).write({"size": Size(width=1)}) == b'{"size":{"width":1,"height":1}}'


# Words to raise


@pytest.mark.parametrize(("after", "seconds"), [(2.5, 2.5), (timedelta(minutes=1), 60), (0, 0)])
def test_retry_later_takes_seconds_or_a_timedelta(after: float | timedelta, seconds: float) -> None:
    assert RetryLater(after=after).after_seconds == seconds


@pytest.mark.parametrize("after", [-1, float("nan"), timedelta(seconds=-1)])
def test_retry_later_refuses_the_past(after: float | timedelta) -> None:
    with pytest.raises(ValueError, match="0 seconds or more"):
        RetryLater(after=after)


# The context


def a_context(**known: Any) -> Context:
    envelope = Envelope(
        mission_id=MissionId("m-1"), namespace="n", pool="p", type="t", accepted_at=0, trace_id=known.pop("trace", "")
    )
    defaults: dict[str, Any] = {"epoch": Epoch(7), "attempt": 2, "deadline_at": 60.0, "tell": lambda *_: None}
    return Context(envelope=envelope, **{**defaults, **known})


def test_the_context_says_who_the_attempt_is() -> None:
    ctx = a_context()
    assert (ctx.mission_id, ctx.idempotency_key, ctx.type, ctx.epoch, ctx.attempt) == ("m-1", "m-1", "t", 7, 2)
    assert ctx.deadline == datetime(1970, 1, 1, 0, 1, tzinfo=UTC)


def test_every_log_line_names_the_attempt() -> None:
    assert a_context(trace="abc").log_fields() == {"mission_id": "m-1", "attempt": 2, "epoch": 7, "trace_id": "abc"}


async def test_a_raised_flag_wakes_those_who_await_it() -> None:
    flag = Cancellation()
    waiting = [asyncio.create_task(flag.wait()), asyncio.ensure_future(_await(flag))]
    await asyncio.sleep(0)
    assert not flag
    flag.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)
    assert flag.is_set()
    await flag  # once raised it keeps nobody


async def _await(flag: Cancellation) -> None:
    await flag


def test_a_raised_flag_wakes_threads_too() -> None:
    flag, seen = Cancellation(), []
    thread = threading.Thread(target=lambda: seen.append(flag.wait_in_thread(10)))
    thread.start()
    flag.set()
    thread.join(10)
    assert seen == [True]


def test_waiting_in_a_thread_has_an_end() -> None:
    assert Cancellation().wait_in_thread(0.01) is False


def test_a_handler_may_stop_at_a_point_of_its_own() -> None:
    flag = Cancellation()
    flag.raise_if_set()
    flag.set()
    with pytest.raises(MissionCancelledError):
        flag.raise_if_set()


# Built in


async def test_noop_does_nothing() -> None:
    assert await SoldierEnvironment().run(noop) is None


async def test_simulate_tells_its_progress_and_succeeds_by_chance() -> None:
    environment = SoldierEnvironment()
    payload = {"min_seconds": 0, "max_seconds": 0.01, "success_rate": 1, "progress_steps": 4, "seed": 1}
    result = await environment.run(simulate, payload)
    assert 0 <= result["seconds"] <= 0.01
    assert [told.percent for told in environment.progress] == [25, 50, 75, 100]


async def test_simulate_fails_by_chance() -> None:
    with pytest.raises(SimulationFailedError, match="success_rate is 0"):
        await SoldierEnvironment().run(simulate, {"min_seconds": 0, "max_seconds": 0, "success_rate": 0})


async def test_simulate_does_the_same_with_the_same_seed() -> None:
    payload = {"min_seconds": 0, "max_seconds": 0.05, "success_rate": 1, "progress_steps": 0, "seed": 3}
    assert await SoldierEnvironment().run(simulate, payload) == await SoldierEnvironment().run(simulate, payload)


async def test_simulate_defaults_to_5_to_15_seconds_and_9_of_10() -> None:
    simulation = read(simulate, b"{}")
    assert (simulation.min_seconds, simulation.max_seconds, simulation.success_rate) == (5, 15, 0.9)


@pytest.mark.parametrize("payload", [b'{"min_seconds":9,"max_seconds":1}', b'{"success_rate":2}', b'{"seconds":1}'])
def test_simulate_refuses_what_makes_no_sense(payload: bytes) -> None:
    with pytest.raises(BadPayloadError):
        read(simulate, payload)


async def test_simulate_stops_when_it_is_told_to() -> None:
    environment = SoldierEnvironment()
    running = asyncio.create_task(environment.run(simulate, {"min_seconds": 60, "max_seconds": 60}))
    await asyncio.sleep(0)
    environment.cancel()
    with pytest.raises(MissionCancelledError):
        async with asyncio.timeout(5):
            await running


# The testing kit


async def render(ctx: Context, order: Size) -> Size:
    ctx.progress(50, "half")
    ctx.log("rendered", width=order.width)
    if ctx.attempt < 2:
        raise RetryLater(after=5)
    return order


def render_in_thread(_ctx: Context, order: Size) -> str:
    return f"{order.width} {threading.current_thread() is threading.main_thread()}"


async def test_the_kit_shows_what_a_handler_told() -> None:
    environment = SoldierEnvironment(attempt=2)
    assert await environment.run(render, Size(width=3)) == Size(width=3)
    assert environment.progress == [Progress(50, "half")]
    assert environment.logs == [Logged("rendered", "info", {"width": 3})]


async def test_the_kit_lets_the_handlers_words_through() -> None:
    with pytest.raises(RetryLater):
        await SoldierEnvironment(attempt=1).run(render, Size(width=3))


async def test_the_kit_reads_payloads_as_a_soldier_does() -> None:
    with pytest.raises(BadPayloadError, match="width"):
        await SoldierEnvironment().run(render, {"width": 0})


async def test_the_kit_runs_sync_handlers_off_the_loop() -> None:
    assert await SoldierEnvironment().run(render_in_thread, {"width": 1}) == "1 False"


async def test_the_kit_bounds_an_attempt() -> None:
    with pytest.raises(TimeoutError):
        await SoldierEnvironment(timeout_seconds=0.01).run(simulate)


async def test_the_kit_refuses_a_result_that_cannot_be_kept() -> None:
    with pytest.raises(BadResultError):
        await SoldierEnvironment().run(takes_anything, {"x": "y" * 20_000})
