"""Redis as the design wants it: an acknowledged write is on the disk, and nothing is ever evicted."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tools.stack import containers, pairs, probes
from tools.stack.errors import StackError
from tools.stack.folder import own_folder
from tools.stack.pairs import Pair
from tools.stack.ports import LOOPBACK, free_port
from tools.stack.process import Launch, Process
from tools.stack.server import Server

PROGRAM = "redis-server"
DATABASES = 512
"""Enough that every test can have one of its own."""


class RedisServer(Server):
    """A running Redis; `url` names its database 0."""

    def __init__(self, process: Process, port: int) -> None:
        super().__init__([process])
        self.port = port

    @property
    def url(self) -> str:
        return self.database(0)

    def database(self, index: int) -> str:
        """Return the URL of one of its databases."""
        return f"redis://{LOOPBACK}:{self.port}/{index}"

    def copy_data(self, copy: Path) -> None:
        """Keep what is written by now, whether it runs or not."""
        _copy(self._data, copy)

    def go_back_to(self, copy: Path) -> None:
        """Have the data of a copy, and none of later. It must not run meanwhile."""
        _copy(copy, self._data)

    @property
    def folder(self) -> Path:
        """Where its files are, as this machine names it: Redis itself may see it under another name."""
        return self.processes[0].launch.log.parent

    @property
    def _data(self) -> Path:
        folder = self.folder / "appendonlydir"
        if not folder.is_dir():
            raise StackError(f"Redis keeps no files in {folder}: its data can be copied only where it runs itself.")
        return folder


@contextlib.contextmanager
def redis_server(state: Path, pair: Pair | None = None) -> Iterator[RedisServer]:
    """Run a Redis of our own in `<state>/redis`, on a free port, until the block ends."""
    with own_folder(state, "redis") as folder:
        port = free_port()
        server = RedisServer(Process(_launch(folder, port, pair or pairs.chosen())), port)
        with server.running():
            yield server


def _launch(folder: Path, port: int, pair: Pair) -> Launch:
    home = pairs.installation(pair, PROGRAM)
    if home is None:
        return containers.redis(folder, port, _settings())
    home.hand_over(folder)
    place = ("--port", str(port), "--bind", LOOPBACK, "--dir", str(home.inside(folder)))
    return Launch(
        name="Redis",
        command=home.command(folder, PROGRAM, *place, *_settings()),
        environment=home.environment,
        is_ready=lambda: probes.redis_answers(port),
        log=folder / "redis.log",
    )


def _copy(source: Path, target: Path) -> None:
    """All of it, for whoever owns the place it comes to: Redis may run as another user than we do."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    owner = target.parent.stat()
    for path in (target, *target.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)


def _settings() -> tuple[str, ...]:
    return (
        *("--appendonly", "yes", "--appendfsync", "always"),
        *("--maxmemory-policy", "noeviction", "--save", ""),
        *("--hash-max-listpack-value", "1024"),
        *("--databases", str(DATABASES), "--daemonize", "no"),
    )
