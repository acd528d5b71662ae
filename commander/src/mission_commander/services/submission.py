"""Accepting missions at both doors: the same submission again gives the same mission."""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from mission_commander.domain import lane, life
from mission_commander.domain.life import Moment, Surroundings
from mission_commander.domain.record import Mission
from mission_commander.ports import LedgerAwayError, LedgerFullError
from mission_commander.services.acceptances import Acceptances
from mission_commander.services.admission import Admission, Refusal, Ticket
from mission_commander.services.eras import Eras
from mission_commander.services.recorder import Command, Decision, Newcomer, Recorder
from mission_contracts import mission as m
from mission_contracts import strict_json
from mission_contracts.clock import Clock
from mission_contracts.envelope import Door, Envelope, Retry
from mission_contracts.install_key import MissionIds
from mission_contracts.messages import Acceptance, Shown
from mission_contracts.rest import Floor, Submission
from mission_contracts.spec import MAX_PAYLOAD_BYTES
from mission_contracts.strict_json import StrictJsonError

_canonical: Final = msgspec.json.Encoder(order="sorted")
_NOT_OF_THE_BODY: Final = {"idempotency_key", "floor", "suspend", "cancel", "ttl_seconds_after_finished"}


class RefusedError(Exception):
    """A submission that can never be accepted as it is; the text says why and what to do."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int = 422,
        field: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = status
        self.field = field
        self.retry_after = retry_after


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A submission that passed the model's checks, and who sent it."""

    submission: Submission
    subject: str
    idempotency_key: str | None = None
    trace_id: str = ""


class Accepted(msgspec.Struct, frozen=True):
    """The mission, and whether this request made it."""

    mission: Mission
    is_new: bool
    is_recorded: bool = True
    """False while the broker alone has it: it was accepted while the ledger is away."""


Answer = Accepted | RefusedError | LedgerAwayError
"""One each, whatever becomes of the others: also a defect of ours is one mission's (RefusedError, status 500).

LedgerAwayError: nothing can be made durable now, or nothing of this kind."""

Around = Callable[[Envelope], Surroundings]
RefusalRule = Callable[[Submission, float], str | None]


class _Asked(msgspec.Struct, frozen=True):
    """A request that can be accepted, under the id that it has whichever way it is accepted."""

    submission: Submission
    envelope: Envelope
    payload: bytes


