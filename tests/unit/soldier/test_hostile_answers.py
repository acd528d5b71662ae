"""No order, hint or answer ends a soldier: what cannot be read is put aside or asked for again."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from pydantic import SecretStr
from support import hostile
from support.broker_probe import eventually
from support.fake_commander import an_order
from support.soldier_stage import NORMAL, a_stage

from mission_contracts import messages, topology
from mission_contracts.messages import ReportKind
from mission_contracts.mission import Epoch, Era, Instance, MissionId
from mission_contracts.soldiering import Claim, Heartbeat, Registration, Verdict
from mission_soldier import commander as commanders
from mission_soldier.commander import CommanderAwayError, HttpCommander, connect_in_process
from mission_soldier.tokens import ClientSecret

INSTANCE = Instance("soldier-1")
CLAIMS = [Claim(mission_id=MissionId(f"m-{number}"), epoch=Epoch(1), era=Era(1), accepted_at=1) for number in range(3)]
BEAT = Heartbeat(beat=1, after=0, era=Era(1), held=(), unclaimed=(), slots=1, taking=True)
REGISTRATION = Registration(instance=INSTANCE, namespace="n", pool="p", types=(), concurrency=1)

CALLS: dict[str, Callable[[HttpCommander], Any]] = {
    "register": lambda commander: commander.register(REGISTRATION),
    "claim": lambda commander: commander.claim(INSTANCE, CLAIMS),
    "beat": lambda commander: asyncio.to_thread(commander.beat, INSTANCE, BEAT),
}


async def asked(call: str, body: bytes, *, status: int = 200, secret: ClientSecret | None = None) -> Any:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
    async with connect_in_process(transport, secret) as commander, asyncio.timeout(20):
        return await CALLS[call](commander)


@pytest.mark.parametrize("document", hostile.params(hostile.DOCUMENTS))
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [200, 404, 500])
async def test_an_answer_that_cannot_be_read_is_asked_for_again(
    call: str, status: int, document: hostile.Hostile[bytes]
) -> None:
    with pytest.raises(CommanderAwayError):
        await asked(call, document.make(), status=status)


@pytest.mark.parametrize("document", hostile.params(hostile.DOCUMENTS))
@pytest.mark.parametrize("call", CALLS)
async def test_a_token_that_cannot_be_read_is_asked_for_again(call: str, document: hostile.Hostile[bytes]) -> None:
    with pytest.raises(CommanderAwayError):
        await asked(call, document.make(), secret=ClientSecret("soldier", SecretStr("hush")))


REGISTERED = {"heartbeat_seconds": 1, "lease_seconds": 6, "era": 1}


@pytest.mark.parametrize("field", ["heartbeat_seconds", "lease_seconds", "era"])
@pytest.mark.parametrize("value", [-1, 1e300, 10**400, None, "1", [], -1e300])
async def test_times_that_cannot_be_kept_are_no_answer(field: str, value: Any) -> None:
    with pytest.raises(CommanderAwayError):
        await asked("register", msgspec.json.encode({**REGISTERED, field: value}))


@pytest.mark.parametrize("odd", [{"now": 1e300}, {"era": -1}, {"era": 10**400}, {"drops": [{}]}, {"unknown": [1]}])
async def test_a_heartbeats_answer_that_would_be_told_back_is_checked_first(odd: dict[str, Any]) -> None:
    with pytest.raises(CommanderAwayError):
        await asked("beat", msgspec.json.encode({"now": 1, "era": 1, **odd}))


@pytest.mark.parametrize(
    "odd",
    [
        {"verdict": "PERHAPS"},
        {"verdict": "RUN", "timeout_seconds": 1e300},
        {"verdict": "RUN", "timeout_seconds": -1},
        {"verdict": "RUN", "attempt": 10**30},
        {"verdict": "WAIT", "wait_ms": 10**30},
        {"verdict": "RUN", "secret": "s" * 5000},
        [],
        None,
    ],
)
async def test_a_verdict_that_cannot_be_read_waits_and_its_neighbours_run(odd: Any) -> None:
    run = {"verdict": "RUN", "secret": "s", "attempt": 1, "timeout_seconds": 1}
    first, second, third = await asked("claim", msgspec.json.encode({"answers": [run, odd, run]}))
    assert [first.verdict, second.verdict, third.verdict] == [Verdict.RUN, Verdict.WAIT, Verdict.RUN]
    assert second.wait_ms == commanders.UNREADABLE_WAIT_MS


async def test_an_answer_without_an_end_is_given_up() -> None:
    async def endless() -> Any:
        while True:
            yield b" " * 65_536

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=endless()))
    async with connect_in_process(transport) as commander, asyncio.timeout(20):
        with pytest.raises(CommanderAwayError, match="more than 8,388,608 bytes"):
            await commander.claim(INSTANCE, CLAIMS)


@pytest.mark.parametrize("where", ["orders", "control"])
async def test_messages_that_cannot_be_read_are_put_aside_and_the_next_order_runs(where: str) -> None:
    queue = topology.control_of("default", "default", INSTANCE) if where == "control" else NORMAL
    bodies = [make() for make in hostile.DOCUMENTS.values()]
    async with a_stage() as stage:
        for body in bodies:
            if len(body) <= messages.MAX_MESSAGE_BYTES * 2:
                await stage.publish(body, queue=queue)
        assert (await stage.run("noop")).kind is ReportKind.COMPLETED
        await eventually(lambda: stage.commander.beats[-1].held == (), "nothing is held any more")
        assert stage.serving is not None
        assert not stage.serving.done()


@pytest.mark.parametrize("document", hostile.params(hostile.DOCUMENTS))
async def test_a_payload_of_any_shape_ends_one_attempt(document: hostile.Hostile[bytes]) -> None:
    body = messages.encode(an_order("simulate", payload=b"0")).replace(b'"payload":0', b'"payload":' + document.make())
    async with a_stage() as stage:
        await stage.publish(body)
        assert (await stage.run("noop", mission_id="next")).kind is ReportKind.COMPLETED
        assert stage.serving is not None
        assert not stage.serving.done()
