"""`python -m tools.cluster up`, `down`, `load`: a real Kubernetes for development and end-to-end tests."""

import argparse
import contextlib
import fcntl
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from tools.cluster import kind, node, programs
from tools.cluster.errors import ClusterError
from tools.cluster.layout import DEFAULT_NAME, Layout, layout
from tools.stack import StackError, containers


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):  # a script's background job is born deaf to SIGINT
        signal.signal(number, signal.default_int_handler)
    try:
        files = layout(options.name, os.environ)
        with _alone(files):
            options.run(files, options)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted: what was started has been ended again.", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.cluster", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="make the cluster if it is not there; the last line says how to use it")
    up.set_defaults(run=_up)
    down = commands.add_parser("down", help="end the cluster, and leave nothing but caches")
    down.set_defaults(run=_down)
    load = commands.add_parser("load", help="give the cluster images from archives (docker save, buildah push)")
    load.set_defaults(run=_load)
    load.add_argument("archives", type=Path, nargs="+", metavar="ARCHIVE")
    for command in (up, down, load):
        command.add_argument("--name", default=DEFAULT_NAME, help="several can run at once [%(default)s]")
    return parser


@contextlib.contextmanager
def _alone(files: Layout) -> Iterator[None]:
    """Of two who ask at the same time, the second waits and finds what the first made."""
    files.folder.mkdir(parents=True, exist_ok=True)
    with files.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _up(files: Layout, _: argparse.Namespace) -> None:
    began = time.monotonic()
    _way().up(files)
    print(f"The cluster {files.name} is ready after {time.monotonic() - began:.0f} s. Use it, and end it, with:")
    print(f"  python -m tools.cluster down --name {files.name}")
    print(f"export KUBECONFIG={shlex.quote(str(files.kubeconfig))}", flush=True)


def _down(files: Layout, _: argparse.Namespace) -> None:
    _way().down(files)


def _load(files: Layout, options: argparse.Namespace) -> None:
    _way().load(files, options.archives)


def _way() -> ModuleType:
    """Prefer kind where it can work: it is what most people know."""
    if containers.docker_answers():
        return kind
    reason = programs.why_no_node()
    if reason:
        raise ClusterError(reason)
    return node


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
