"""A Commander in memory, for tests of the runtime: it grants, spends and closes claims as the real one says it does."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from mission_contracts import messages
from mission_contracts.envelope import Envelope
from mission_contracts.messages import Order, Report, ReportKind, StatusMessage
from mission_contracts.mission import Epoch, Era, Instance, MissionId
from mission_contracts.soldiering import (
    Claim,
    ClaimAnswer,
    DropReason,
    Heartbeat,
    HeartbeatAnswer,
    Held,
    Registered,
    Registration,
    Verdict,
)
from mission_soldier.book import Key
from mission_soldier.commander import CommanderAwayError, UnknownSoldierError

ERA: Final = Era(1)

Judge = Callable[[Claim], ClaimAnswer | None]


@dataclass(kw_only=True)
class Granted:
    """A claim that was told RUN."""

    instance: Instance
    is_open: bool = True


@dataclass(kw_only=True)
class FakeCommander:
    """One ledger's worth of claims. Set the public fields to make trouble; read them to see what happened."""

    heartbeat_seconds: float = 0.02
    lease_seconds: float = 1.0
    timeout_seconds: float = 60.0
    era: Era = ERA
    judge: Judge = field(default=lambda _claim: None)
    """Overrules the verdict on a claim, where it gives one."""
    is_away: bool = False
    forgets_soldiers: bool = False
    answers_to_lose: int = 0
    """So many claim requests are carried out, and their answers lost."""
    solo: bool = False

    registrations: list[Registration] = field(default_factory=list)
    requests: list[tuple[Claim, ...]] = field(default_factory=list)
    beats: list[Heartbeat] = field(default_factory=list)
    granted: dict[Key, Granted] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    applied: set[Key] = field(default_factory=set)
    cancels: set[Key] = field(default_factory=set)
    drops: set[Key] = field(default_factory=set)
    unknown: set[MissionId] = field(default_factory=set)
    lost: set[Key] = field(default_factory=set)
    """Reports that its ledger lost, and that it asks for again once they are listed as reported."""
    take_nothing: bool = False
    unheard_goodbyes: int = 0
    withholds_applied: bool = False
    """No answer says that a report is applied."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    async def register(self, registration: Registration) -> Registered:
        self._require_presence()
        self.forgets_soldiers = False
        self.registrations.append(registration)
        return Registered(heartbeat_seconds=self.heartbeat_seconds, lease_seconds=self.lease_seconds, era=self.era)

    async def claim(self, instance: Instance, claims: Sequence[Claim]) -> Sequence[ClaimAnswer]:
        self._require_presence()
        self._require_acquaintance()
        self.requests.append(tuple(claims))
        answers = [self._verdict(instance, claim) for claim in claims]
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            raise CommanderAwayError("the answer was lost on the way")
        return answers

    def beat(self, _instance: Instance, heartbeat: Heartbeat) -> HeartbeatAnswer:
        self.unheard_goodbyes += self.is_away and heartbeat.left
        self._require_presence()
        self._require_acquaintance()
        with self._lock:
            self.beats.append(heartbeat)
            held = {(hold.mission_id, hold.epoch) for hold in heartbeat.held}
            return HeartbeatAnswer(
                now=float(heartbeat.beat),
                era=self.era,
                cancels=_listed(self.cancels & held),
                drops=_listed(self.drops & held),
                applied=() if self.withholds_applied else _listed(self.applied & held),
                unknown=tuple(self.unknown),
                report_again=_listed(self.lost & held),
                take_nothing=self.take_nothing,
            )

    def read_status(self, body: bytes) -> None:
        """Apply one message of `missions.status`."""
        for report in messages.decode(body, StatusMessage).reports:
            self.reports.append(report)
            if report.kind is not ReportKind.PROGRESS:
                self._close(report)

    def lose_report(self, key: Key) -> None:
        """Lose a report that was applied: its claim is open again."""
        with self._lock:
            self.applied.discard(key)
            self.lost.add(key)

    def outcomes_of(self, mission_id: str) -> list[Report]:
        """The final reports on a mission, in order of arrival."""
        return [r for r in self.reports if r.mission_id == mission_id and r.kind is not ReportKind.PROGRESS]

    def _verdict(self, instance: Instance, claim: Claim) -> ClaimAnswer:
        overruled = self.judge(claim)
        if overruled is not None:
            return overruled
        if not claim.has_handler:
            return ClaimAnswer(verdict=Verdict.DROP, drop=DropReason.NO_HANDLER)
        earlier = self.granted.get((claim.mission_id, claim.epoch))
        if earlier is not None and not (earlier.is_open and earlier.instance == instance):
            return ClaimAnswer(verdict=Verdict.DROP, drop=DropReason.SPENT)
        self.granted[claim.mission_id, claim.epoch] = Granted(instance=instance)
        return self.run_answer(claim)

    def run_answer(self, claim: Claim) -> ClaimAnswer:
        return ClaimAnswer(
            verdict=Verdict.RUN,
            secret=f"secret of {claim.mission_id}/{claim.epoch}",
            attempt=1,
            timeout_seconds=self.timeout_seconds,
            solo=self.solo,
        )

    def _close(self, report: Report) -> None:
        key = (report.mission_id, report.epoch)
        if key in self.granted:
            self.granted[key].is_open = False
        with self._lock:
            self.applied.add(key)
            self.lost.discard(key)

    def _require_presence(self) -> None:
        if self.is_away:
            raise CommanderAwayError("the Commander is away, as the test wants it")

    def _require_acquaintance(self) -> None:
        if self.forgets_soldiers:
            raise UnknownSoldierError("this Commander has forgotten its soldiers, as the test wants it")


def an_order(
    mission_type: str = "noop",
    *,
    mission_id: str = "mission-1",
    epoch: int = 1,
    payload: bytes = b"{}",
    envelope: Envelope | None = None,
) -> Order:
    """Build an order as the outbox would."""
    known = envelope or Envelope(
        mission_id=MissionId(mission_id), namespace="default", pool="default", type=mission_type, accepted_at=1.0
    )
    return Order(v=messages.VERSION, era=ERA, epoch=Epoch(epoch), envelope=known, payload=msgspec.Raw(payload))


def _listed(keys: set[Key]) -> tuple[Held, ...]:
    return tuple(Held(mission_id=mission_id, epoch=epoch) for mission_id, epoch in keys)