class Submitter:
    """Turns requests into missions."""

    def __init__(
        self,
        recorder: Recorder,
        eras: Eras,
        ids: MissionIds,
        clock: Clock,
        around: Around,
        acceptances: Acceptances,
        admission: Admission,
        *,
        namespace: str,
        refusal: RefusalRule,
        is_away: Callable[[], bool],
    ) -> None:
        """`is_away` tells whether the ledger is known to be away: then nobody waits to be told so again."""
        self._recorder = recorder
        self._eras = eras
        self._ids = ids
        self._clock = clock
        self._around = around
        self._acceptances = acceptances
        self._admission = admission
        self._namespace = namespace
        self._refusal = refusal
        self._is_away = is_away
        self._log = structlog.get_logger("submitter")

    async def submit_all(self, requests: Sequence[Request]) -> Sequence[Answer]:
        """Accept what can be accepted, durably; one answer each, in order."""
        prepared = [self._prepare(request) for request in requests]
        if not self._is_away():
            await self._admission.freshen(one.envelope for one in prepared if isinstance(one, _Asked))
        tickets: dict[int, Ticket] = {}
        recorded: set[int] = set()
        try:
            admitted = [self._admitted(place, one, tickets) for place, one in enumerate(prepared)]
            places = [place for place, one in enumerate(admitted) if isinstance(one, _Asked)]
            accepted = await self._accept_all([one for one in admitted if isinstance(one, _Asked)])
            answers = dict(zip(places, accepted, strict=True))
            recorded.update(place for place, one in answers.items() if isinstance(one, Accepted) and one.is_recorded)
        finally:
            for place, ticket in tickets.items():
                self._admission.release(ticket, is_recorded=place in recorded)
        return [one if isinstance(one, RefusedError) else answers[place] for place, one in enumerate(admitted)]

    def _admitted(self, place: int, asked: _Asked | RefusedError, tickets: dict[int, Ticket]) -> _Asked | RefusedError:
        """Take a place for what is new."""
        if isinstance(asked, RefusedError) or self._is_known(asked):
            return asked
        ticket = self._admission.take(asked.envelope, asked.payload)
        if isinstance(ticket, Refusal):
            return refused(ticket)
        tickets[place] = ticket
        return asked

    def _is_known(self, asked: _Asked) -> bool:
        mission_id, accepted_at = asked.envelope.mission_id, asked.envelope.accepted_at
        recorded = self._recorder.known(mission_id, accepted_at)
        return recorded is not None or self._acceptances.known(mission_id) is not None

    async def _accept_all(self, asked: Sequence[_Asked]) -> Sequence[Answer]:
        if self._is_away():
            return await asyncio.gather(*map(self._accept_without_ledger, asked))
        decided = await self._recorder.decide_what_can_be([self._command(one) for one in asked])
        if not any(isinstance(one, LedgerAwayError | LedgerFullError) for one in decided):
            return _told(decided)
        return await asyncio.gather(*map(self._answer, asked, decided))

    async def _answer(self, asked: _Asked, decided: Accepted | RefusedError | BaseException) -> Answer:
        if isinstance(decided, LedgerFullError):
            return refused(self._admission.full())  # it is there, and says no: the broker must not take it instead
        if isinstance(decided, LedgerAwayError):
            return await self._accept_without_ledger(asked)
        [told] = _told([decided])
        return told

    def _prepare(self, request: Request) -> _Asked | RefusedError:
        try:
            return self._asked(request)
        except RefusedError as refused:
            return refused
        except Exception as error:  # noqa: BLE001  # whatever it was, it is this one's, and not its neighbours'
            self._log.error("a submission cannot be read: a defect of ours", exc_info=error)
            return _defect()

    def _asked(self, request: Request) -> _Asked:
        submission = request.submission
        if submission.floor is not None:
            self._note_era(submission.floor)
        if why := self._refusal(submission, self._clock.now()):
            raise RefusedError("Refused", why)
        payload = _payload(submission)
        return _Asked(submission, self._envelope(request), payload)

    def _note_era(self, floor: Floor) -> None:
        era = m.era_of(max(floor.epoch, floor.sequence))
        if not self._eras.believes(era):
            raise RefusedError(
                "EraAhead",
                f"the object shows numbers of era {era}, which lies more than a day ahead, so no ledger of ours gave "
                "them: check who wrote its status, and the Commander's clock",
                field="floor",
            )
        self._eras.saw(era, by="an object")

    # By way of the ledger.

    def _command(self, asked: _Asked) -> "Command[Accepted | RefusedError]":
        submission, envelope, payload = asked.submission, asked.envelope, asked.payload
        around = self._around

        def decide(mission: "Mission | None", moment: Moment) -> "Decision[Accepted | RefusedError]":
            if mission is not None:
                return known_again(mission, envelope, submission.floor, payload, moment)
            return made(
                envelope,
                submission.floor,
                payload,
                moment,
                around(envelope),
                suspended=submission.suspend,
                cancelled=submission.cancel,
            )

        def object_to(objection: lane.Objection, moment: Moment) -> "Decision[Accepted | RefusedError]":
            return _objected(objection, envelope, payload, moment, around(envelope))

        newcomer = Newcomer(envelope, object_to) if envelope.ordering_key is not None else None
        return Command(
            envelope.mission_id,
            decide,
            presumed_absent=True,
            fresh=self._is_behind(envelope.mission_id, submission.floor),
            newcomer=newcomer,
            weight=len(payload),
            accepted_at=envelope.accepted_at,
            admits=not self._is_known(asked),
        )

    def _is_behind(self, mission_id: m.MissionId, floor: Floor | None) -> bool:
        """The object shows more than memory knows: another Commander moved it lately, or the ledger lost something."""
        known = self._recorder.known(mission_id)
        return floor is not None and known is not None and known.sequence < floor.sequence

    # By way of the broker.

    async def _accept_without_ledger(self, asked: _Asked) -> Answer:
        """What memory knows is answered from it; what could run now is accepted once the broker has it."""
        mission_id = asked.envelope.mission_id
        recorded = self._recorder.known(mission_id, asked.envelope.accepted_at)
        if recorded is not None:
            return _same(recorded, asked.envelope)
        unrecorded = self._acceptances.known(mission_id)
        if unrecorded is not None:
            same = _same(unrecorded, asked.envelope)
            return same if isinstance(same, RefusedError) else msgspec.structs.replace(same, is_recorded=False)
        if not _could_run_now(asked, self._clock.now()):
            return LedgerAwayError(_NOT_RUNNABLE)
        try:
            mission = await self._acceptances.accept(self._acceptance(asked))
        except LedgerAwayError as away:
            return away
        return Accepted(mission, is_new=True, is_recorded=False)

    def _acceptance(self, asked: _Asked) -> Acceptance:
        return Acceptance(
            era=self._recorder.era,
            envelope=asked.envelope,
            payload=msgspec.Raw(asked.payload),
            floor=_shown(asked.submission.floor),
        )

    # Making the envelope.

    def _envelope(self, request: Request) -> Envelope:
        asked = request.submission
        retry = asked.retry
        return Envelope(
            mission_id=self._id(request),
            namespace=asked.namespace or self._namespace,
            pool=asked.pool,
            type=asked.type,
            accepted_at=self._clock.now(),
            door=asked.door,
            name=asked.name or "",
            subject=request.subject,
            digest=_digest(asked),
            start_after=asked.start_after.timestamp() if asked.start_after else None,
            timeout_seconds=asked.timeout_seconds,
            deadline_seconds=asked.deadline_seconds,
            retry=Retry(retry.max_attempts, retry.initial_delay_seconds, retry.multiplier, retry.max_delay_seconds),
            priority=asked.priority,
            ordering_key=asked.ordering_key,
            sequence_number=asked.sequence_number,
            callback_url=str(asked.callback.url) if asked.callback else None,
            trace_id=request.trace_id,
        )

    def _id(self, request: Request) -> m.MissionId:
        asked = request.submission
        if asked.mission_id is not None:
            return m.MissionId(asked.mission_id)
        key = self._number_key(asked) or request.idempotency_key or secrets.token_hex(16)
        return self._ids.of(request.subject, key)

    def _number_key(self, asked: Submission) -> str | None:
        """A number in a lane is an idempotency key of its own; none in a header begins like this one."""
        if asked.ordering_key is None or asked.sequence_number is None:
            return None
        where = lane.LaneKey(asked.namespace or self._namespace, asked.pool, asked.ordering_key)
        return f"\0{asked.sequence_number}/{where.name}"


