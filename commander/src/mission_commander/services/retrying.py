"""Trying final missions again: each retry is a new mission, and asking twice makes it once."""

from collections.abc import Callable, Sequence

import msgspec

from mission_commander.domain import lane, life
from mission_commander.domain.life import Moment, Surroundings
from mission_commander.domain.owners import RETRY_PAYLOAD_BYTES, drops_payload
from mission_commander.domain.record import Mission
from mission_commander.ports import Ledger, LedgerFullError
from mission_commander.services.admission import Admission, Refusal, Ticket
from mission_commander.services.recorder import Command, Decide, Decision, Newcomer, Recorder
from mission_commander.services.submission import RefusedError, refused
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
        admission: Admission,
    ) -> None:
        self._recorder = recorder
        self._ledger = ledger
        self._ids = ids
        self._clock = clock
        self._around = around
        self._admission = admission

    async def retry_all(self, missions: Sequence[Mission], *, trace_id: str) -> Sequence[Mission | RefusedError]:
        """Give the new mission of each, or why there is none, in order. Raises LedgerAwayError."""
        payloads = await self._ledger.payloads([mission.id for mission in missions])
        envelopes = [self._envelope(mission, trace_id) for mission in missions]
        await self._admission.freshen(envelopes)
        tickets: list[Ticket] = []
        made: Sequence[Mission | RefusedError | BaseException] = ()
        try:
            commands = [
                self._command(old, envelope, payload, tickets)
                for old, envelope, payload in zip(missions, envelopes, payloads, strict=True)
            ]
            asked: list[Command[_Answer]] = [one for one in commands if isinstance(one, Command)]
            decided = await self._recorder.decide_what_can_be(asked)
            made = decided
        finally:
            for ticket in tickets:
                self._admission.release(ticket, is_recorded=bool(made))
        answer = iter(made)
        answers = [self._answer(next(answer)) if isinstance(one, Command) else one for one in commands]
        await self._recorder.decide_all(
            _note(old, new.id) for old, new in zip(missions, answers, strict=True) if isinstance(new, Mission)
        )
        return answers

    def _answer(self, made: Mission | RefusedError | BaseException) -> Mission | RefusedError:
        if isinstance(made, LedgerFullError):
            return refused(self._admission.full())
        if isinstance(made, Mission | RefusedError):
            return made
        raise made

    def _command(
        self, mission: Mission, envelope: Envelope, payload: bytes | None, tickets: list[Ticket]
    ) -> Command[_Answer] | RefusedError:
        if not mission.is_final:
            why = f"the mission is {mission.state.value}: only a final one can be tried again; wait for its end"
            return RefusedError("NotFinal", why, status=409)
        if not payload:
            return Command(envelope.mission_id, _only_if_made_before(mission), accepted_at=envelope.accepted_at)
        is_new = self._recorder.known(envelope.mission_id, envelope.accepted_at) is None
        if is_new:
            ticket = self._admission.take(envelope, payload)
            if isinstance(ticket, Refusal):
                return refused(ticket)
            tickets.append(ticket)
        around = self._around

        def decide(known: Mission | None, moment: Moment) -> Decision[_Answer]:
            if known is not None:
                return Decision(known)
            new = life.accept(envelope, moment, around(envelope))
            return Decision(new, new, payload, worded=lambda recorded: recorded)

        def object_to(objection: lane.Objection, _: Moment) -> Decision[_Answer]:
            return Decision(RefusedError("LaneMixed", str(objection), status=409))

        newcomer = Newcomer(envelope, object_to) if envelope.ordering_key is not None else None
        return Command(
            envelope.mission_id,
            decide,
            newcomer=newcomer,
            weight=len(payload),
            accepted_at=envelope.accepted_at,
            admits=is_new,
        )

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


def _only_if_made_before(old: Mission) -> Decide[_Answer]:
    """The same retry gives the same mission, also where nothing is left to make it of."""

    def decide(known: Mission | None, _: Moment) -> Decision[_Answer]:
        return Decision(known if known is not None else _payload_is_gone(old))

    return decide


def _payload_is_gone(old: Mission) -> RefusedError:
    if drops_payload(old):
        why = (
            f"this mission's payload of {old.payload_bytes} bytes was dropped at its end: only payloads of up to "
            f"{RETRY_PAYLOAD_BYTES} bytes, and those of dead letters, are kept for a retry; submit it again"
        )
        return RefusedError("PayloadDropped", why, status=409)
    why = "the ledger no longer has this mission's payload, so nobody can run it again: submit it anew"
    return RefusedError("PayloadLost", why, status=409)
