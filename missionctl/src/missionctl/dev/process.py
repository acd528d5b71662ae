"""The dev process around the services: its port, its note for the other commands, and how it ends."""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import uvloop

from mission_soldier import loading
from mission_soldier.errors import HandlerDefinitionError
from mission_soldier.soldier import Soldier
from missionctl import context_file
from missionctl.cli.exits import CommandError, Exit
from missionctl.cli.screen import Screen
from missionctl.context_file import DevContext
from missionctl.dev import composition, logs
from missionctl.dev.composition import Secrets, StartError
from missionctl.dev.options import DevOptions

HOST: Final = "127.0.0.1"
EXIT_NOW: Final = 130
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(options: DevOptions) -> None:
    """Serve until Ctrl-C."""
    soldier = _handlers(options.handlers)
    logs.be_quiet()
    with _listening(options.port) as listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        dev = _Dev(options, soldier, listener)
        _run_through_exits(runner.get_loop(), dev.serve())


def _run_through_exits(loop: asyncio.AbstractEventLoop, serving: Coroutine[Any, Any, None]) -> None:
    """Run to the end. A SystemExit in a task that some handler started stops the loop; it must not stop us."""
    task = loop.create_task(serving)
    while not task.done():
        with suppress(SystemExit):
            loop.run_until_complete(task)
    task.result()


def _handlers(name: str) -> Soldier:
    try:
        return loading.load(name)
    except HandlerDefinitionError as error:
        raise CommandError(str(error), Exit.USAGE) from error


@contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    """A socket that listens; taken before anything starts, so that a taken port costs nothing."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(1024)
        except OSError as error:
            raise CommandError(_why_not(port, error), Exit.USAGE) from error
        yield listener


def _why_not(port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} is taken, perhaps by another `missionctl dev`: "
            "end that one, or choose another with --port (0 takes a free one)"
        )
    return f"port {port} cannot be used ({error.strerror}): choose another with --port"


class _Dev:
    """One run."""

    def __init__(self, options: DevOptions, soldier: Soldier, listener: socket.socket) -> None:
        self._options = options
        self._soldier = soldier
        self._listener = listener
        self._url = f"http://{HOST}:{listener.getsockname()[1]}"
        self._screen = Screen()
        self._stop = asyncio.Event()
        self._has_failed = False

    async def serve(self) -> None:
        self._heed_signals()
        known = Secrets.make()
        try:
            async with composition.running(self._options, self._soldier, self._listener, known, self._fail) as types:
                with _noted(context_file.path_in(self._options.state_dir), self._context(known)):
                    self._announce(types)
                    logs.speak(self._options.log_level)
                    await self._stop.wait()
                    self._screen.remark("\nending: what runs may finish; Ctrl-C again ends it now")
        except StartError as error:
            raise CommandError(str(error), Exit.NOT_COMPLETED) from error
        if self._has_failed:
            raise CommandError("a part ended unexpectedly: the log above says why", Exit.NOT_COMPLETED)

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._end)

    def _end(self) -> None:
        """The first signal asks, the second does not."""
        if self._stop.is_set():
            os._exit(EXIT_NOW)
        self._stop.set()

    def _fail(self) -> None:
        self._has_failed = True
        self._stop.set()

    def _context(self, known: Secrets) -> DevContext:
        return DevContext(
            url=self._url,
            pid=os.getpid(),
            namespace=self._options.namespace,
            user=known.user,
            operator=known.operator,
        )

    def _announce(self, types: tuple[str, ...]) -> None:
        options, screen = self._options, self._screen
        screen.cells([("Mission Control", "bold"), (" is up at ", ""), (self._url, "bold cyan")])
        screen.text(f"  pool     {options.namespace}/{options.pool}, {options.concurrency} missions at once")
        screen.text(f"  types    {', '.join(types)}")
        screen.text("  memory   broker and ledger: all is gone when this ends")
        screen.text("\nNext, in another terminal:")
        screen.cells([("  missionctl run simulate --wait", "bold")])
        screen.cells([("  missionctl get --watch", "bold")])
        screen.remark("\nCtrl-C ends it.")


@contextmanager
def _noted(path: Path, context: DevContext) -> Iterator[None]:
    """Other commands find this process by its note, as long as it takes missions."""
    context_file.write(path, context)
    try:
        yield
    finally:
        context_file.remove(path, pid=context.pid)