def _payload(submission: Submission) -> bytes:
    try:
        payload = strict_json.encode(submission.payload, name="payload")
    except StrictJsonError as error:
        raise RefusedError("BadField", str(error), field="payload") from error
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise RefusedError(
            "PayloadTooLarge",
            f"the payload has {len(payload)} bytes of JSON and may have {MAX_PAYLOAD_BYTES}: "
            "store large data elsewhere and pass a reference to it",
            status=413 if submission.door is Door.REST else 422,
            field="payload",
        )
    return payload


def _digest(submission: Submission) -> str:
    body = submission.model_dump(mode="json", exclude=_NOT_OF_THE_BODY | {"payload"}, exclude_defaults=True)
    return hashlib.blake2b(_canonical.encode((body, submission.payload)), digest_size=16).hexdigest()


_NOT_RUNNABLE: Final = (
    "the ledger is away, and until it is back only work that can run at once is accepted "
    "(no startAfter that lies ahead, no orderingKey, neither suspended nor cancelled)"
)


def _told(decided: Sequence[Accepted | RefusedError | BaseException]) -> Sequence[Accepted | RefusedError]:
    """Give the answers; what is none is a defect of ours, which the recorder has logged."""
    return [one if isinstance(one, Accepted | RefusedError) else _defect() for one in decided]


def _defect() -> RefusedError:
    return RefusedError("Unexpected", "something went wrong on our side; the log has it under this request", status=500)


