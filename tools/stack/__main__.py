"""`python -m tools.stack up`: the real servers in the foreground; `prepare`: install or build what they need."""

import argparse
import contextlib
import functools
import os
import secrets
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tools import stack
from tools.stack import binaries, pairs
from tools.stack.pairs import Pair

KINDS = ("redis", "rabbitmq", "kube")
ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except stack.StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.stack", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start servers, print their addresses, stay until interrupted")
    up.set_defaults(run=_up)
    up.add_argument("--stay", action="store_true", help="go on when whoever started this is gone")
    up.add_argument("--state", type=Path, help="state folder; wiped at start, kept at the end [new, removed]")
    prepare = commands.add_parser("prepare", help="install or build what the servers need")
    prepare.set_defaults(run=_prepare)
    for command in (up, prepare):
        command.add_argument("--only", type=_kinds, default=KINDS, help="some of: redis,rabbitmq,kube")
        command.add_argument(
            "--pair",
            type=Pair,
            choices=Pair,
            help=f"which RabbitMQ and Redis: {_pairs()} [${pairs.VARIABLE}, installed]",
        )
    return parser


def _pairs() -> str:
    return " or ".join(Pair)


def _kinds(text: str) -> tuple[str, ...]:
    chosen = tuple(text.split(","))
    unknown = set(chosen) - set(KINDS)
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is not one of {', '.join(KINDS)}")
    return chosen


def _prepare(options: argparse.Namespace) -> None:
    """Try each on its own: a machine without Go can still have a broker."""
    ensurers = _ensurers(options.only, options.pair or pairs.chosen())
    reasons = [reason for ensure in ensurers if (reason := _reason_not_to(ensure))]
    if reasons:
        raise stack.StackError("\nerror: ".join(reasons))


def _ensurers(kinds: Sequence[str], pair: Pair) -> Iterator[Callable[[], object]]:
    if {"redis", "rabbitmq"} & set(kinds):
        yield functools.partial(pairs.ensure, pair)
    if "kube" in kinds:
        yield binaries.ensure


def _reason_not_to(ensure: Callable[[], object]) -> str | None:
    try:
        ensure()
    except stack.StackError as error:
        return str(error)
    return None


def _up(options: argparse.Namespace) -> None:
    parent = os.getppid()
    _prepare(options)
    for number in (signal.SIGTERM, signal.SIGINT):  # a script's background job is born deaf to SIGINT
        signal.signal(number, signal.default_int_handler)
    with (
        contextlib.suppress(KeyboardInterrupt),
        _state(options.state) as state,
        contextlib.ExitStack() as servers,
    ):
        for kind in options.only:
            _print_exports(_start(kind, state, options.pair, servers))
        print(f"# Logs and data are in {state}. Ctrl-C stops what was started here.", flush=True)
        while options.stay or os.getppid() == parent:
            time.sleep(0.5)


@contextlib.contextmanager
def _state(wanted: Path | None) -> Iterator[Path]:
    state = wanted or ROOT / ".state" / f"up-{secrets.token_hex(3)}"
    try:
        yield state
    finally:
        if wanted is None:
            shutil.rmtree(state, ignore_errors=True)


def _start(kind: str, state: Path, pair: Pair | None, servers: contextlib.ExitStack) -> Mapping[str, str]:
    starters: dict[str, Callable[[], Mapping[str, str]]] = {
        "redis": lambda: {"REDIS_URL": servers.enter_context(stack.redis_server(state, pair)).url},
        "rabbitmq": lambda: {"RABBITMQ_URL": servers.enter_context(stack.rabbitmq_server(state, pair)).url},
        "kube": lambda: servers.enter_context(stack.api_server(state)).environment(),
    }
    began = time.monotonic()
    variables = starters[kind]()
    print(f"# {kind}: ready after {time.monotonic() - began:.1f} s", flush=True)
    return variables


def _print_exports(variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
