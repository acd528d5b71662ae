"""What is told about one mission at a time."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from support.operator_builders import UID
from support.patience import until

from mission_contracts.errors import Problem
from mission_contracts.testing import FakeClock
from mission_operator.commander.client import CommanderAwayError, CommanderRefusedError
from mission_operator.commander.deeds import Deed, Deeds
from mission_operator.commander.reachability import Reachability


class Desk:
    """Deeds under way, and what the Commander heard."""

    def __init__(self) -> None:
        self.deeds = Deeds(Reachability(FakeClock()), at_once=2)
        self.heard: list[str] = []
        self.tries = 0
        self.is_away = False

    def saying(self, word: str) -> Deed:
        async def say() -> None:
            self.tries += 1
            if self.is_away:
                raise CommanderAwayError("away")
            self.heard.append(word)

        return say

    async def until_done(self) -> None:
        await until(lambda: len(self.deeds) == 0, "everything was told", seconds=5)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    work = asyncio.create_task(desk.deeds.run())
    yield desk
    work.cancel()
    await asyncio.wait([work])


async def test_a_deed_is_done_once(desk: Desk) -> None:
    desk.deeds.do(UID, "suspend", desk.saying("hold"))
    await desk.until_done()
    assert desk.heard == ["hold"]


async def test_a_deed_waits_for_the_commander_and_a_newer_one_takes_its_place(desk: Desk) -> None:
    desk.is_away = True
    desk.deeds.do(UID, "suspend", desk.saying("hold"))
    await until(lambda: desk.tries >= 1, "it is tried", seconds=5)
    desk.deeds.do(UID, "suspend", desk.saying("release"))
    desk.is_away = False
    await desk.until_done()
    assert desk.heard == ["release"]


async def test_deeds_of_two_kinds_do_not_replace_each_other(desk: Desk) -> None:
    desk.deeds.do(UID, "suspend", desk.saying("hold"))
    desk.deeds.do(UID, "cancel", desk.saying("cancel"))
    await desk.until_done()
    assert sorted(desk.heard) == ["cancel", "hold"]


async def test_a_refused_deed_is_not_tried_again(desk: Desk) -> None:
    tries = 0

    async def ask_too_late() -> None:
        nonlocal tries
        tries += 1
        raise CommanderRefusedError(Problem(title="No", status=409, detail="it is over", code="Final"))

    desk.deeds.do(UID, "suspend", ask_too_late)
    await desk.until_done()
    assert tries == 1


async def test_a_deed_that_is_replaced_while_it_runs_is_followed_by_the_newer_one(desk: Desk) -> None:
    gate = asyncio.Event()

    async def slow() -> None:
        await gate.wait()
        desk.heard.append("hold")

    desk.deeds.do(UID, "suspend", slow)
    await asyncio.sleep(0.01)
    desk.deeds.do(UID, "suspend", desk.saying("release"))
    gate.set()
    await desk.until_done()
    assert desk.heard == ["hold", "release"]
