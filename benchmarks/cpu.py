"""`python -m benchmarks.cpu`: CPU time for each mission, by process, with two settings in turn.

CPU time compares on a machine that others use too, where rates do not. Each pair runs the same missions first with the
one setting, then with the other, on servers that stay the same. Linux only: it reads /proc.

    python -m benchmarks.cpu --pairs 5 --second COMMANDER_RABBITMQ_CLIENT=aio-pika,SOLDIER_RABBITMQ_CLIENT=aio-pika
"""

import argparse
import contextlib
import dataclasses
import secrets
import shutil
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import uvloop
from rich.console import Console
from rich.table import Table
from tools import stack
from tools.demo import services
from tools.stack import StackError
from tools.stack.process import Launch

from benchmarks import doors, world
from benchmarks.checks import Books
from benchmarks.measures import BenchError, Ours, Sizes
from missionctl.client import MissionControlError

Servers = Mapping[str, int]
"""The servers' process ids, by name."""
CLIENT: Final = "client"


class Sample(msgspec.Struct, frozen=True):
    """One run: microseconds of CPU time for each mission, by process, and what a client saw."""

    micros: Mapping[str, float]
    per_second: float
    idle_p50_ms: float

    @property
    def total(self) -> float:
        return sum(self.micros.values())


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    state = world.ROOT / ".state" / f"cpu-{secrets.token_hex(3)}"
    try:
        samples = _pairs(options, state)
    except (BenchError, StackError, MissionControlError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(state, ignore_errors=True)
    _show(samples, Console(width=None if sys.stdout.isatty() else 120))
    return 0


def _pairs(options: argparse.Namespace, state: Path) -> Mapping[str, list[Sample]]:
    sides = {"first": options.first, "second": options.second}
    samples: dict[str, list[Sample]] = {side: [] for side in sides}
    with stack.redis_server(state) as ledger, stack.rabbitmq_server(state) as rabbit:
        addresses = services.Servers(rabbitmq_url=rabbit.fresh_vhost(), redis_url=ledger.url)
        servers = {"Redis": ledger.processes[-1].pid, "RabbitMQ": rabbit.processes[-1].pid}
        for number in range(options.pairs):
            for side, environment in sides.items():
                folder = state / f"{side}-{number}"
                sample = _run(addresses, servers, environment, folder, options)
                samples[side].append(sample)
                print(f"{side} {number + 1}/{options.pairs}: {sample.total:.0f} us a mission", file=sys.stderr)
    return samples


def _run(
    addresses: services.Servers,
    servers: Servers,
    environment: Mapping[str, str],
    folder: Path,
    options: argparse.Namespace,
) -> Sample:
    folder.mkdir(parents=True)
    of, serving, soldier = services.commander_on(addresses, folder)
    with contextlib.ExitStack() as processes:
        commander = processes.enter_context(world.running(with_settings(serving, environment)))
        crew = processes.enter_context(
            world.running(with_settings(soldier, {"SOLDIER_CONCURRENCY": "64", **environment}))
        )
        pids = {"Commander": commander.pid, "soldier": crew.pid, **servers}
        sizes = Sizes(batch=options.missions, single=options.missions, idle=options.idle)
        return uvloop.run(_measure(of, sizes, pids, by_batch=not options.single))


async def _measure(of: services.Commander, sizes: Sizes, pids: Mapping[str, int], *, by_batch: bool) -> Sample:
    door = doors.batch if by_batch else doors.single
    async with world.control(of) as control:
        await world.until_manned(of, 1)
        warm = msgspec.structs.replace(sizes, batch=1_000, single=200, idle=1)
        await door(control, Books(control), warm)
        before, own_before = {name: cpu_seconds(pid) for name, pid in pids.items()}, time.process_time()
        found: Ours = await door(control, Books(control), sizes)
        used = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
        used[CLIENT] = time.process_time() - own_before
    missions = found.rate.count + sizes.idle
    micros = {name: seconds / missions * 1e6 for name, seconds in used.items()}
    return Sample(micros, found.rate.per_second, found.latency.p50_ms)


def with_settings(launch: Launch, environment: Mapping[str, str]) -> Launch:
    """Return the same process with more variables in its environment."""
    return dataclasses.replace(launch, environment={**launch.environment, **environment})


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads of a process and of those that it started."""
    return sum(map(_of_process, family_of(pid)))


def family_of(pid: int) -> list[Path]:
    """Return the folders in /proc of a process, and of all that descend from it: RabbitMQ's Erlang is a grandchild."""
    children: defaultdict[int, list[Path]] = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        children[_parent_of(folder)].append(folder)
    family = [Path("/proc", str(pid))]
    for member in family:
        family += children[int(member.name)]
    return family


def _parent_of(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _of_process(folder: Path) -> float:
    total = 0
    for thread in folder.glob("task/[0-9]*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(thread.read_text().split()[0])
    return total / 1e9


def _show(samples: Mapping[str, list[Sample]], console: Console) -> None:
    table = Table(title="Medians: microseconds of CPU time for each mission", title_justify="left")
    table.add_column("process")
    for side in samples:
        table.add_column(side, justify="right")
    table.add_column("second ÷ first", justify="right")
    first, second = samples.values()
    for name in first[0].micros:
        _row(table, name, [one.micros[name] for one in first], [one.micros[name] for one in second])
    _row(table, "sum", [one.total for one in first], [one.total for one in second])
    _row(table, "missions/s", [one.per_second for one in first], [one.per_second for one in second])
    _row(table, "idle p50, ms", [one.idle_p50_ms for one in first], [one.idle_p50_ms for one in second])
    console.print(table)


def _row(table: Table, name: str, first: Sequence[float], second: Sequence[float]) -> None:
    a, b = statistics.median(first), statistics.median(second)
    table.add_row(name, _range(a, first), _range(b, second), f"{b / a:.2f}" if a else "")


def _range(middle: float, values: Sequence[float]) -> str:
    return f"{middle:.1f} ({min(values):.1f} to {max(values):.1f})"


def _environment(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(",") if part)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--first", type=_environment, default={}, metavar="NAME=VALUE,…", help="settings of one side")
    parser.add_argument("--second", type=_environment, default={}, metavar="NAME=VALUE,…", help="of the other side")
    parser.add_argument("--pairs", type=int, default=5, help="how often both [%(default)s]")
    parser.add_argument("--missions", type=int, default=10_000, help="in each run [%(default)s]")
    parser.add_argument("--idle", type=int, default=100, help="one by one, for the latency [%(default)s]")
    parser.add_argument("--single", action="store_true", help="one POST for each mission instead of batches")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