def _could_run_now(asked: _Asked, now: float) -> bool:
    """Whatever waits for a time, a lane or a person, only the ledger can keep."""
    envelope, submission = asked.envelope, asked.submission
    is_due = envelope.start_after is None or envelope.start_after <= now
    return is_due and envelope.ordering_key is None and not submission.suspend and not submission.cancel


def _shown(floor: Floor | None) -> Shown | None:
    if floor is None:
        return None
    epoch, sequence = m.Epoch(floor.epoch), m.Sequence(floor.sequence)
    return Shown(state=floor.state, epoch=epoch, sequence=sequence, attempt=floor.attempt)


# What a submission comes to, whichever way it came.


def known_again(
    mission: Mission, envelope: Envelope, floor: Floor | None, payload: bytes, moment: Moment
) -> "Decision[Accepted | RefusedError]":
    """Decide on a submission of a mission that has a record."""
    answer = _same(mission, envelope)
    if isinstance(answer, RefusedError):
        return Decision(answer)
    lifted = life.lift(mission, floor, moment) if floor else None
    shows_loss = lifted is not None and _is_of(floor, moment.era)
    standing = lifted or mission
    if standing.payload_lost and not standing.is_final:
        found = life.find_payload(standing, moment)
        return Decision(Accepted(found, is_new=False), found, payload, shows_loss=shows_loss)
    return Decision(Accepted(standing, is_new=False), lifted, shows_loss=shows_loss)


def _is_of(floor: Floor | None, era: m.Era) -> bool:
    """Tell whether an object shows what this very era brought."""
    return floor is not None and m.era_of(floor.sequence) >= era


def _same(mission: Mission, envelope: Envelope) -> Accepted | RefusedError:
    # An object's immutability is the API server's to hold; its spec may gain defaults between two versions of ours.
    if envelope.door is Door.CLUSTER or mission.envelope.digest == envelope.digest:
        return Accepted(mission, is_new=False)
    if envelope.sequence_number is not None and mission.envelope.sequence_number == envelope.sequence_number:
        return _number_taken(envelope)
    return RefusedError(
        "IdempotencyKeyReused",
        "this Idempotency-Key was used for another mission: use a new key for a new mission, "
        "or send the same body again to get the first one",
    )


def made(
    envelope: Envelope,
    floor: Floor | None,
    payload: bytes,
    moment: Moment,
    around: Surroundings,
    *,
    suspended: bool = False,
    cancelled: bool = False,
) -> "Decision[Accepted | RefusedError]":
    """Decide on the submission of a mission that has no record yet."""
    mission = life.accept(envelope, moment, around, suspended=suspended, floor=floor)
    if cancelled:
        mission = life.cancel(mission, moment) or mission
    return _accepted(mission, payload, shows_loss=_is_of(floor, moment.era))


def _accepted(mission: Mission, payload: bytes, *, shows_loss: bool = False) -> "Decision[Accepted | RefusedError]":
    return Decision(
        Accepted(mission, is_new=True),
        mission,
        payload,
        worded=lambda recorded: Accepted(recorded, is_new=True),
        shows_loss=shows_loss,
    )


# Lanes.


def _objected(
    objection: lane.Objection, envelope: Envelope, payload: bytes, moment: Moment, around: Surroundings
) -> Decision[Accepted | RefusedError]:
    match objection:
        case lane.Refused(why):
            field = "ordering_key" if envelope.sequence_number is None else "sequence_number"
            return Decision(RefusedError("LaneMixed", why, field=field))
        case lane.Taken():
            return Decision(_number_taken(envelope))
        case lane.Passed(why):
            return _accepted(life.come_too_late(life.accept(envelope, moment, around), moment, why), payload)


def refused(refusal: Refusal) -> RefusedError:
    """Word a refusal that is about the moment, and not about the mission."""
    return RefusedError(refusal.code, refusal.detail, status=refusal.status, retry_after=refusal.retry_after)


def _number_taken(envelope: Envelope) -> RefusedError:
    return RefusedError(
        "NumberTaken",
        f'number {envelope.sequence_number} of ordering key "{envelope.ordering_key}" is that of another mission: '
        "give this one the next number, or send the first one's body again to get the first one",
        field="sequence_number",
    )
