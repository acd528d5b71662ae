"""Commands out, answers back, each within a deadline, and never another command's answer."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError

from mission_commander.adapters.redis_errors import WRONG_NODE, away
from mission_commander.adapters.redis_nodes import Nodes

Command = tuple[str | bytes | int, ...]

CLOSE_SECONDS = 1.0


class Wire:
    """A bounded set of connections to whichever node serves.

    A connection goes back to the idle ones only after it has been read to its last answer. Whatever else ends an
    exchange (a deadline, a cancelled caller, a broken line) ends the connection too.
    """

    def __init__(self, nodes: Nodes, *, connections: int) -> None:
        self._nodes = nodes
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[tuple[int, AbstractConnection]] = []

    async def ask(self, *commands: Command, timeout_seconds: float) -> list[Any]:
        """Send commands together and give their answers in order.

        Raises LedgerAwayError, chained to what redis-py said; NoScriptError alone is passed on: it asks for a deed.
        """
        deadline = asyncio.timeout(timeout_seconds)
        try:
            async with deadline, self._slots:
                answers = await self._exchange(commands, deadline)
        except (RedisError, TimeoutError, OSError) as error:
            raise away(error) from error
        return _checked(answers)

    async def close(self) -> None:
        """End the idle connections; those in use end with whoever uses them."""
        while self._idle:
            _, connection = self._idle.pop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await connection.disconnect()

    async def _exchange(self, commands: Sequence[Command], deadline: asyncio.Timeout) -> list[Any]:
        generation, connection = await self._connected(deadline)
        try:
            answers = await _talk(connection, commands)
        except BaseException as error:
            # Also when the caller was cancelled: an unread answer must never meet the next command.
            await connection.disconnect(nowait=True)
            self._judge(generation, is_bad=deadline.expired() or isinstance(error, WRONG_NODE))
            raise
        self._judge(generation, is_bad=any(isinstance(answer, WRONG_NODE) for answer in answers))
        self._idle.append((generation, connection))
        return answers

    async def _connected(self, deadline: asyncio.Timeout) -> tuple[int, AbstractConnection]:
        """Give an idle connection, or a new one to the first node that takes it: nothing has been asked yet."""
        while self._idle:
            generation, connection = self._idle.pop()
            # Readable though nothing was asked means that it was closed, or that it is out of step.
            if generation == self._nodes.generation and connection.is_connected and not await connection.can_read():
                return generation, connection
            await connection.disconnect(nowait=True)
        return await self._connect(deadline, nodes_left=self._nodes.count)

    async def _connect(self, deadline: asyncio.Timeout, nodes_left: int) -> tuple[int, AbstractConnection]:
        generation, connection = self._nodes.generation, self._nodes.connection()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException as error:
            await connection.disconnect(nowait=True)
            is_refused = isinstance(error, RedisError | OSError)
            self._judge(generation, is_bad=is_refused or deadline.expired())
            if is_refused and nodes_left > 1:
                return await self._connect(deadline, nodes_left - 1)
            raise
        self._nodes.works()
        return generation, connection

    def _judge(self, generation: int, *, is_bad: bool) -> None:
        if is_bad:
            self._nodes.failed(generation)


async def _talk(connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
    # hiredis packs a tuple of any length; its annotation knows tuples of one only.
    packed = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]
    await connection.send_packed_command(packed, check_health=False)
    return [await _answer(connection) for _ in commands]


async def _answer(connection: AbstractConnection) -> Any:
    """Read one answer; an error that Redis answers with is an answer too, others may follow it."""
    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        return error


def _checked(answers: list[Any]) -> list[Any]:
    for answer in answers:
        if isinstance(answer, ResponseError):
            raise answer if isinstance(answer, NoScriptError) else away(answer) from answer
    return answers
