"""Trying final missions again: each retry is a new mission, and asking twice makes it once."""

from collections.abc import Callable, Sequence

import msgspec

from mission_commander.domain import lane, life
from mission_commander.domain.life import Moment, Surroundings
from mission_commander.domain.record import Mission
from mission_commander.ports import Ledger
from mission_commander.services.quotas import Quotas
from mission_commander.services.recorder import Command, Decision, Newcomer, Recorder
from mission_commander.services.submission import RefusedError, quota_reached
from mission_contracts.clock import Clock
from mission_contracts.envelope import Door, Envelope
from mission_contracts.install_key import MissionIds
from mission_contracts.mission import MissionId

_Answer = Mission | RefusedError


class Retrier:
    """Makes the new missions, and notes at the old ones which they are.

    The new one is durable first, under an id that follows from the old one's: whatever breaks between the two steps,
    the same retry gives the same mission.
    """

    def __init__(
        self,
        recorder: Recorder,
        ledger: Ledger,
        ids: MissionIds,
        clock: Clock,
        around: Callable[[Envelope], Surroundings],
        quotas: Quotas,
    ) -> None:
        self._recorder = recorder
        self._ledger = ledger
        self._ids = ids
        self._clock = clock
        self._around = around
        self._quotas = quotas

    async def retry_all(self, missions: Sequence[Mission], *, trace_id: str) -> Sequence[Mission | RefusedError]:
        """Give the new mission of each, or why there is none, in order. Raises LedgerAwayError."""
        payloads = await self._ledger.payloads([mission.id for mission in missions])
        commands = [
            self._command(mission, payload, trace_id) for mission, payload in zip(missions, payloads, strict=True)
        ]
        made = iter(await self._recorder.decide_all([one for one in commands if isinstance(one, Command)]))
        answers = [next(made) if isinstance(one, Command) else one for one in commands]
        await self._recorder.decide_all(
            _note(old, new.id) for old, new in zip(missions, answers, strict=True) if isinstance(new, Mission)
        )
        return answers

    def _command(self, mission: Mission, payload: bytes | None, trace_id: str) -> Command[_Answer] | RefusedError:
        if not mission.is_final:
            why = f"the mission is {mission.state.value}: only a final one can be tried again; wait for its end"
            return RefusedError("NotFinal", why, status=409)
        if not payload:
            why = "the ledger no longer has this mission's payload, so nobody can run it again: submit it anew"
            return RefusedError("PayloadLost", why, status=409)
        envelope = self._envelope(mission, trace_id)
        known = self._recorder.known(envelope.mission_id, envelope.accepted_at)
        if known is None and not self._quotas.has_room(envelope.subject):
            return quota_reached(self._quotas)
        around = self._around

        def decide(known: Mission | None, moment: Moment) -> Decision[_Answer]:
            if known is not None:
                return Decision(known)
            new = life.accept(envelope, moment, around(envelope))
            return Decision(new, new, payload, worded=lambda recorded: recorded)

        def object_to(objection: lane.Objection, _: Moment) -> Decision[_Answer]:
            return Decision(RefusedError("LaneMixed", str(objection), status=409))

        newcomer = Newcomer(envelope, object_to) if envelope.ordering_key is not None else None
        return Command(envelope.mission_id, decide, newcomer=newcomer, accepted_at=envelope.accepted_at)

    def _envelope(self, mission: Mission, trace_id: str) -> Envelope:
        """The same work for the same people. An object of its own it has none, so it lives in the ledger only."""
        return msgspec.structs.replace(
            mission.envelope,
            mission_id=mission.retried_as or self._ids.of_retry(mission.id, mission.envelope.accepted_at),
            accepted_at=self._clock.now(),
            door=Door.REST,
            start_after=None,
            retry_of=mission.id,
            trace_id=trace_id,
        )


def _note(old: Mission, new: MissionId) -> Command[None]:
    def decide(mission: Mission | None, moment: Moment) -> Decision[None]:
        if mission is None or mission.envelope.accepted_at != old.envelope.accepted_at:
            return Decision(None)  # purged meanwhile, and its id may be another mission's
        return Decision(None, life.retried(mission, new, moment))

    return Command(old.id, decide)
