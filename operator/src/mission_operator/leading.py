"""Holding the Lease from a thread with an event loop of its own: a busy operator must not lose it for being busy."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Final

import structlog

from mission_operator.leadership import Leadership

_log: Final = structlog.get_logger()

_MOST_SECONDS_TO_STOP: Final = 3.0
"""Between hearing of another holder and the end of this process: so long both may act."""
_MOST_SECONDS_TO_RELEASE: Final = 2.5
_EXIT_LEASE_LOST: Final = 1

OpenLeadership = Callable[[], AbstractAsyncContextManager[Leadership]]


class _Holder:
    """The thread's side: acquires, keeps, and releases when it is told to."""

    def __init__(self, open_leadership: OpenLeadership) -> None:
        self._open = open_leadership
        self._home = asyncio.get_running_loop()
        self.acquired: asyncio.Future[None] = self._home.create_future()
        self.lost: asyncio.Future[None] = self._home.create_future()
        self._loop = asyncio.new_event_loop()
        self._holding: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._work, name="lease", daemon=True)

        self._last_resort = threading.Timer(_MOST_SECONDS_TO_STOP, os._exit, (_EXIT_LEASE_LOST,))
        self._last_resort.daemon = True

    def start(self) -> None:
        self._holding = self._loop.create_task(self._hold())
        self._thread.start()

    async def stop(self) -> None:
        """Release the Lease if it is held, and let the thread end."""
        with suppress(RuntimeError):  # the loop is closed: the Lease was lost, and the thread has ended
            self._loop.call_soon_threadsafe(self._cancel)
        await asyncio.to_thread(self._thread.join, _MOST_SECONDS_TO_RELEASE)
        self._last_resort.cancel()

    def _cancel(self) -> None:
        if self._holding is not None:
            self._holding.cancel()

    def _work(self) -> None:
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._holding or self._hold())
        self._loop.close()

    async def _hold(self) -> None:
        try:
            async with self._open() as leadership:
                await leadership.acquire()
                self._tell(self.acquired, None)
                await self._keep(leadership)
        except Exception as error:  # noqa: BLE001 - whatever ends the holding has to end the operator
            self._tell(self.acquired, error)
            self._tell(self.lost, error)

    async def _keep(self, leadership: Leadership) -> None:
        try:
            await leadership.keep()
        except asyncio.CancelledError:
            await leadership.release()
            raise
        except Exception as error:
            # Said here, at once: stopping in good order may take longer than there is time.
            _log.error("the Lease is lost: this operator stops", why=str(error))
            self._last_resort.start()
            raise

    def _tell(self, future: "asyncio.Future[None]", error: Exception | None) -> None:
        with suppress(RuntimeError):  # the operator has gone already
            self._home.call_soon_threadsafe(_settle, future, error)


def _settle(future: "asyncio.Future[None]", error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


@asynccontextmanager
async def leading(open_leadership: OpenLeadership) -> AsyncIterator["asyncio.Future[None]"]:
    """Wait for the Lease and hold it while the context is open; gives a future that fails when it is lost."""
    holder = _Holder(open_leadership)
    holder.start()
    try:
        await holder.acquired
        yield holder.lost
    finally:
        holder.lost.cancel()
        await holder.stop()
