"""Answering heartbeats: what an instance should know of the things in its hands."""

import math
from collections.abc import Callable, Collection, Sequence

import msgspec
import structlog

from mission_commander.domain import life
from mission_commander.domain.life import Moment
from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Mission, Phase
from mission_commander.domain.unapplied import Unapplied
from mission_commander.ports import Ledger, LedgerAwayError
from mission_commander.services import rebuilding
from mission_commander.services.counts import Counts
from mission_commander.services.eras import Eras
from mission_commander.services.garrison import Garrison
from mission_commander.services.proofs import Proofs, Way
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_commander.services.tombstones import Tombstones
from mission_contracts import metrics, telemetry
from mission_contracts import mission as m
from mission_contracts.clock import Clock
from mission_contracts.install_key import ClaimSecrets
from mission_contracts.messages import Heard
from mission_contracts.soldiering import Beat, Heartbeat, HeartbeatAnswer, Held, Hold


class UnknownSoldierError(Exception):
    """The instance has to register (again)."""


class Heartbeats:
    """Keeps leases and tells instances what became of their claims."""

    def __init__(
        self,
        garrison: Garrison,
        memory: MissionMemory,
        recorder: Recorder,
        ledger: Ledger,
        secrets: ClaimSecrets,
        tombstones: Tombstones,
        eras: Eras,
        proofs: Proofs,
        clock: Clock,
        *,
        lease_seconds: float,
        is_away: Callable[[], bool],
        on_unheard: Callable[[Heard], None],
        counts: Counts,
    ) -> None:
        """`is_away` tells whether the ledger is known to be away: a soldier does not wait to be told so.

        `on_unheard` is called with each beat that the ledger could not be told of.
        """
        self._garrison = garrison
        self._memory = memory
        self._recorder = recorder
        self._ledger = ledger
        self._secrets = secrets
        self._tombstones = tombstones
        self._eras = eras
        self._proofs = proofs
        self._clock = clock
        self._is_away = is_away
        self._on_unheard = on_unheard
        self._unapplied = Unapplied(lease_seconds=lease_seconds)
        self._counts = counts
        self._log = structlog.get_logger("heartbeats")

    async def answer(self, instance: m.Instance, heartbeat: Heartbeat) -> HeartbeatAnswer:
        """Note the beat, and answer it; from memory while the ledger is away.

        A hold without its claim's secret is dead, whatever mission it names: neither its lease nor its answer says
        whether there is such a mission. Raises UnknownSoldierError, and LedgerAwayError where memory does not know the
        soldier either.
        """
        genuine = tuple(hold for hold in heartbeat.held if self._is_genuine(instance, hold))
        if len(genuine) == len(heartbeat.held):
            return await self._answer_somehow(instance, heartbeat)
        kept = {(hold.mission_id, hold.epoch) for hold in genuine}
        made_up = tuple(_held(hold) for hold in heartbeat.held if (hold.mission_id, hold.epoch) not in kept)
        answer = await self._answer_somehow(instance, msgspec.structs.replace(heartbeat, held=genuine))
        return msgspec.structs.replace(answer, drops=(*answer.drops, *made_up))

    def _is_genuine(self, instance: m.Instance, hold: Hold) -> bool:
        return self._secrets.fits(hold.secret, hold.mission_id, hold.epoch, instance)

    async def _answer_somehow(self, instance: m.Instance, heartbeat: Heartbeat) -> HeartbeatAnswer:
        if self._is_away():
            return self._answer_without_ledger(instance, heartbeat, "the ledger is away")
        try:
            return await self._answer_with_ledger(instance, heartbeat)
        except LedgerAwayError as error:
            return self._answer_without_ledger(instance, heartbeat, str(error))

    async def _answer_with_ledger(self, instance: m.Instance, heartbeat: Heartbeat) -> HeartbeatAnswer:
        if not await self._garrison.beat(instance, Beat.of(heartbeat)):
            raise UnknownSoldierError(f"soldier {instance} is not registered")
        self._eras.saw(heartbeat.era, by=self._pool_of(instance))
        unknown, purged = await self._settle_unknown(instance, heartbeat.held)
        await self._settle_lost(instance, heartbeat.held)
        answer = self._answer(instance, heartbeat.held, purged)
        again = self._report_again(instance, heartbeat.held)
        return msgspec.structs.replace(
            answer, unknown=unknown, report_again=again, take_nothing=self._shall_retire(instance)
        )

    def _answer_without_ledger(self, instance: m.Instance, heartbeat: Heartbeat, why: str) -> HeartbeatAnswer:
        """Nobody's lease ends meanwhile: the reaper cannot look either, or is told of the beat by this Commander."""
        beat = Beat.of(heartbeat)
        if not self._garrison.beat_without_ledger(instance, beat):
            raise LedgerAwayError(f"{why}, and this Commander does not know soldier {instance}")
        self._on_unheard(Heard(instance=instance, beat=beat))
        self._eras.saw(heartbeat.era, by=self._pool_of(instance))
        self._unapplied.start_anew(instance)
        answer = self._answer(instance, heartbeat.held, ())
        return msgspec.structs.replace(answer, take_nothing=self._shall_retire(instance))

    def _answer(self, instance: m.Instance, held: Sequence[Hold], purged: Collection[m.MissionId]) -> HeartbeatAnswer:
        known = [(hold, mission) for hold in held if (mission := self._of(hold)) is not None]
        mine = [(hold, mission) for hold, mission in known if _holds(mission, hold, instance)]
        over = [hold for hold, mission in known if _is_over(mission, hold, instance)]
        over += [hold for hold in held if hold.mission_id in purged]
        return HeartbeatAnswer(
            now=self._clock.now(),
            era=self._recorder.era,
            cancels=tuple(_held(hold) for hold, mission in mine if mission.cancel_requested_at and not hold.reported),
            drops=tuple(_held(hold) for hold in over if not hold.reported),
            applied=tuple(_held(hold) for hold in over if hold.reported),
        )

    def _report_again(self, instance: m.Instance, held: Sequence[Hold]) -> tuple[Held, ...]:
        """Ask for reports that a lease was not enough to apply: a ledger that went back may have lost them."""
        reported = ((hold.mission_id, hold.epoch) for hold in held if hold.reported and self._is_open(hold, instance))
        overdue = self._unapplied.look(instance, reported, self._clock.monotonic())
        if self._unapplied.instances > len(self._garrison.soldiers()):
            self._unapplied.keep(self._garrison.soldiers())
        for mission_id, epoch in overdue:
            fields = {telemetry.MISSION_ID: mission_id, telemetry.EPOCH: epoch, telemetry.INSTANCE: instance}
            self._log.warning("a report did not arrive within a lease: its soldier is asked for it again", **fields)
        self._counts.add(metrics.REPORTS_ASKED_AGAIN, times=len(overdue))
        return tuple(Held(mission_id=mission_id, epoch=epoch) for mission_id, epoch in overdue)

    def _is_open(self, hold: Hold, instance: m.Instance) -> bool:
        mission = self._of(hold)
        return mission is not None and _holds(mission, hold, instance)

    def _of(self, hold: Hold) -> Mission | None:
        """What memory has of a hold's mission. A final record with a lower epoch may be of an earlier life of its id,
        which only the hold's envelope tells."""
        known = self._memory.get(hold.mission_id)
        if known is None or not known.is_final or hold.epoch <= known.epoch:
            return known
        return None if self._memory.retention.has_freed_id(known, _accepted_at(hold)) else known

    def _pool_of(self, instance: m.Instance) -> str:
        """Whose soldiers a word comes from: they may have many names, and have one token."""
        seen = self._garrison.soldier(instance)
        return "/".join(seen.pool) if seen else ""

    def _shall_retire(self, instance: m.Instance) -> bool:
        seen = self._garrison.soldier(instance)
        pool = self._garrison.pool(seen.pool) if seen else None
        return bool(seen and pool and seen.registration.pod and seen.registration.pod in pool.retire)

    async def _settle_unknown(
        self, instance: m.Instance, held: Sequence[Hold]
    ) -> tuple[tuple[m.MissionId, ...], frozenset[m.MissionId]]:
        """Recall from the ledger, or rebuild from the envelope, what memory lacks.

        Gives what needs its envelope, and what was purged because it ended long ago.
        """
        lacking = [hold for hold in held if self._of(hold) is None]
        if not lacking:
            return (), frozenset()
        await self._recall([hold.mission_id for hold in lacking])
        lost = [hold for hold in lacking if self._of(hold) is None]
        purged = await self._tombstones.purged({hold.mission_id: _accepted_at(hold) for hold in lost})
        lost = [hold for hold in lost if hold.mission_id not in purged]
        await self._decide(instance, [hold for hold in lost if self._is_proven(hold)], _rebuild)
        return tuple(hold.mission_id for hold in lost if hold.envelope is None), purged

    def _is_proven(self, hold: Hold) -> bool:
        """Its secret proves its epoch; only a seal proves what the mission is."""
        envelope = hold.envelope
        return envelope is not None and self._proofs.accept_envelope(envelope, hold.envelope_seal, Way.HEARTBEAT)

    async def _settle_lost(self, instance: m.Instance, held: Sequence[Hold]) -> None:
        """A claim that memory has not heard of was granted by another Commander just now, or the ledger lost it."""
        known = [(hold, self._of(hold)) for hold in held]
        unheard = [hold for hold, mission in known if mission is not None and _is_unheard(mission, hold)]
        if unheard:
            await self._decide(instance, unheard, _prove)

    async def _recall(self, ids: Sequence[m.MissionId]) -> None:
        for mission in await self._ledger.records(ids):
            if mission is not None:
                self._memory.apply(mission)

    async def _decide(
        self, instance: m.Instance, holds: Sequence[Hold], command: Callable[[m.Instance, Hold], Command[None]]
    ) -> None:
        for hold in holds:
            self._eras.learn(m.era_of(hold.epoch))
        try:
            await self._recorder.decide_each([command(instance, hold) for hold in holds])
        except LedgerAwayError:
            return  # the next beat tries again


