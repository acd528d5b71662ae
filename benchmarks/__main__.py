"""`python -m benchmarks`: real servers, processes as users run them, next to the bare limits of the same run."""

import argparse
import contextlib
import secrets
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

import uvloop
from rich.console import Console
from tools.demo.services import Commander
from tools.stack import StackError

from benchmarks import doors, kube, limits, machine, report, world
from benchmarks.checks import Books
from benchmarks.machine import Machine
from benchmarks.measures import BenchError, Limit, Ours, Sizes
from benchmarks.report import Report
from benchmarks.world import Servers
from missionctl.client import MissionControl, MissionControlError

T = TypeVar("T")
CHECKED: Final = "checked: every mission Completed, in one attempt, as many executions as missions"


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    progress = Console(stderr=True, highlight=False)
    try:
        with _state(options.state) as state:
            measured = measure(options, state, lambda what: progress.print(f"[dim]{what} …[/dim]"))
    except (BenchError, StackError, MissionControlError) as error:
        progress.print(f"[red]error:[/red] {error}", soft_wrap=True)
        return 1
    report.show(measured, console)
    if options.json:
        options.json.write_bytes(report.as_json(measured))
    return 0


def measure(options: argparse.Namespace, state: Path, say: Callable[[str], None]) -> Report:
    """Limits first, while nothing of ours runs; then our doors, each checked."""
    sizes = Sizes.quick() if options.quick else Sizes()
    here = Machine.here()
    say("starting RabbitMQ, Redis and an API server")
    with world.servers(state) as servers:
        found = _limits(servers, sizes, say)
        say("starting Commander and soldiers")
        with world.commander(servers, state, soldiers=options.soldiers) as commander:
            ours = _doors(servers, commander, sizes, state, say)
        versions = machine.versions() | world.server_versions(servers)
    return Report(
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=machine.commit(),
        is_quick=options.quick,
        soldiers=options.soldiers,
        machine=here,
        versions=versions,
        limits=found,
        ours=ours,
        checks=CHECKED,
    )


def _limits(servers: Servers, sizes: Sizes, say: Callable[[str], None]) -> list[Limit]:
    async def patches() -> Limit:
        async with kube.connect(servers.kube) as client:
            return await limits.patches(client, world.LIMITS_NAMESPACE, sizes)

    say("bare limits: RabbitMQ")
    found = [*uvloop.run(limits.amqp(servers.rabbit.fresh_vhost(), sizes))]
    say("bare limits: Redis")
    found.append(uvloop.run(limits.ledger(servers.redis.url, sizes)))
    say("bare limits: API server")
    found.append(uvloop.run(patches()))
    return found


def _doors(servers: Servers, commander: Commander, sizes: Sizes, state: Path, say: Callable[[str], None]) -> list[Ours]:
    async def objects(_: MissionControl, books: Books) -> Ours:
        async with kube.connect(servers.kube) as client:
            return await doors.objects(client, world.NAMESPACE, books, sizes)

    say("missions by REST")
    ours = [_through(commander, lambda control, books: doors.single(control, books, sizes))]
    say("missions by REST, in batches")
    ours.append(_through(commander, lambda control, books: doors.batch(control, books, sizes)))
    say("missions as objects: starting the operator")
    with world.operator(commander, servers, state):
        say("missions as objects")
        ours.append(_through(commander, objects))
    return ours


def _through(commander: Commander, door: Callable[[MissionControl, Books], Awaitable[T]]) -> T:
    async def run() -> T:
        async with world.control(commander) as control:
            return await door(control, Books(control))

    return uvloop.run(run())


@contextlib.contextmanager
def _state(wanted: Path | None) -> Iterator[Path]:
    """A folder of this run's own, removed at the end; logs stay when something went wrong."""
    state = (wanted or world.ROOT / ".state" / f"bench-{secrets.token_hex(3)}").resolve()
    state.mkdir(parents=True, exist_ok=True)
    try:
        yield state
    except (BenchError, StackError, MissionControlError) as error:
        raise BenchError(f"{error}\nThe logs are in {state}.") from error
    except BaseException:
        shutil.rmtree(state, ignore_errors=True)
        raise
    if wanted is None:
        shutil.rmtree(state, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a third of the size: under two minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    parser.add_argument("--soldiers", type=int, default=1, help="soldier processes [%(default)s]")
    parser.add_argument("--state", type=Path, help="where data and logs are kept meanwhile [a new folder in .state]")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
