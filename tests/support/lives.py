"""A Commander whose test decides what it has heard of, and the missions of one key: first one life, then another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support.commander_stage import LEASE_SECONDS, SOLDIER, Stage, a_pool, a_soldier, running, sealed

from mission_broker.memory_server import MemoryServer
from mission_commander.domain import life
from mission_commander.domain.record import Mission
from mission_commander.domain.retention import MAX_CLOCK_SKEW_SECONDS
from mission_commander.ports import Ledger
from mission_commander.services.auditing import Auditor
from mission_commander.services.claims import Claims
from mission_commander.services.heartbeats import Heartbeats
from mission_commander.services.outbox import Outbox
from mission_commander.services.submission import Accepted, Request
from mission_contracts import messages, topology
from mission_contracts.messages import Report, ReportKind
from mission_contracts.mission import Instance, era_of
from mission_contracts.rest import Submission
from mission_contracts.soldiering import Claim, ClaimAnswer, Heartbeat, HeartbeatAnswer, Hold
from mission_contracts.testing import FakeClock, a_report, an_order

WEEKLY = "the report of this week"


class Commander(Stage):
    """One of several Commanders on a ledger; the test decides what it has heard of."""

    def __init__(self, ledger: Ledger, clock: FakeClock, server: MemoryServer) -> None:
        super().__init__(clock=clock, server=server, ledger=ledger)
        self.submitter = self.a_submitter()
        self.claims = Claims(
            self.recorder,
            self.tombstones,
            self.secrets,
            self.eras,
            self.proofs,
            known_types=lambda _: (),
            is_paused=lambda _: False,
            counts=self.counts,
        )
        self.heartbeats = Heartbeats(
            self.garrison,
            self.memory,
            self.recorder,
            self.ledger,
            self.secrets,
            self.tombstones,
            self.eras,
            self.proofs,
            self.clock,
            lease_seconds=LEASE_SECONDS,
            is_away=lambda: self.is_known_to_be_away,
            on_unheard=lambda _: None,
            counts=self.counts,
        )
        self.beats = 0

    @asynccontextmanager
    async def serving(self, *services: Any) -> AsyncIterator[None]:
        await self.garrison.declare(a_pool())
        await self.garrison.register(a_soldier())
        await self.broker.declare(topology.FIXED_QUEUES)
        async with running(self.recorder.run, *services):
            yield

    async def submit(self, key: str = WEEKLY, **payload: Any) -> Accepted:
        request = Request(
            submission=Submission(type="noop", payload=payload), subject="anna", idempotency_key=key, trace_id="t-1"
        )
        [answer] = await self.submitter.submit_all([request])
        assert isinstance(answer, Accepted), answer
        return answer

    async def claim_by(self, mission: Mission, instance: Instance = SOLDIER) -> ClaimAnswer:
        [answer] = await self.claims.answer_all(instance, [claim_of(mission)])
        return answer

    async def complete(self, mission: Mission) -> Mission:
        """Run a mission to its end, through the recorder."""
        claimed = await self.claim(mission)
        return await self.move(claimed, lambda found, moment: completed(found, self, moment))

    async def stored(self, mission: Mission) -> Mission | None:
        [found] = await self.ledger.fetch([mission.id])
        return found.mission if found else None

    async def shown(self, mission: Mission) -> Mission | None:
        """What a GET answers: memory first, then the ledger."""
        return self.memory.get(mission.id) or await self.stored(mission)

    async def purge(self) -> int:
        """As the purger does at this time."""
        self.memory.forget_ended(self.clock.now())
        kept = self.memory.retention.seconds + MAX_CLOCK_SKEW_SECONDS
        return await self.ledger.purge(self.clock.now() - kept, 100)

    async def beat(self, *held: Hold) -> HeartbeatAnswer:
        self.beats += 1
        said = Heartbeat(beat=self.beats, after=0, era=self.recorder.era, held=held, unclaimed=(), slots=4, taking=True)
        return await self.heartbeats.answer(SOLDIER, said)

    def hold(self, mission: Mission, **fields: Any) -> Hold:
        secret = self.secrets.of(mission.id, mission.epoch, SOLDIER)
        return Hold(mission_id=mission.id, epoch=mission.epoch, secret=secret, **fields)

    def told(self, mission: Mission) -> Hold:
        """A hold with its envelope, as a soldier lists it where it was asked for that."""
        envelope = mission.envelope
        return self.hold(mission, envelope=envelope, envelope_seal=self.order_seals.of_envelope(envelope))

    def auditor(self) -> Auditor:
        outbox = Outbox(self.ledger, self.broker, self.memory, self.order_seals)
        return Auditor(
            self.ledger,
            self.memory,
            self.recorder,
            self.eras,
            self.garrison,
            outbox,
            self.clock,
            namespace="default",
            ready=lambda _: None,
            is_on_duty=lambda: True,
        )

    async def restores(self) -> None:
        """Notice a loss and restore, until the ledger has all that is known here."""
        self.eras._note_loss(self.recorder.era)
        await self.a_restorer().look()


def completed(mission: Mission, commander: Stage, moment: life.Moment) -> Mission:
    report = a_report(mission.envelope, ReportKind.COMPLETED, epoch=mission.epoch, secrets=commander.secrets)
    ended = life.report(mission, report, SOLDIER, moment, chance=0)
    assert isinstance(ended, Mission)
    return ended


def claim_of(mission: Mission, **fields: Any) -> Claim:
    told = {"epoch": mission.epoch, "accepted_at": mission.envelope.accepted_at} | fields
    return Claim(mission_id=mission.id, era=era_of(mission.epoch), **told)


def order_of(mission: Mission) -> messages.Order:
    return sealed(an_order(mission.envelope, epoch=mission.epoch, payload=b'{"week":2}'))


def report_on(commander: Commander, mission: Mission) -> Report:
    return a_report(
        mission.envelope,
        ReportKind.COMPLETED,
        epoch=mission.epoch,
        secrets=commander.secrets,
        seals=commander.order_seals,
    )
