"""What others send costs a Commander a bounded amount of memory, however much of it there is."""

import asyncio
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiormq
import msgspec
import pytest
import redis
from pamqp import commands
from support.rest_door import RestDoor
from support.world import Servers, World

from mission_contracts import messages, topology
from mission_contracts.messages import ReportKind
from mission_contracts.mission import Epoch, Instance
from mission_contracts.testing import a_mission, a_report

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

MIB = 1024 * 1024
MAX_GROWTH_BYTES = 128 * MIB
FLOOD = 120
"""Messages of almost 4 MiB: 470 MiB, if all of them were held."""
WAIT_SECONDS = 120.0
REDIS_PAUSE_MS = 6_000


@pytest.fixture
def world(servers: Servers, tmp_path: Path) -> Iterator[World]:
    """One test's own: of two installations in a virtual host, one would take the other's reports."""
    with World(servers, tmp_path).running() as world:
        yield world
        world.assert_well()


def memory_of(pid: int, field: str) -> int:
    """Return a field of /proc/PID/status, in bytes."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024


def a_large_message_with_wrong_secrets() -> bytes:
    result = msgspec.Raw(b'"' + b"x" * 8_000 + b'"')
    report = a_report(a_mission(), ReportKind.COMPLETED, epoch=Epoch(1), result=result)
    count = messages.MAX_MESSAGE_BYTES // (len(msgspec.json.encode(report)) + 1) - 1
    body = messages.encode(
        messages.StatusMessage(
            v=messages.VERSION, instance=Instance("a-stranger"), reports=(report,) * count, marker="a-stranger"
        )
    )
    assert 0.95 * messages.MAX_MESSAGE_BYTES < len(body) <= messages.MAX_MESSAGE_BYTES
    return body


async def until_well(rest: RestDoor) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while (await rest.client.get("/health")).json()["status"] != "ok":  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.2)


async def test_a_flood_of_large_reports_is_worked_off_in_bounded_memory(world: World, servers: Servers) -> None:
    async with world.door() as rest:
        await rest.until_final(await rest.submit_many(10))  # so that what a first mission costs is there already
        pid = world.commander.pid
        before = memory_of(pid, "VmRSS")
        connection = await aiormq.connect(servers.rabbitmq_url)
        channel = await connection.channel()
        body = a_large_message_with_wrong_secrets()
        os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(FLOOD):
                await channel.basic_publish(
                    body,
                    exchange=topology.REPORTS.name,
                    routing_key=topology.STATUS.key,
                    properties=commands.Basic.Properties(delivery_mode=2),
                )
        finally:
            redis.Redis.from_url(servers.redis_url).client_pause(REDIS_PAUSE_MS)  # meanwhile nothing can be settled
            os.kill(pid, signal.SIGCONT)
        await until_well(rest)
        await rest.until_final(
            await rest.submit_many(10), seconds=WAIT_SECONDS
        )  # reports behind the flood are applied all the same
        async with asyncio.timeout(WAIT_SECONDS):
            while (await channel.queue_declare(topology.STATUS.name, passive=True)).message_count:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        await connection.close()
    assert memory_of(pid, "VmHWM") - before < MAX_GROWTH_BYTES


BUDGET_BYTES = 8 * MIB
PAYLOAD_BYTES = 250_000
WAITING = 400
"""Their payloads are 95 MiB."""
MAX_GROWTH_BY_PAYLOADS = 64 * MIB


async def test_payloads_of_waiting_missions_take_their_budget_before_and_after_a_restart(
    servers: Servers, tmp_path: Path
) -> None:
    mission = {"type": "noop", "payload": {"x": "x" * PAYLOAD_BYTES}}
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    with World(
        servers, tmp_path, times={"payload_bytes": str(BUDGET_BYTES), "limit_submit_bytes": "off"}
    ).running() as world:
        async with world.door() as rest:
            await rest.until_final(await rest.submit_many(10))
            before = memory_of(world.commander.pid, "VmRSS")
            for _ in range(WAITING // 20):
                answers = await rest.submit_batch([mission | {"start_after": later}] * 20)
                assert {answer["status"] for answer in answers} == {202}
            assert memory_of(world.commander.pid, "VmHWM") - before < MAX_GROWTH_BY_PAYLOADS
            world.commander.kill()
            world.commander.start()
            await until_well(rest)
            done = await rest.submit_batch([mission] * 20)
            await rest.until_final([one["mission"]["mission_id"] for one in done])
        assert memory_of(world.commander.pid, "VmHWM") - before < MAX_GROWTH_BY_PAYLOADS
        world.assert_well()
