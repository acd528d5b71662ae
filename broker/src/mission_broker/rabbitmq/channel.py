"""One AMQP channel on the tap: requests answered in order, and an end that everybody hears of at once."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from pamqp import commands as amqp
from pamqp.base import Frame

from mission_broker.rabbitmq import frames
from mission_broker.rabbitmq.tap import ConnectionLostError, Tap

CLOSED_HERE: Final = 0
NOT_FOUND: Final = 404
UNANSWERED: Final = 504


class ChannelLostError(Exception):
    """The channel has ended, and what was on it; `code` is the broker's reply code, or one of ours."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}" if code else text)
        self.code = code
        self.text = text


class Channel:
    """A channel without content: it declares, asks and closes. Others add what they do with messages."""

    def __init__(self, tap: Tap, number: int, *, rpc_timeout_seconds: float) -> None:
        self.number = number
        self._tap = tap
        self.timeout_seconds = rpc_timeout_seconds
        self._answers: deque[asyncio.Future[Frame]] = deque()
        self._loop = asyncio.get_running_loop()
        self._closing: asyncio.Future[None] | None = None
        self.reason: Exception | None = None
        self.ended: asyncio.Future[Exception] = self._loop.create_future()
        self.on_end: Callable[[], None] = lambda: None
        tap.endpoints[number] = self

    @property
    def is_open(self) -> bool:
        return self.reason is None

    async def open(self) -> None:
        await self.rpc(amqp.Channel.Open())

    async def rpc(self, *commands: Frame) -> Any:
        """Ask all at once, and wait for the last answer. Raises ChannelLostError, ConnectionLostError."""
        answers = [self.ask(command) for command in commands]
        try:
            async with asyncio.timeout(self.timeout_seconds):
                for answer in answers:
                    await asyncio.shield(answer)
        except TimeoutError:
            # An answer that comes later would be taken for that of the next question.
            self.end(ChannelLostError(UNANSWERED, f"no answer to {commands[-1].name} in {self.timeout_seconds} s"))
        return await answers[-1]

    def ask(self, command: Frame) -> asyncio.Future[Frame]:
        """Ask without waiting: the answer is the future's result."""
        answer: asyncio.Future[Frame] = self._loop.create_future()
        answer.add_done_callback(_look_at)
        if self.reason is not None:
            answer.set_exception(_as_lost(self.reason))
            return answer
        self._answers.append(answer)
        self._tap.write(frames.method(command, self.number))
        return answer

    async def close(self) -> None:
        """Close it in an orderly way: the broker takes back what was delivered and not acknowledged."""
        self.end(ChannelLostError(CLOSED_HERE, "closed by its user"))
        if self._closing is not None:
            await asyncio.wait([self._closing], timeout=self.timeout_seconds)

    def end(self, reason: Exception) -> None:
        """End it from this side, now; its number is free again when the broker has answered."""
        if self.reason is not None:
            return
        self._last_words()
        self._closing = self._loop.create_future()
        self._tap.write(frames.method(amqp.Channel.Close(reply_code=200, class_id=0, method_id=0), self.number))
        self._finish(reason)

    # What the tap calls

    def method(self, index: int, data: bytes, start: int, stop: int) -> None:
        if index == frames.CHANNEL_CLOSE_OK:
            self._leave()
        elif index == frames.CHANNEL_CLOSE:
            self._closed_by_broker(frames.read_method(data, start, stop))
        elif self._answers:
            answer = self._answers.popleft()
            if not answer.done():
                answer.set_result(frames.read_method(data, start, stop))

    def header(self, data: bytes, start: int, stop: int) -> None:
        """Content on a channel that wants none is skipped."""

    def body(self, data: bytes, start: int, stop: int) -> None:
        """The same."""

    def lost(self, reason: Exception) -> None:
        self._finish(reason)
        self._let_go()

    # Inside

    def _last_words(self) -> None:
        """What must be written before the channel is closed."""

    def _ended(self) -> None:
        """What must be told when the channel has ended."""

    def _closed_by_broker(self, said: Any) -> None:
        self._tap.write(frames.method(amqp.Channel.CloseOk(), self.number))
        self._finish(ChannelLostError(said.reply_code, said.reply_text))
        self._leave()

    def _finish(self, reason: Exception) -> None:
        if self.reason is not None:
            return
        self.reason = reason
        answers, self._answers = self._answers, deque()
        for answer in answers:
            if not answer.done():
                answer.set_exception(_as_lost(reason))
        self._ended()
        if not self.ended.done():
            self.ended.set_result(reason)
        self.on_end()

    def _leave(self) -> None:
        self._tap.endpoints.pop(self.number, None)
        self._let_go()

    def _let_go(self) -> None:
        if self._closing is not None and not self._closing.done():
            self._closing.set_result(None)


def _as_lost(reason: Exception) -> Exception:
    """One error per waiter, so that tracebacks do not grow into each other."""
    if isinstance(reason, ChannelLostError):
        return ChannelLostError(reason.code, reason.text)
    return ConnectionLostError(str(reason))


def _look_at(answer: asyncio.Future[Frame]) -> None:
    # An asker that was cancelled never looks; asyncio would complain about the error it missed.
    if not answer.cancelled():
        answer.exception()