def _rebuild(instance: m.Instance, hold: Hold) -> Command[None]:
    def decide(mission: Mission | None, moment: Moment) -> Decision[None]:
        if mission is not None or hold.envelope is None or hold.envelope.mission_id != hold.mission_id:
            return Decision(None)
        rebuilt = rebuilding.from_hold(hold, hold.envelope, instance, moment)
        return Decision(None, rebuilt, shows_loss=m.era_of(hold.epoch) >= moment.era, rebuilds=True)

    return Command(hold.mission_id, decide, accepted_at=_accepted_at(hold))


def _prove(instance: m.Instance, hold: Hold) -> Command[None]:
    def decide(mission: Mission | None, moment: Moment) -> Decision[None]:
        proven = life.prove_claim(mission, hold.epoch, instance, moment) if mission else None
        is_loss = proven is not None and m.era_of(hold.epoch) >= moment.era
        return Decision(None, proven, shows_loss=is_loss)

    return Command(hold.mission_id, decide, fresh=True)


def _accepted_at(hold: Hold) -> float:
    """When it was accepted; never too long ago while that is not known."""
    return hold.envelope.accepted_at if hold.envelope else math.inf


def _is_unheard(mission: Mission, hold: Hold) -> bool:
    if mission.is_final:
        return False
    return mission.epoch < hold.epoch or (mission.epoch == hold.epoch and mission.phase is Phase.OUT)


def _holds(mission: Mission, hold: Hold, instance: m.Instance) -> bool:
    return mission.phase is Phase.CLAIMED and mission.epoch == hold.epoch and mission.holder == instance


def _is_over(mission: Mission, hold: Hold, instance: m.Instance) -> bool:
    """Tell whether the claim is dead for certain.

    Another Commander may have granted it so lately that this one still has the mission as out, or in an earlier
    epoch: what is not known to be dead lives.
    """
    if mission.is_final or mission.epoch > hold.epoch:
        return True
    if mission.epoch < hold.epoch or mission.phase is Phase.OUT:
        return False
    return mission.phase is Phase.WAITING or mission.holder != instance


def _held(hold: Hold) -> Held:
    return Held(mission_id=hold.mission_id, epoch=hold.epoch)
