"""Handlers that do what the corpus of hostile values says, by its names, wherever handlers run."""

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from support import hostile

from mission_soldier import Context, GiveUp, RetryLater, Soldier

ISOLATIONS = ("async", "thread", "process")


class Act(NamedTuple):
    """What a handler does with each entry of a corpus."""

    corpus: Mapping[str, Callable[[], Any]]
    do: Callable[[Context, Callable[[], Any]], Any]


def _raise(error: BaseException) -> None:
    raise error


def _log(ctx: Context, text: Any) -> None:
    ctx.log(text, level=text, event_=text, level_=text, exc_info=text, stack_info=text, timestamp=text)


ACTS: Final[Mapping[str, Act]] = {
    "returns": Act(hostile.VALUES, lambda _, make: make()),
    "returns text": Act(hostile.TEXTS, lambda _, make: make()),
    "raises": Act(hostile.ERRORS, lambda _, make: _raise(make())),
    "raises text": Act(hostile.TEXTS, lambda _, make: _raise(ValueError(make()))),
    "gives up": Act(hostile.TEXTS, lambda _, make: _raise(GiveUp(make()))),
    "retries later": Act(hostile.TEXTS, lambda _, make: _raise(RetryLater(make(), after=30))),
    "ends": Act(hostile.ENDS, lambda _, make: make()),
    "notes": Act(hostile.TEXTS, lambda ctx, make: ctx.progress(50, make())),
    "notes values": Act(hostile.VALUES, lambda ctx, make: ctx.progress(50, make())),
    "logs": Act(hostile.TEXTS, lambda ctx, make: _log(ctx, make())),
    "logs values": Act(hostile.VALUES, lambda ctx, make: _log(ctx, make())),
}


def act(ctx: Context, order: dict[str, str]) -> Any:
    """Do one hostile thing."""
    corpus, do = ACTS[order["kind"]]
    return do(ctx, corpus[order["name"]])


def handle_in_thread(ctx: Context, order: dict[str, str]):  # type: ignore[no-untyped-def]  # noqa: ANN201 - anything
    return act(ctx, order)


async def handle_in_loop(ctx: Context, order: dict[str, str]):  # type: ignore[no-untyped-def]  # noqa: ANN201
    done = act(ctx, order)
    await asyncio.sleep(0)  # a cancellation is noticed here
    return done


def handle_in_process(ctx: Context, order: dict[str, str]):  # type: ignore[no-untyped-def]  # noqa: ANN201
    return act(ctx, order)


def exit_at_once(_ctx: Context) -> None:
    os._exit(7)


def register(soldier: Soldier) -> Soldier:
    """Add the handlers that a soldier process finds by name."""
    soldier.handler("async")(handle_in_loop)
    soldier.handler("thread")(handle_in_thread)
    soldier.handler("process", isolation="process")(handle_in_process)
    soldier.handler("exit", isolation="process")(exit_at_once)
    return soldier


soldier: Final = register(Soldier())


class Crowd:
    """Missions that end only when so many of them run at once: proof of as many free slots."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._here = 0
        self._complete = asyncio.Event()

    async def join(self, _ctx: Context) -> None:
        self._here += 1
        if self._here == self._size:
            self._complete.set()
        await self._complete.wait()


def a_soldier(crowd: Crowd, neighbour_may_end: asyncio.Event) -> Soldier:
    async def neighbour(_ctx: Context) -> str:
        await neighbour_may_end.wait()
        return "unharmed"

    complete = register(Soldier())
    complete.handler("crowd")(crowd.join)
    complete.handler("neighbour")(neighbour)
    return complete
