"""Carries reports to `missions.status`, many in one message, until the broker has confirmed them; then acknowledges."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec
import structlog

from mission_broker.port import Broker, Delivery, Message, Outcome
from mission_contracts import bounds, messages, topology
from mission_contracts.errors import ContractError
from mission_contracts.messages import AttemptError, Report, ReportKind
from mission_contracts.mission import Failure, Instance
from mission_soldier.attempt import Attempt
from mission_soldier.backoff import Backoff
from mission_soldier.book import Book, Key
from mission_soldier.unapplied import Unapplied

MOST_PER_MESSAGE: Final = 500
MOST_BYTES_PER_MESSAGE: Final = 256 * 1024
"""The Commander holds so many bytes of reports, and gives back what exceeds them."""
MOST_MESSAGES_AT_ONCE: Final = 16
PROGRESS_EVERY_SECONDS: Final = 0.5
AWAY_SECONDS: Final = 2.0

log = structlog.get_logger(__name__)


class FinalWord(NamedTuple):
    """A final report as it travels, and the delivery to acknowledge once it is confirmed; None if it was, once."""

    report: bytes
    delivery: Delivery | None


class Reports:
    """What is not confirmed stays here and is published again; one publish is under way at a time."""

    def __init__(self, *, broker: Broker, instance: Instance, book: Book) -> None:
        self._broker = broker
        self._instance = instance
        self._book = book
        self._finals: dict[Key, FinalWord] = {}
        self._unapplied = Unapplied()
        self._progress: dict[Key, bytes] = {}
        self._progress_due: dict[Key, tuple[Attempt, float, str]] = {}
        self._awake = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def is_empty(self) -> bool:
        """Every final report is confirmed."""
        return not self._finals

    def add(self, attempt: Attempt, report: Report) -> None:
        """Take over a final report and its delivery."""
        self._progress.pop(attempt.key, None)
        self._progress_due.pop(attempt.key, None)
        self._say(attempt.key, FinalWord(_encoded(report), attempt.delivery))

    def progress(self, attempt: Attempt, percent: float, note: str) -> None:
        """Take the newest word on a running attempt; it is told at most every half second."""
        if attempt.is_settled:
            return
        key = attempt.key
        if key not in self._progress_due:
            delay = attempt.told_at + PROGRESS_EVERY_SECONDS - time.monotonic()
            asyncio.get_running_loop().call_later(max(0.0, delay), self._tell_progress, key)
        self._progress_due[key] = (attempt, percent, note)

    def settle(self, keys: Iterable[Key]) -> None:
        """The Commander is done with these, whatever the broker confirmed: say no more of them."""
        for key in keys:
            self._progress.pop(key, None)
            self._unapplied.take(key)
            self._end(key)
        self._look_if_empty()

    def say_again(self, keys: Iterable[Key]) -> None:
        """Publish these once more: the ledger lost them. What is not here any more is let go, to be run again."""
        for key in keys:
            if key in self._finals:
                continue
            if (report := self._unapplied.take(key)) is not None:
                self._say(key, FinalWord(report, None))
            else:
                log.warning(
                    "a report is asked for that is not here any more: its mission runs again", mission_id=key[0]
                )
                self._book.let_go([key])

    async def run(self) -> None:
        """Publish until cancelled."""
        backoff = Backoff()
        while True:
            await self._awake.wait()
            self._awake.clear()
            while self._finals or self._progress:
                if await self._publish():
                    backoff.reset()
                else:
                    await self._wait_for_broker(backoff)

    async def flush(self, timeout_seconds: float) -> bool:
        """Wait until every final report is confirmed; False when the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._empty.wait()
        return not self._finals

    def _say(self, key: Key, final: FinalWord) -> None:
        self._finals[key] = final
        self._empty.clear()
        self._awake.set()

    def _end(self, key: Key) -> bytes | None:
        """Take a report from what is to be said; its order, if there still is one, is done with."""
        final = self._finals.pop(key, None)
        if final is not None and final.delivery is not None:
            final.delivery.ack()
        return final.report if final is not None else None

    def _tell_progress(self, key: Key) -> None:
        due = self._progress_due.pop(key, None)
        if due is None:
            return
        attempt, percent, note = due
        attempt.told_at = time.monotonic()
        self._progress[key] = _encoded(attempt.progress_report(percent, note))
        self._awake.set()

    async def _publish(self) -> bool:
        """Publish what is here now; True when all of it is confirmed."""
        progress, self._progress = self._progress, {}
        batches = list(_batches([*progress.items(), *((k, final.report) for k, final in self._finals.items())]))
        outcomes = await self._broker.publish([self._message([r for _, r in batch]) for batch in batches])
        for batch, outcome in zip(batches, outcomes, strict=True):
            if outcome is Outcome.CONFIRMED:
                self._confirmed([key for key, _ in batch if key not in progress])
            else:
                self._keep_progress(progress, batch)
        return all(outcome is Outcome.CONFIRMED for outcome in outcomes)

    def _confirmed(self, keys: Sequence[Key]) -> None:
        # Marked first: from the acknowledgement on, only this list speaks for the mission.
        self._book.mark_reported(keys)
        for key in keys:
            if (report := self._end(key)) is not None:
                self._unapplied.keep(key, report)
        self._look_if_empty()

    def _keep_progress(self, progress: dict[Key, bytes], batch: Sequence[tuple[Key, bytes]]) -> None:
        for key, report in batch:
            if progress.get(key) is report and key not in self._finals:
                self._progress.setdefault(key, report)

    def _message(self, reports: Sequence[bytes]) -> Message:
        body = messages.encode_reports(self._book.era, self._instance, reports)
        return Message(exchange=topology.STATUS.bound_to, key=topology.STATUS.key, body=body)

    async def _wait_for_broker(self, backoff: Backoff) -> None:
        log.warning(
            "reports are not confirmed, publishing them again", reports=len(self._finals), broker=self._broker.away
        )
        await asyncio.sleep(backoff.next())
        if self._broker.away:
            await self._broker.wait_connected(AWAY_SECONDS)

    def _look_if_empty(self) -> None:
        if not self._finals:
            self._empty.set()


