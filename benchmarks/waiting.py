"""`python -m benchmarks.waiting`: what a Commander's start takes when many missions wait.

A Redis of its own is filled with missions that wait for a time far away, with payloads; then a Commander starts on it.
Printed are how long it takes until it is ready, its resident memory then and at its highest, also after the payloads
that its budget has room for are read, and bytes for each mission. Linux only: it reads /proc.
"""

import argparse
import asyncio
import dataclasses
import secrets
import shutil
import sys
import time
import uuid
from pathlib import Path
from typing import Final

from rich.console import Console
from tools import stack
from tools.demo import services
from tools.installation import answers
from tools.stack import StackError
from tools.stack.process import Launch, Process

from benchmarks import world
from benchmarks.measures import BenchError
from mission_commander.adapters import redis_ledger
from mission_commander.domain import life
from mission_commander.domain.life import OPEN_FIELD, Moment
from mission_commander.ports import Change
from mission_contracts import mission as m
from mission_contracts.envelope import Envelope

BATCH: Final = 2_000
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
IN_FLIGHT: Final = 4
WAITS_SECONDS: Final = 30 * 86_400
READY_TIMEOUT_SECONDS: Final = 900
SETTLE_TIMEOUT_SECONDS: Final = 120
SAMPLE_INTERVAL_SECONDS: Final = 0.5
MIB: Final = 1024 * 1024
OPERATION_SECONDS: Final = 120.0


def _change(number: int, moment: Moment, payload: bytes) -> Change:
    envelope = Envelope(
        mission_id=m.MissionId(str(uuid.uuid4())),
        namespace=services.NAMESPACE,
        pool="default",
        type="noop",
        accepted_at=moment.now,
        subject="user",
        digest=f"{number:032x}",
        start_after=moment.now + WAITS_SECONDS,
        deadline_seconds=2 * WAITS_SECONDS,
    )
    return Change(mission=life.accept(envelope, moment, OPEN_FIELD), expected=m.Sequence(0), payload=payload)


async def fill(url: str, prefix: str, missions: int, payload_bytes: int) -> None:
    """Write so many missions as a Commander does, some batches at once."""
    settings = redis_ledger.RedisSettings(urls=(url,), prefix=prefix, operation_seconds=OPERATION_SECONDS)
    payload = b'{"x":"%b"}' % (b"x" * max(0, payload_bytes - 8))
    batch = max(1, min(BATCH, MAX_BATCH_BYTES // len(payload)))
    numbers = iter(range(0, missions, batch))
    async with redis_ledger.connect(settings) as ledger:
        era = await ledger.begin_era(m.Era(int(time.time() // 60)))
        moment = Moment(time.time(), era)

        async def work() -> None:
            for start in numbers:
                some = range(start, min(start + batch, missions))
                await ledger.commit(era, [_change(number, moment, payload) for number in some])

        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


def _until_ready(process: Process, url: str) -> float:
    """Start it, and return how many seconds it took until it was ready."""
    began = time.monotonic()
    process.start()
    while not answers(f"{url}/readyz"):
        if not process.is_running or time.monotonic() - began > READY_TIMEOUT_SECONDS:
            raise BenchError(f"the Commander was not ready within {READY_TIMEOUT_SECONDS} s: see its log")
        time.sleep(SAMPLE_INTERVAL_SECONDS)
    return time.monotonic() - began


def _until_steady(pid: int) -> float:
    """Wait until its memory grows no more, and return it, in bytes."""
    ends_at, before = time.monotonic() + SETTLE_TIMEOUT_SECONDS, 0.0
    while (now := _memory(pid, "VmRSS")) > before + MIB and time.monotonic() < ends_at:
        before = now
        time.sleep(10 * SAMPLE_INTERVAL_SECONDS)
    return now


def _memory(pid: int, field: str) -> float:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(f"{field}:")]
    return int(line.split()[1]) * 1024.0


def measure(state: Path, missions: int, payload_bytes: int, console: Console) -> None:
    with stack.redis_server(state) as redis, stack.rabbitmq_server(state) as rabbit:
        addresses = services.Servers(rabbitmq_url=rabbit.url, redis_url=redis.url)
        told, launch, _ = services.commander_on(addresses, state)
        began = time.monotonic()
        asyncio.run(fill(redis.url, launch.environment["COMMANDER_REDIS_PREFIX"], missions, payload_bytes))
        console.print(f"{missions} missions with {payload_bytes} bytes each, in {time.monotonic() - began:.0f} s")
        idle = _empty(_unawaited(launch, "empty", state), told.url)
        process = Process(_unawaited(launch, "full", state))
        try:
            seconds = _until_ready(process, told.url)
            ready = _memory(process.pid, "VmRSS")
            full = _until_steady(process.pid)
            highest = _memory(process.pid, "VmHWM")
        finally:
            process.discard()
    console.print(
        f"ready after {seconds:.1f} s with {ready / MIB:.0f} MiB; at most {highest / MIB:.0f} MiB, "
        f"{full / MIB:.0f} MiB with payloads; without missions {idle / MIB:.0f} MiB: "
        f"{(ready - idle) / missions:.0f} bytes for each mission"
    )


def _empty(launch: Launch, url: str) -> float:
    """The memory of a Commander that is ready and found nothing."""
    process = Process(dataclasses.replace(launch, environment={**launch.environment, "COMMANDER_REDIS_PREFIX": "e:"}))
    try:
        _until_ready(process, url)
        return _memory(process.pid, "VmRSS")
    finally:
        process.discard()


def _unawaited(launch: Launch, name: str, state: Path) -> Launch:
    """As it is, without its own bound on the time of a start."""
    return dataclasses.replace(launch, name=name, log=state / f"commander-{name}.log", is_ready=lambda: True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting", description=__doc__)
    parser.add_argument("--missions", type=int, default=1_000_000)
    parser.add_argument("--payload-bytes", type=int, default=100)
    options = parser.parse_args()
    console, state = Console(), world.ROOT / ".state" / f"waiting-{secrets.token_hex(3)}"
    try:
        measure(state, options.missions, options.payload_bytes, console)
    except (BenchError, StackError) as error:
        console.print(f"[red]{error}[/red]")
        return 1
    finally:
        shutil.rmtree(state, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
