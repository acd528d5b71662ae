"""A soldier's surroundings for one handler under test."""

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pydantic

from mission_contracts.envelope import Envelope
from mission_contracts.mission import Epoch, MissionId
from mission_soldier import perform
from mission_soldier.context import Context
from mission_soldier.handlers import Handler

_ABSENT: Any = object()


class Progress(NamedTuple):
    """What a handler told of its progress."""

    percent: float
    note: str = ""


class Logged(NamedTuple):
    """One log line of a handler."""

    event: str
    level: str
    fields: dict[str, Any]


class _RecordingContext(Context):
    __slots__ = ("_logs",)

    def __init__(self, logs: list[Logged], **known: Any) -> None:
        super().__init__(**known)
        self._logs = logs

    def log(self, event: str, *, level: str = "info", **fields: Any) -> None:
        self._logs.append(Logged(event, level, fields))


class SoldierEnvironment:
    """Runs a handler as a soldier does, in this process, and remembers what it told.

    environment = SoldierEnvironment(attempt=2)
    with pytest.raises(RetryLater):
        await environment.run(render, RenderArgs(source="late"))
    assert environment.progress == [Progress(50)]
    """

    def __init__(
        self,
        *,
        mission_id: str | None = None,
        attempt: int = 1,
        epoch: int = 1,
        timeout_seconds: float = 3600,
    ) -> None:
        self._mission_id = MissionId(mission_id or str(uuid.uuid4()))
        self._attempt = attempt
        self._epoch = Epoch(epoch)
        self._timeout_seconds = timeout_seconds
        self._is_cancelled = False
        self._running: list[Context] = []
        self.progress: list[Progress] = []
        """Everything the handlers told, in order; a real soldier passes on the newest."""
        self.logs: list[Logged] = []

    def cancel(self) -> None:
        """Raise `ctx.cancelled`, for the running handler and for those to come."""
        self._is_cancelled = True
        for context in self._running:
            context.cancelled.set()

    async def run(self, function: Callable[..., Any], payload: Any = _ABSENT) -> Any:
        """Give what the handler returns; what it raises is raised here.

        The payload travels as JSON, as it would: give the handler's own type, or plain data to see how it is
        read. Raises BadPayloadError when it does not fit, BadResultError when the result cannot be kept.
        """
        handler = Handler.of("under-test", function)
        context = self._context()
        arguments = self._arguments(handler, payload)
        self._running.append(context)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                result = await _called(handler, context, *arguments)
        finally:
            self._running.remove(context)
        handler.write(result)
        return result

    def _context(self) -> Context:
        context = _RecordingContext(
            self.logs,
            envelope=Envelope(
                mission_id=self._mission_id,
                namespace="default",
                pool="default",
                type="under-test",
                accepted_at=time.time(),
            ),
            epoch=self._epoch,
            attempt=self._attempt,
            deadline_at=time.time() + self._timeout_seconds,
            tell=lambda percent, note: self.progress.append(Progress(percent, note)),
        )
        if self._is_cancelled:
            context.cancelled.set()
        return context

    @staticmethod
    def _arguments(handler: Handler, payload: Any) -> tuple[Any, ...]:
        if handler.read is None:
            return ()
        data = {} if payload is _ABSENT else payload
        return (handler.read(msgspec.Raw(_as_json(data))),)


def _as_json(data: Any) -> bytes:
    if isinstance(data, pydantic.BaseModel):
        return data.model_dump_json(by_alias=True).encode()
    return msgspec.json.encode(data)


async def _called(handler: Handler, context: Context, *arguments: Any) -> Any:
    if handler.is_async:
        return await handler.function(context, *arguments)
    result = await asyncio.to_thread(handler.function, context, *arguments)
    return await result if perform.is_coroutine(result) else result
