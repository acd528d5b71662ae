"""`python -m chaos`: breaks Mission Control in every way we know while missions run, and judges what became of them."""

import argparse
import asyncio
import contextlib
import inspect
import json
import os
import random
import secrets
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import redis
import uvloop
from benchmarks import machine
from benchmarks.machine import Machine
from rich.console import Console
from tools.installation import ROOT
from tools.stack import StackError, pairs

from chaos import measures, page, report
from chaos.campaign import play_all
from chaos.errors import ChaosError
from chaos.faults import FAULTS
from chaos.ground import Servers, ground, servers
from chaos.measures import Outcome
from chaos.report import Report
from chaos.schedule import Plan, plans
from chaos.telling import Teller

INTERRUPTED: Final = 130
BEATS_PER_LEASE: Final = 6


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    if options.list:
        _list()
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ[pairs.VARIABLE] = options.pair
    teller = Teller()
    try:
        if options.report:
            return _conclude(report.read(options.report), options)
        with _state(options.state) as state:
            return _run(options, state, teller)
    except (KeyboardInterrupt, asyncio.CancelledError):
        teller.say("ended; nothing is left running")
        return INTERRUPTED
    except (ChaosError, StackError, TimeoutError) as error:
        teller.trouble(str(error))
        return 1


def _run(options: argparse.Namespace, state: Path, teller: Teller) -> int:
    here = Machine.here()
    faults = [FAULTS[name] for name in options.faults or FAULTS]
    planned = plans(
        faults,
        missions=options.missions,
        repeat=options.repeat,
        seed=options.seed,
        lease_seconds=options.lease,
    )
    teller.say("starting RabbitMQ, Redis and an API server")
    with servers(state) as these:
        outcomes, surprises = uvloop.run(_play(these, planned, state, options, teller))
        versions = machine.versions() | _server_versions(these)
    found = Report(
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=machine.commit(),
        seed=options.seed,
        lease_seconds=options.lease,
        machine=here,
        versions=versions,
        outcomes=outcomes,
        surprises=surprises,
    )
    if options.json:
        options.json.write_bytes(report.as_json(found))
    return _conclude(found, options)


def _conclude(found: Report, options: argparse.Namespace) -> int:
    report.show(found, Console(highlight=False, width=None if sys.stdout.isatty() else 150))
    if not found.is_clean:
        raise _BrokenError(f"promises were broken, or could not be put to the test (seed {found.seed})")
    if options.page:
        page.write(options.page, found)
    return 0


async def _play(
    these: Servers, planned: Sequence[Plan], state: Path, options: argparse.Namespace, teller: Teller
) -> tuple[list[Outcome], list[str]]:
    _end_gently()
    times = {"lease_seconds": str(options.lease), "heartbeat_seconds": str(options.lease / BEATS_PER_LEASE)}
    teller.say("starting two Commanders, three soldiers and an operator")
    async with ground(these, state, times=times) as here:
        return await play_all(
            here, planned, state, lease_seconds=options.lease, say=teller.about([plan.fault for plan in planned])
        )


def _end_gently() -> None:
    """From here on SIGTERM and Ctrl-C cancel, so that everything is taken down in its order."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    if task is None:
        raise AssertionError("this runs in a task")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)


class _BrokenError(ChaosError):
    """The run found something."""


@contextlib.contextmanager
def _state(wanted: Path | None) -> Iterator[Path]:
    """A folder of this run's own, removed at the end; logs and histories stay when something went wrong."""
    state = (wanted or ROOT / ".state" / f"chaos-{secrets.token_hex(3)}").resolve()
    state.mkdir(parents=True, exist_ok=True)
    try:
        yield state
    except (ChaosError, StackError, TimeoutError) as error:
        raise ChaosError(f"{error}\nLogs and histories are in {state}.") from error
    except BaseException:
        if wanted is None:
            shutil.rmtree(state, ignore_errors=True)
        raise
    if wanted is None:
        shutil.rmtree(state, ignore_errors=True)


def _server_versions(these: Servers) -> dict[str, str]:
    """As the servers say themselves."""
    kube = json.loads(these.kube.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
    rabbitmq = these.rabbitmq.evaluate("rabbit_misc:version().").strip().strip('"')
    with contextlib.closing(redis.Redis.from_url(these.redis.url)) as client:
        return {"Kubernetes": kube, "RabbitMQ": rabbitmq, "Redis": str(client.info("server")["redis_version"])}


def _list() -> None:
    width = max(map(len, FAULTS))
    for name, fault in FAULTS.items():
        print(f"{name:<{width}}  {fault.sentence}")


def _fault_names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in FAULTS]:
        raise argparse.ArgumentTypeError(f"there is no fault {unknown[0]!r}: --list shows all of them")
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description=__doc__,
        epilog=inspect.getdoc(measures),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--list", action="store_true", help="say which faults there are, and what each does")
    parser.add_argument("--faults", type=_fault_names, metavar="A,B,…", help="only these [all]")
    parser.add_argument("--missions", type=int, default=20_000, help="in all, shared among the faults [%(default)s]")
    parser.add_argument("--repeat", type=int, default=3, help="so often all of that; times are medians [%(default)s]")
    parser.add_argument("--lease", type=float, default=6.0, help="seconds a claim lives without a beat [%(default)s]")
    parser.add_argument(
        "--seed",
        type=int,
        default=random.randrange(10_000),
        help="draws missions, victims and moments [a new one, which is told]",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="run nothing: take the report that --json wrote there"
    )
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the table into this page too, if all is well")
    parser.add_argument(
        "--pair",
        choices=[pair.value for pair in pairs.Pair],
        default=pairs.chosen().value,
        help="which RabbitMQ and Redis: this machine's, or RabbitMQ 4.0 and Redis 8 of Debian trixie [%(default)s]",
    )
    parser.add_argument("--state", type=Path, help="where data and logs are kept meanwhile [a new folder in .state]")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