def _batches(reports: Sequence[tuple[Key, bytes]]) -> Iterator[list[tuple[Key, bytes]]]:
    """Cut what waits into messages of bounded count and size, oldest first, as many as travel at once."""
    batch: list[tuple[Key, bytes]] = []
    size = cut = 0
    for key, report in reports:
        if batch and (len(batch) == MOST_PER_MESSAGE or size + len(report) > MOST_BYTES_PER_MESSAGE):
            yield batch
            batch, size, cut = [], 0, cut + 1
            if cut == MOST_MESSAGES_AT_ONCE:
                return
        batch.append((key, report))
        size += len(report)
    if batch:
        yield batch


def _encoded(report: Report) -> bytes:
    """Return a report as it travels. One that cannot travel becomes a failed attempt, so that its mission goes on."""
    try:
        return messages.encode_report(report)
    except ContractError as error:
        log.warning(
            "a report cannot be sent; sending another in its place", mission_id=report.mission_id, error=str(error)
        )
        return messages.encode_report(_stand_in(report, error))


def _stand_in(report: Report, why: ContractError) -> Report:
    bare = msgspec.structs.replace(report, ran_seconds=0, progress=None, note="", result=None, error=None)
    if report.kind is ReportKind.PROGRESS:
        return bare
    said = f"the outcome of this attempt could not be reported: {why}"[: bounds.MAX_MESSAGE_CHARACTERS]
    error = AttemptError(failure=Failure.ERROR, message=said)
    return msgspec.structs.replace(bare, kind=ReportKind.FAILED, error=error)
