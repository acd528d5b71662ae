"""Recording what was accepted while the ledger was away; the same acceptance twice is one mission."""

from collections.abc import Callable, Sequence

import structlog

from mission_commander.domain.life import Moment, Surroundings
from mission_commander.domain.record import Mission
from mission_commander.services.counts import Counts
from mission_commander.services.eras import Eras
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_commander.services.submission import Accepted, RefusedError, known_again, made
from mission_commander.services.tombstones import Tombstones
from mission_contracts import messages, metrics, telemetry
from mission_contracts.envelope import Envelope
from mission_contracts.errors import Defect, UnreadableMessageError
from mission_contracts.install_key import Seals
from mission_contracts.messages import Acceptance, SealedAcceptance
from mission_contracts.mission import MissionId
from mission_contracts.rest import Floor

_Answer = Accepted | RefusedError


class LateRecords:
    """Makes the records that acceptances stand for."""

    def __init__(
        self,
        recorder: Recorder,
        tombstones: Tombstones,
        seals: Seals,
        eras: Eras,
        around: Callable[[Envelope], Surroundings],
        counts: Counts,
    ) -> None:
        self._recorder = recorder
        self._tombstones = tombstones
        self._seals = seals
        self._eras = eras
        self._around = around
        self._counts = counts
        self._log = structlog.get_logger("late-records")

    def read(self, sealed: SealedAcceptance) -> Acceptance:
        """Read what a Commander wrote. Raises UnreadableMessageError for what nobody of ours did."""
        body = bytes(sealed.acceptance)
        if not self._seals.fits(sealed.seal, body):
            raise UnreadableMessageError(Defect.UNUSABLE, "an acceptance in it bears no seal of this installation")
        return messages.decode_acceptance(body)

    async def record_all(self, accepted: Sequence[Acceptance]) -> Sequence[BaseException | None]:
        """Record what has no record yet; give, in order, what went wrong with the decision itself.

        Raises LedgerAwayError while nothing can be recorded: all of it may be tried again.
        """
        if not accepted:
            return ()
        for one in accepted:
            self._eras.learn(one.era)
        purged = await self._purged(accepted)
        asked = [None if one.envelope.mission_id in purged else one for one in accepted]
        commands = [self._command(one) for one in asked if one is not None]
        decided = await self._recorder.decide_each(commands)
        told = iter(decided)
        if len(commands) < len(asked):
            self._counts.add(metrics.LATE_RECORDS, "known", times=len(asked) - len(commands))
        return [None if one is None else self._noted(one, next(told)) for one in asked]

    async def _purged(self, accepted: Sequence[Acceptance]) -> frozenset[MissionId]:
        """Those that were recorded, ended and were purged since: by their tombstones alone.

        However old an acceptance is, it may be the only word on its mission.
        """
        asked = {one.envelope.mission_id: one.envelope.accepted_at for one in accepted}
        lacking = {one: at for one, at in asked.items() if self._recorder.known(one, at) is None}
        return await self._tombstones.marked(lacking) if lacking else frozenset()

    def _command(self, accepted: Acceptance) -> Command[_Answer]:
        envelope, payload, floor = accepted.envelope, bytes(accepted.payload), _floor(accepted)
        around = self._around

        def decide(mission: Mission | None, moment: Moment) -> Decision[_Answer]:
            if mission is not None:
                return known_again(mission, envelope, floor, payload, moment)
            return made(envelope, floor, payload, moment, around(envelope))

        return Command(
            envelope.mission_id,
            decide,
            presumed_absent=True,
            weight=len(payload),
            accepted_at=envelope.accepted_at,
        )

    def _noted(self, accepted: Acceptance, answer: _Answer | BaseException) -> BaseException | None:
        if isinstance(answer, RefusedError):
            mission_id = accepted.envelope.mission_id
            self._log.warning(
                "one key was used for two missions while the ledger was away; the first one stands",
                **{telemetry.MISSION_ID: mission_id},
            )
        elif isinstance(answer, BaseException):
            self._counts.add(metrics.LATE_RECORDS, "defect")
            return answer
        self._counts.add(metrics.LATE_RECORDS, _word_of(answer))
        return None


def _word_of(answer: _Answer) -> str:
    if isinstance(answer, RefusedError):
        return "refused"
    return "recorded" if answer.is_new else "known"


def _floor(accepted: Acceptance) -> Floor | None:
    shown = accepted.floor
    if shown is None:
        return None
    return Floor(state=shown.state, epoch=shown.epoch, sequence=shown.sequence, attempt=shown.attempt)
