"""Applying what `missions.status` brings: reports, and missions accepted while the ledger was away.

One consumer, in batches, acknowledged after the commit.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from enum import Enum
from typing import Final, TypeVar

import msgspec
import structlog

from mission_broker.port import Broker, Consumer, Delivery
from mission_broker.rejecting import Rejects
from mission_commander.domain import life
from mission_commander.domain.life import Moment, Refused
from mission_commander.domain.record import Mission
from mission_commander.ports import Ledger, LedgerAwayError
from mission_commander.services import rebuilding
from mission_commander.services.counts import Counts
from mission_commander.services.eras import Eras
from mission_commander.services.intake import Intake, size_of
from mission_commander.services.late_records import LateRecords
from mission_commander.services.proofs import Proofs, Way
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_commander.services.tombstones import Tombstones
from mission_contracts import messages, metrics, telemetry, topology
from mission_contracts import mission as m
from mission_contracts.errors import Defect, UnreadableMessageError
from mission_contracts.install_key import ClaimSecrets
from mission_contracts.metrics import Dropped
from mission_contracts.soldiering import DropReason

T = TypeVar("T")

PREFETCH: Final = 200
RETRY_SECONDS: Final = 0.2
GIVE_WAY_SECONDS: Final = 2.0
"""How long this Commander keeps what it cannot apply: another one may have the ledger all the while."""


class _Lacking(Enum):
    """The ledger has no record of the mission."""

    LACKING = "lacking"


_LACKING: Final = _Lacking.LACKING

_Answer = messages.ReportKind | Dropped | _Lacking
"""Applied; or why not."""

_CAUSES: Final[Mapping[DropReason, Dropped]] = {
    DropReason.FINAL: Dropped.FINAL,
    DropReason.STALE: Dropped.OLD_EPOCH,
    DropReason.SPENT: Dropped.NOT_HELD,
}
"""All reasons for which a report is refused by the mission itself."""

_Said = tuple[m.Instance, messages.Report]


class _Read(msgspec.Struct, frozen=True):
    """A delivery, what it says (None when it cannot be read), and why not all of it can be read."""

    delivery: Delivery
    message: messages.StatusMessage | None
    why: str = ""
    defect: Defect = Defect.WRONG_SHAPE
    accepted: Sequence[messages.Acceptance] = ()


class Reporter:
    """Reads reports and markers in the order in which they were published."""

    def __init__(
        self,
        recorder: Recorder,
        ledger: Ledger,
        broker: Broker,
        secrets: ClaimSecrets,
        tombstones: Tombstones,
        eras: Eras,
        rejects: Rejects,
        late_records: LateRecords,
        proofs: Proofs,
        *,
        on_marker: Callable[[str], None],
        counts: Counts,
    ) -> None:
        self._recorder = recorder
        self._ledger = ledger
        self._broker = broker
        self._secrets = secrets
        self._tombstones = tombstones
        self._eras = eras
        self._rejects = rejects
        self._late_records = late_records
        self._proofs = proofs
        self._on_marker = on_marker
        self._counts = counts
        self._intake = Intake(PREFETCH)
        self._log = structlog.get_logger("reporter")

    async def run(self) -> None:
        """Apply reports until cancelled."""
        while True:
            with suppress(LedgerAwayError):
                self._intake.clear()
                async with self._broker.consume(
                    topology.STATUS, self._intake.take, prefetch=self._intake.prefetch
                ) as consumer:
                    await self._settle_all(consumer)
            self._log.warning("the ledger is away: reports go to a Commander that has it, or wait in their queue")
            await self._until_ledger_is_back()

    async def _settle_all(self, consumer: Consumer) -> None:
        """Settle what comes; raises LedgerAwayError where it is away for so long that others should try."""
        while True:
            batch = await self._intake.next_batch(consumer)
            batch_bytes = size_of(batch)
            await self._settle(batch)
            self._intake.settled(consumer, batch_bytes)

    async def _until_ledger_is_back(self) -> None:
        while True:
            try:
                return await self._ledger.touch()
            except LedgerAwayError:
                await asyncio.sleep(RETRY_SECONDS)

    async def _settle(self, deliveries: Sequence[Delivery]) -> None:
        reads = [self._read(delivery) for delivery in deliveries if delivery.is_alive]
        markers = [read.message.marker for read in reads if read.message is not None and read.message.marker]
        if markers:  # of use to a Commander that has the ledger: only it can end a lease
            await self._once_durable(self._ledger.touch)
        defects = await self._record([read for read in reads if read.accepted])
        defects |= await self._apply([read.message for read in reads if read.message is not None])
        for read in reads:
            defect = defects.get(id(read.message))
            if read.why:
                self._counts.add(metrics.REPORTS_DROPPED, Dropped.MALFORMED.value)
                self._rejects.keep(read.delivery, topology.STATUS, read.defect, read.why)
            elif defect is not None:
                self._rejects.keep(read.delivery, topology.STATUS, Defect.UNUSABLE, defect)
            else:
                read.delivery.ack()
        for marker in markers:
            self._on_marker(marker)

    def _read(self, delivery: Delivery) -> _Read:
        try:
            message, why = messages.decode_status(delivery.body)
            accepted = [self._late_records.read(one) for one in message.accepted]
        except UnreadableMessageError as error:
            return _Read(delivery, None, str(error), error.defect)
        return _Read(delivery, message, why, accepted=accepted)

    async def _record(self, reads: Sequence[_Read]) -> dict[int, str]:
        """Record what was accepted while the ledger was away; gives what went wrong, as `_apply` does."""
        accepted = [(read, one) for read in reads for one in read.accepted]
        outcomes = await self._once_durable(lambda: self._late_records.record_all([one for _, one in accepted]))
        return {
            id(read.message): f"a mission in it cannot be recorded: {outcome!r}"
            for (read, _), outcome in zip(accepted, outcomes, strict=True)
            if outcome is not None
        }

    async def _apply(self, status: Sequence[messages.StatusMessage]) -> dict[int, str]:
        """Commit all reports; while the ledger is away they stay in their queue, unacknowledged, for any Commander.

        Gives what went wrong, by the message (its `id()`), where a report could not even be judged.
        """
        asked = [(one, report) for one in status for report in one.reports]
        answers = await self._once_durable(lambda: self._decided([(one.instance, report) for one, report in asked]))
        self._count(answers)
        return {
            id(one): f"a report in it cannot be applied: {answer!r}"
            for (one, _), answer in zip(asked, answers, strict=True)
            if isinstance(answer, BaseException)
        }

    def _count(self, answers: Sequence[_Answer | BaseException]) -> None:
        applied = ((answer.value,) for answer in answers if isinstance(answer, messages.ReportKind))
        dropped = (_cause(answer) for answer in answers if not isinstance(answer, messages.ReportKind))
        self._counts.add_each(metrics.REPORTS, applied)
        self._counts.add_each(metrics.REPORTS_DROPPED, ((cause.value,) for cause in dropped))

    async def _once_durable(self, deed: Callable[[], Awaitable[T]]) -> T:
        """Try until the ledger takes it. Raises LedgerAwayError where that lasts so long that others should try."""
        gives_way_at = time.monotonic() + GIVE_WAY_SECONDS
        while True:
            try:
                return await deed()
            except LedgerAwayError:
                if time.monotonic() > gives_way_at:
                    raise
                await asyncio.sleep(RETRY_SECONDS)

    async def _decided(self, said: Sequence[_Said]) -> Sequence[_Answer | BaseException]:
        genuine = [place for place, one in enumerate(said) if self._is_genuine(*one)]
        if len(genuine) < len(said):
            self._log.warning("reports change nothing", why=Dropped.WRONG_SECRET.value, count=len(said) - len(genuine))
        answers: list[_Answer | BaseException] = [Dropped.WRONG_SECRET] * len(said)
        first: list[Command[_Answer]] = [self._command(*said[place]) for place in genuine]
        decided = await self._recorder.decide_each(first)
        for place, judged in zip(genuine, decided, strict=True):
            answers[place] = judged
        lacking = [place for place, answer in enumerate(answers) if answer is _LACKING]
        if lacking:
            for place in lacking:
                answers[place] = Dropped.UNPROVEN
            lacking = [place for place in lacking if self._is_proven(said[place][1])]
            accepted_at = {said[place][1].mission_id: said[place][1].envelope.accepted_at for place in lacking}
            purged = await self._tombstones.purged(accepted_at)
            again: list[Command[_Answer]] = [self._command(*said[place], purged=purged) for place in lacking]
            rebuilt = await self._recorder.decide_each(again)
            for place, answer in zip(lacking, rebuilt, strict=True):
                answers[place] = answer
        return answers

    def _is_proven(self, report: messages.Report) -> bool:
        """Its secret proves its epoch; only a seal proves what the mission is."""
        return self._proofs.accept_envelope(report.envelope, report.envelope_seal, Way.REPORT)

    def _is_genuine(self, instance: m.Instance, report: messages.Report) -> bool:
        """Whether it comes from who holds the claim; anything else costs no look at the ledger."""
        is_right = self._secrets.fits(report.secret, report.mission_id, report.epoch, instance)
        return is_right and report.envelope.mission_id == report.mission_id

    def _command(
        self, instance: m.Instance, report: messages.Report, *, purged: frozenset[m.MissionId] | None = None
    ) -> Command[_Answer]:
        """Judge a genuine report. If the ledger lacks its mission: ask why first, then, by `purged`, rebuild it."""
        self._eras.learn(m.era_of(report.epoch))
        known = self._recorder.known(report.mission_id)
        chance = random.random()  # noqa: S311  # spreads retries, guards nothing

        def decide(mission: "Mission | None", moment: Moment) -> "Decision[_Answer]":
            if mission is None and purged is None:
                return Decision(_LACKING)
            if mission is None and purged is not None and report.mission_id in purged:
                return self._dropped(report, Dropped.PURGED)
            applied = life.report(
                mission or rebuilding.from_report(report, instance, moment), report, instance, moment, chance=chance
            )
            if isinstance(applied, Refused):
                return self._dropped(report, _CAUSES[applied.why])
            is_ahead = mission is None or report.epoch > mission.epoch
            is_loss = is_ahead and m.era_of(report.epoch) >= moment.era
            return Decision(report.kind, applied, shows_loss=is_loss, rebuilds=True)

        is_ahead = known is not None and known.epoch < report.epoch
        weight = len(bytes(report.result)) if report.result is not None else 0
        accepted_at = report.envelope.accepted_at
        return Command(report.mission_id, decide, fresh=is_ahead, weight=weight, accepted_at=accepted_at)

    def _dropped(self, report: messages.Report, why: Dropped) -> Decision[_Answer]:
        if why is not Dropped.FINAL:
            fields = {telemetry.MISSION_ID: report.mission_id, telemetry.EPOCH: report.epoch}
            self._log.warning("a report changes nothing", why=why.value, kind=report.kind.value, **fields)
        return Decision(why)


def _cause(answer: _Answer | BaseException) -> Dropped:
    return answer if isinstance(answer, Dropped) else Dropped.DEFECT
