"""Applying what soldiers report: one consumer of `missions.status`, in batches, acknowledged after the commit."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import structlog

from mission_broker.port import Broker, Delivery
from mission_commander.domain import life
from mission_commander.domain.life import Moment, Refused
from mission_commander.domain.record import Mission
from mission_commander.ports import LedgerAwayError
from mission_commander.services import rebuilding
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_commander.services.rejecting import Rejects
from mission_contracts import messages, telemetry, topology
from mission_contracts import mission as m
from mission_contracts.errors import UnreadableMessageError
from mission_contracts.install_key import ClaimSecrets
from mission_contracts.soldiering import DropReason

PREFETCH: Final = 200
MAX_BATCH: Final = 100
"""Messages, not reports, that are applied in one commit."""
RETRY_SECONDS: Final = 0.2


class _Read(msgspec.Struct, frozen=True):
    """A delivery and what it says; None when it cannot be read."""

    delivery: Delivery
    message: messages.StatusMessage | None
    why: str = ""


class Reporter:
    """Reads reports and markers in the order in which they were published."""

    def __init__(
        self,
        recorder: Recorder,
        broker: Broker,
        secrets: ClaimSecrets,
        rejects: Rejects,
        *,
        on_marker: Callable[[str], None],
        count: Callable[[str], None],
    ) -> None:
        self._recorder = recorder
        self._broker = broker
        self._secrets = secrets
        self._rejects = rejects
        self._on_marker = on_marker
        self._count = count
        self._waiting: list[Delivery] = []
        self._wanted = asyncio.Event()
        self._log = structlog.get_logger("reporter")

    async def run(self) -> None:
        """Apply reports until cancelled."""
        async with self._broker.consume(topology.STATUS, self._take, prefetch=PREFETCH):
            while True:
                await self._wanted.wait()
                batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
                if not self._waiting:
                    self._wanted.clear()
                await self._settle(batch)

    def _take(self, deliveries: Sequence[Delivery]) -> None:
        self._waiting.extend(deliveries)
        self._wanted.set()

    async def _settle(self, deliveries: Sequence[Delivery]) -> None:
        reads = [_read(delivery) for delivery in deliveries if delivery.is_alive]
        defects = await self._apply([read.message for read in reads if read.message is not None])
        for read in reads:
            why = read.why or defects.get(id(read.message), "")
            if why:
                await self._rejects.keep(read.delivery, topology.STATUS, why)
                self._count("rejected")
            else:
                read.delivery.ack()
        for read in reads:
            if read.message is not None and read.message.marker:
                self._on_marker(read.message.marker)

    async def _apply(self, status: Sequence[messages.StatusMessage]) -> Mapping[int, str]:
        """Commit all reports; while the ledger is away they stay in their queue, unacknowledged.

        Gives what went wrong, by the message (its `id()`), where a report could not even be judged.
        """
        asked = [(one, self._command(one.instance, report)) for one in status for report in one.reports]
        answers = await self._decided([command for _, command in asked])
        for answer in answers:
            self._count(answer if isinstance(answer, str) else "broken")
        return {
            id(one): f"a report in it cannot be applied: {answer!r}"
            for (one, _), answer in zip(asked, answers, strict=True)
            if not isinstance(answer, str)
        }

    async def _decided(self, commands: Sequence[Command[str]]) -> Sequence[str | BaseException]:
        while True:
            try:
                return await self._recorder.decide_each(commands)
            except LedgerAwayError:
                await asyncio.sleep(RETRY_SECONDS)

    def _command(self, instance: m.Instance, report: messages.Report) -> Command[str]:
        is_genuine = self._secrets.fits(report.secret, report.mission_id, report.epoch, instance)
        chance = random.random()  # noqa: S311  # spreads retries, guards nothing

        def decide(mission: Mission | None, moment: Moment) -> Decision[str]:
            if not is_genuine or report.envelope.mission_id != report.mission_id:
                return self._refused(report, "not genuine")
            known = mission or rebuilding.from_report(report, instance, moment)
            applied = life.report(known, report, instance, moment, chance=chance)
            if isinstance(applied, Refused):
                return self._refused(report, applied.why.value)
            return Decision(report.kind.value, applied, None if mission else b"{}")

        return Command(report.mission_id, decide)

    def _refused(self, report: messages.Report, why: str) -> Decision[str]:
        if why != DropReason.FINAL.value:
            fields = {telemetry.MISSION_ID: report.mission_id, telemetry.EPOCH: report.epoch}
            self._log.warning("a report changes nothing", why=why, kind=report.kind.value, **fields)
        return Decision(f"refused: {why}")


def _read(delivery: Delivery) -> _Read:
    try:
        return _Read(delivery, messages.decode(delivery.body, messages.StatusMessage))
    except UnreadableMessageError as error:
        return _Read(delivery, None, str(error))
