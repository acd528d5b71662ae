"""What cannot be a handler is refused when it is registered, in one sentence that names it."""

import functools
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pydantic
import pytest
from support import hostile
from support.soldier_stage import a_stage

from mission_contracts.messages import ReportKind
from mission_soldier import Context, HandlerDefinitionError, Soldier
from mission_soldier.codec import type_name
from mission_soldier.handlers import Handler, Isolation


def takes(annotation: Any) -> Any:
    def odd_handler(ctx, order):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return None

    odd_handler.__annotations__["order"] = annotation
    return odd_handler


def answers(annotation: Any) -> Any:
    def odd_handler(ctx):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return None

    odd_handler.__annotations__["return"] = annotation
    return odd_handler


@pytest.mark.parametrize("where", [takes, answers])
@pytest.mark.parametrize("kind", hostile.params(hostile.TYPES))
def test_a_type_that_no_schema_describes_is_refused(kind: hostile.Hostile[Any], where: Callable[[Any], Any]) -> None:
    with pytest.raises(HandlerDefinitionError) as refused:
        Soldier().handler("t")(where(kind.make()))
    assert "odd_handler" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000


class Shop:
    def resize(self, ctx: Context, order: dict[str, Any]) -> str:
        return "resized"

    def close(self, ctx: Context) -> None: ...

    async def __call__(self, ctx: Context, order: dict[str, Any]) -> str:
        return "called"


class Counter:
    def __call__(self, ctx: Context) -> Iterator[int]:
        yield 1


def yields(ctx: Context) -> Iterator[int]:
    yield 1


async def yields_later(ctx: Context) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        pytest.param(yields, "yields is a generator", id="a generator"),
        pytest.param(yields_later, "yields_later is a generator", id="an async generator"),
        pytest.param(functools.partial(yields), "is a generator", id="a partial of a generator"),
        pytest.param(Counter(), "Counter is a generator", id="an object whose call yields"),
        pytest.param(Shop.resize, "Shop.resize is a method without its object", id="a method without its object"),
        pytest.param(Shop.close, "Shop.close is a method without its object", id="the same without a payload"),
        pytest.param(42, "the types of int cannot be read", id="no function"),
    ],
)
def test_a_function_that_cannot_be_a_handler_is_refused(function: Any, complaint: str) -> None:
    with pytest.raises(HandlerDefinitionError, match=complaint):
        Soldier().handler("t")(function)


@pytest.mark.parametrize("name", [42, None, b"bytes", "x" * 5_000_000, hostile.SURROGATE, ["t"]])
def test_a_type_needs_a_name_that_travels(name: Any) -> None:
    with pytest.raises(HandlerDefinitionError, match="cannot name a mission type") as refused:
        Soldier().handler(name)(yields)
    assert len(str(refused.value)) < 1000


def test_a_method_of_one_object_is_no_handler_for_a_child_process() -> None:
    with pytest.raises(HandlerDefinitionError, match=r"Shop\.resize cannot run in a child process"):
        Soldier().handler("t", isolation="process")(Shop().resize)


async def resize(ctx: Context, order: dict[str, Any]) -> str:
    return f"resized {ctx.mission_id}"


def passed_on(function: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[str]]:
    @functools.wraps(function)
    def wrapper(*arguments: Any) -> Awaitable[str]:
        return function(*arguments)

    return wrapper


def announced(ctx: Context) -> Awaitable[str]:
    return resize(ctx, {})


@pytest.mark.parametrize(
    ("function", "isolation"),
    [
        pytest.param(functools.partial(resize), Isolation.ASYNC, id="a partial"),
        pytest.param(functools.partial(functools.partial(Shop())), Isolation.ASYNC, id="a partial of an object"),
        pytest.param(Shop(), Isolation.ASYNC, id="an object with an async call"),
        pytest.param(Shop().resize, Isolation.THREAD, id="a method"),
        pytest.param(passed_on(resize), Isolation.THREAD, id="a decorator that returns the coroutine"),
        pytest.param(lambda ctx: resize(ctx, {}), Isolation.THREAD, id="a lambda"),
        pytest.param(announced, Isolation.THREAD, id="a function that announces an awaitable"),
    ],
)
async def test_what_wraps_an_async_function_is_awaited(function: Any, isolation: Isolation) -> None:
    assert Handler.of("t", function).isolation is isolation
    soldier = Soldier()
    soldier.handler("t")(function)
    async with a_stage(soldier) as stage:
        report = await stage.run("t")
    assert report.kind is ReportKind.COMPLETED
    assert report.result is not None
    assert msgspec.json.decode(bytes(report.result)) in {"resized mission-1", "resized", "called"}


class WithCallable(pydantic.BaseModel):
    call: Callable[[int], int] = abs


class WithOddDefault(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    shop: Shop = Shop()


Wordy = typing.Literal[*(f"word {number}" for number in range(10_000))]  # type: ignore[valid-type]


@pytest.mark.parametrize("annotation", [WithCallable, Wordy, WithOddDefault])
def test_a_payloads_schema_that_cannot_be_sent_is_left_out(annotation: Any) -> None:
    assert Handler.of("t", takes(annotation)).described().schema is None


def test_types_are_named_as_people_say_them() -> None:
    assert type_name(int | None) == "int or None"
    assert type_name(dict[str, list[Shop]]) == "dict[str, list[Shop]]"
