"""`python -m benchmarks.soak`: the memory of every process while missions run for long.

Missions go in by batches at a steady rate, objects beside them where `--objects` names a rate; retention is short, so
that what is forgotten after a week is forgotten within the run. Every few seconds the resident memory of each process
is read, and at the end each has a line: how much at the start, at the half and at the end, and a picture. Memory that
is bounded has as much in the last quarter as in the third. Linux only: it reads /proc.
"""

import argparse
import asyncio
import contextlib
import secrets
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table
from tools.demo import services
from tools.stack import StackError

from benchmarks import cpu, kube, world
from benchmarks.doors import NOOP
from benchmarks.measures import BenchError
from missionctl.client import MissionControl, MissionControlError

SAMPLE_INTERVAL_SECONDS: Final = 5.0
BATCH: Final = 500
MAX_BATCHES_IN_FLIGHT: Final = 4
WARM_UP: Final = 0.25
"""Of the run: what a process loads and caches at first is not growth."""
PICTURE_COLUMNS: Final = 60
BARS: Final = "▁▂▃▄▅▆▇█"
RETENTION_SECONDS: Final = 60
OBJECT_TTL_SECONDS: Final = 30
IDLE_TIMEOUT_SECONDS: Final = 120.0


class Reading(msgspec.Struct, frozen=True):
    """At one moment: resident memory in MiB by process, and missions that have ended so far."""

    at_seconds: float
    mib: Mapping[str, float]
    ended: int


class Soak(msgspec.Struct, frozen=True):
    """One run."""

    minutes: float
    per_second: float
    """Missions that ended, over the whole run."""
    refused: int
    readings: Sequence[Reading]


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    state = world.ROOT / ".state" / f"soak-{secrets.token_hex(3)}"
    try:
        found = _run(options, state)
    except (BenchError, StackError, MissionControlError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(state, ignore_errors=True)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    _show(found, Console(width=None if sys.stdout.isatty() else 150))
    return 0


def _run(options: argparse.Namespace, state: Path) -> Soak:
    with contextlib.ExitStack() as processes:
        these = processes.enter_context(world.servers(state))
        addresses = services.Servers(rabbitmq_url=these.rabbit.fresh_vhost(), redis_url=these.redis.url)
        of, serving, soldier = services.commander_on(addresses, state)
        short = {"COMMANDER_RETENTION_SECONDS": str(RETENTION_SECONDS)}
        launches = {
            "Commander": cpu.with_settings(serving, short),
            "soldier": cpu.with_settings(soldier, {"SOLDIER_CONCURRENCY": "64"}),
            "operator": services.operator(of, these.kube.access, state, may_make_pods=False),
        }
        pids = {"Redis": these.redis.processes[-1].pid, "RabbitMQ": these.rabbit.processes[-1].pid}
        for name, launch in launches.items():
            pids[name] = processes.enter_context(world.running(launch)).pid
        return uvloop.run(_soak(of, these, pids, options))


async def _soak(
    of: services.Commander, these: world.Servers, pids: Mapping[str, int], options: argparse.Namespace
) -> Soak:
    load = Load(options.rate, options.objects)
    readings: list[Reading] = []
    async with world.control(of) as control, kube.connect(these.kube) as objects:
        await world.until_manned(of, 1)
        tasks = [asyncio.create_task(load.submit(control)), asyncio.create_task(load.create(objects))]
        began = time.monotonic()
        while (at := time.monotonic() - began) < options.minutes * 60:
            mib = {name: resident_mib(pid) for name, pid in pids.items()}
            readings.append(Reading(at, mib, load.accepted))
            _fail_with(tasks)
            await asyncio.sleep(SAMPLE_INTERVAL_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await world.until_idle(control, timeout_seconds=IDLE_TIMEOUT_SECONDS)
    seconds = time.monotonic() - began
    return Soak(seconds / 60, load.accepted / seconds, load.refused, readings)


class Load:
    """A steady rate of missions; what the Commander cannot take in time is not sent later."""

    def __init__(self, rate: float, object_rate: float) -> None:
        self._rate = rate
        self._object_rate = object_rate
        self.accepted = 0
        self.refused = 0

    async def submit(self, control: MissionControl) -> None:
        slots = asyncio.Semaphore(MAX_BATCHES_IN_FLIGHT)
        async with asyncio.TaskGroup() as tasks:
            async for _ in _ticks(BATCH / self._rate):
                await slots.acquire()
                tasks.create_task(self._submit(control, slots))

    async def create(self, client: kube.KubeClient) -> None:
        if not self._object_rate:
            return
        number = 0
        async for _ in _ticks(1 / self._object_rate):
            number += 1
            wanted = kube.mission(f"soak-{number}", ttl_seconds=OBJECT_TTL_SECONDS)
            await client.create(world.NAMESPACE, wanted)

    async def _submit(self, control: MissionControl, slots: asyncio.Semaphore) -> None:
        try:
            answers = await control.submit_many([NOOP] * BATCH)
        finally:
            slots.release()
        accepted = sum(one.mission is not None for one in answers)
        self.accepted += accepted
        self.refused += len(answers) - accepted


async def _ticks(interval_seconds: float) -> AsyncIterator[None]:
    """Yield at fixed moments; those that were missed are skipped."""
    due = time.monotonic()
    while True:
        yield
        due = max(due + interval_seconds, time.monotonic())
        await asyncio.sleep(due - time.monotonic())


def _fail_with(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            raise BenchError(f"the load ended before its time: {error!r}") from error


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process and of those that it started."""
    return sum(map(_resident_kib, cpu.family_of(pid))) / 1024


def _resident_kib(folder: Path) -> int:
    try:
        lines = (folder / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


def growth(values: Sequence[float]) -> float:
    """Return the median of the last quarter, divided by that of the third one."""
    quarter = max(1, len(values) // 4)
    return statistics.median(values[-quarter:]) / statistics.median(values[-2 * quarter : -quarter] or values)


def picture(values: Sequence[float]) -> str:
    """Return the values as bars from 0 to their highest, thinned out to one line."""
    step = max(1, -(-len(values) // PICTURE_COLUMNS))
    thinned = [max(values[start : start + step]) for start in range(0, len(values), step)]
    highest = max(thinned) or 1
    return "".join(BARS[min(len(BARS) - 1, int(value / highest * len(BARS)))] for value in thinned)


def _show(found: Soak, console: Console) -> None:
    title = f"{found.minutes:.0f} minutes, {found.per_second:.0f} missions/s accepted, {found.refused} refused"
    table = Table(title=f"Resident memory, MiB: {title}", title_justify="left")
    for name in ("process", "warm", "highest", "end", "last ÷ third quarter", "from 0 to highest"):
        table.add_column(name, justify="left" if name in {"process", "from 0 to highest"} else "right")
    for name in found.readings[0].mib:
        values = [one.mib[name] for one in found.readings]
        warm = values[int(len(values) * WARM_UP)]
        figures = (f"{warm:.0f}", f"{max(values):.0f}", f"{values[-1]:.0f}", f"{growth(values):.2f}")
        table.add_row(name, *figures, picture(values))
    console.print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60, help="how long [%(default)s]")
    parser.add_argument("--rate", type=float, default=1_000, help="missions/s by REST [%(default)s]")
    parser.add_argument("--objects", type=float, default=5, help="Mission objects/s besides [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all readings there too")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
