"""`python -m benchmarks.pools`: from zero, out, and in again, on a real node; a table, and JSON to compare with."""

import argparse
import asyncio
import contextlib
import secrets
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console
from tools.stack import StackError

from benchmarks import machine
from benchmarks.machine import Machine
from benchmarks.measures import BenchError
from benchmarks.pools import place, report
from benchmarks.pools.figures import PoolFigures
from benchmarks.pools.place import Place
from benchmarks.pools.trials import FLOOD, Trial, cold_starts
from missionctl.client import MissionControlError

POOLS: Final = 4
"""Pools that are woken in turn: each needs some seconds to fall asleep again."""


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    progress = Console(stderr=True, highlight=False)
    try:
        with _place(options) as where:
            figures = asyncio.run(_measure(where, options, lambda what: progress.print(f"[dim]{what} …[/dim]")))
    except (BenchError, StackError, MissionControlError) as error:
        progress.print(f"[red]error:[/red] {error}", soft_wrap=True)
        return 1
    report.show(figures, Console(highlight=False, width=None if sys.stdout.isatty() else 120))
    if options.json:
        options.json.write_bytes(report.as_json(figures))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pools", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--starts", type=int, default=10, help="how many cold starts [%(default)s]")
    parser.add_argument(
        "--namespace", help="measure the installation in this namespace of the current cluster, and make none"
    )
    parser.add_argument("--commander", default="", metavar="URL", help="its Commander's address [that of its Service]")
    parser.add_argument("--cluster", default=place.CLUSTER, help="the cluster to make, and to end [%(default)s]")
    return parser


@contextlib.contextmanager
def _place(options: argparse.Namespace) -> Iterator[Place]:
    if options.namespace:
        yield Place(namespace=options.namespace)
        return
    with place.made(options.cluster) as where:
        yield where


async def _measure(where: Place, options: argparse.Namespace, say: Callable[[str], None]) -> PoolFigures:
    here, run = Machine.here(), secrets.token_hex(3)
    async with where.control(options.commander) as control:
        trials = [
            Trial(kubectl=where.kubectl, control=control, pool=f"bench-{run}-{number}") for number in range(POOLS)
        ]
        try:
            return await _figures(trials, where, options.starts, here, say)
        finally:
            await where.kubectl.run("delete", "soldierpools", "--ignore-not-found", *(one.pool for one in trials))


async def _figures(
    trials: Sequence[Trial], where: Place, starts: int, here: Machine, say: Callable[[str], None]
) -> PoolFigures:
    cold = await cold_starts(trials, starts, say)
    say(f"{FLOOD.missions} missions at once, and back to zero")
    out, back = await trials[0].flood(FLOOD)
    return PoolFigures(
        system="Mission Control",
        autoscaler="BuiltIn",
        taken_at=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=machine.commit(),
        machine=here,
        versions={"Kubernetes": await where.kubernetes_version()},
        cold_starts=cold,
        scale_out=out,
        scale_in=back,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
