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
from mission_commander.services.eras import Eras
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_commander.services.rejecting import Rejects
from mission_commander.services.tombstones import Tombstones
from mission_contracts import messages, telemetry, topology
from mission_contracts import mission as m
from mission_contracts.errors import UnreadableMessageError
from mission_contracts.install_key import ClaimSecrets
from mission_contracts.soldiering import DropReason

PREFETCH: Final = 200
MAX_BATCH: Final = 100
"""Messages, not reports, that are applied in one commit."""
RETRY_SECONDS: Final = 0.2


_LACKING: Final = "lacking"
"""The ledger has no record of the mission."""

_Said = tuple[m.Instance, messages.Report]


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
        tombstones: Tombstones,
        eras: Eras,
        rejects: Rejects,
        *,
        on_marker: Callable[[str], None],
        count: Callable[[str], None],
    ) -> None:
        self._recorder = recorder
        self._broker = broker
        self._secrets = secrets
        self._tombstones = tombstones
        self._eras = eras
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
        asked = [(one, report) for one in status for report in one.reports]
        answers = await self._judged([(one.instance, report) for one, report in asked])
        for answer in answers:
            self._count(answer if isinstance(answer, str) else "broken")
        return {
            id(one): f"a report in it cannot be applied: {answer!r}"
            for (one, _), answer in zip(asked, answers, strict=True)
            if not isinstance(answer, str)
        }

    async def _judged(self, said: Sequence[_Said]) -> Sequence[str | BaseException]:
        while True:
            try:
                return await self._decided(said)
            except LedgerAwayError:
                await asyncio.sleep(RETRY_SECONDS)

    async def _decided(self, said: Sequence[_Said]) -> Sequence[str | BaseException]:
        first: list[Command[str]] = [self._command(*one) for one in said]
        decided = await self._recorder.decide_each(first)
        answers = list(decided)
        lacking = [place for place, answer in enumerate(answers) if answer is _LACKING]
        if lacking:
            accepted_at = {said[place][1].mission_id: said[place][1].envelope.accepted_at for place in lacking}
            purged = await self._tombstones.purged(accepted_at)
            again: list[Command[str]] = [self._command(*said[place], purged=purged) for place in lacking]
            rebuilt = await self._recorder.decide_each(again)
            for place, answer in zip(lacking, rebuilt, strict=True):
                answers[place] = answer
        return answers

    def _command(
        self, instance: m.Instance, report: messages.Report, *, purged: frozenset[m.MissionId] | None = None
    ) -> Command[str]:
        """Judge a report. For a mission that the ledger lacks: first ask why, then, by `purged`, rebuild it or not."""
        is_genuine = self._secrets.fits(report.secret, report.mission_id, report.epoch, instance)
        if is_genuine:
            self._eras.saw(m.era_of(report.epoch))
        known = self._recorder.known(report.mission_id)
        chance = random.random()  # noqa: S311  # spreads retries, guards nothing

        def decide(mission: Mission | None, moment: Moment) -> Decision[str]:
            if not is_genuine or report.envelope.mission_id != report.mission_id:
                return self._refused(report, "not genuine")
            if mission is None and purged is None:
                return Decision(_LACKING)
            if mission is None and purged is not None and report.mission_id in purged:
                return self._refused(report, DropReason.PURGED.value)
            applied = life.report(
                mission or rebuilding.from_report(report, instance, moment), report, instance, moment, chance=chance
            )
            if isinstance(applied, Refused):
                return self._refused(report, applied.why.value)
            is_ahead = mission is None or report.epoch > mission.epoch
            return Decision(report.kind.value, applied, shows_loss=is_ahead and m.era_of(report.epoch) >= moment.era)

        is_ahead = known is not None and known.epoch < report.epoch
        weight = len(bytes(report.result)) if report.result is not None else 0
        return Command(report.mission_id, decide, fresh=is_ahead, weight=weight)

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
