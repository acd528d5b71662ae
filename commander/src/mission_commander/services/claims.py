"""Answering claims: may this instance run this epoch?"""

from collections.abc import Callable, Sequence
from typing import Final

from mission_commander.domain import life
from mission_commander.domain.life import Dropped, Granted, Moment
from mission_commander.domain.memory import PoolKey, pool_of
from mission_commander.domain.record import Mission
from mission_commander.ports import LedgerAwayError
from mission_commander.services import rebuilding
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_commander.services.tombstones import Tombstones
from mission_contracts import messages
from mission_contracts import mission as m
from mission_contracts.envelope import Envelope
from mission_contracts.errors import UnreadableMessageError
from mission_contracts.install_key import ClaimSecrets
from mission_contracts.soldiering import Claim, ClaimAnswer, DropReason, Verdict

WAIT_MS: Final = 250
"""How soon a soldier asks again when the ledger could not answer."""

_WAIT: Final = ClaimAnswer(verdict=Verdict.WAIT, wait_ms=WAIT_MS)
_PAUSED: Final = ClaimAnswer(verdict=Verdict.WAIT, wait_ms=1_000)
"""Its pool is paused: the order stays where it is, and costs nothing but this question."""
_BROKEN: Final = ClaimAnswer(verdict=Verdict.WAIT, wait_ms=5_000)
"""A defect of ours on one mission: its order stays where it is, and its neighbours go on."""
_TELL: Final = ClaimAnswer(verdict=Verdict.TELL)


class Claims:
    """Grants epochs to instances, each once."""

    def __init__(
        self,
        recorder: Recorder,
        tombstones: Tombstones,
        secrets: ClaimSecrets,
        *,
        known_types: Callable[[Envelope], Sequence[str]],
        is_paused: Callable[[PoolKey], bool],
        count: Callable[[str], None],
    ) -> None:
        self._recorder = recorder
        self._tombstones = tombstones
        self._secrets = secrets
        self._known_types = known_types
        self._is_paused = is_paused
        self._count = count

    async def answer_all(self, instance: m.Instance, claims: Sequence[Claim]) -> Sequence[ClaimAnswer]:
        """Answer each claim, in order. Never raises for the ledger's sake: it then says WAIT."""
        try:
            decided = await self._recorder.decide_each([self._command(instance, claim) for claim in claims])
            answers = [await self._final(claim, one) for claim, one in zip(claims, decided, strict=True)]
        except LedgerAwayError:
            answers = [_WAIT] * len(claims)
        for answer in answers:
            self._count(answer.drop.value if answer.drop else answer.verdict.value)
        return answers

    def _command(self, instance: m.Instance, claim: Claim) -> Command[ClaimAnswer]:
        def decide(mission: Mission | None, moment: Moment) -> Decision[ClaimAnswer]:
            payload = None
            if mission is None:
                if claim.order is None:
                    return Decision(_TELL)
                mission, payload = _rebuilt(claim, moment)
                if mission is None:
                    return Decision(ClaimAnswer(verdict=Verdict.DROP, drop=DropReason.STALE))
            known = () if claim.has_handler else self._known_types(mission.envelope)
            decided = life.claim(
                mission, claim.epoch, instance, moment, has_handler=claim.has_handler, known_types=known
            )
            starts = isinstance(decided, Granted) and decided.mission is not None
            if starts and self._is_paused(pool_of(mission)):
                return Decision(_PAUSED)
            return Decision(self._worded(decided, claim, instance), decided.mission, payload)

        return Command(claim.mission_id, decide)

    def _worded(self, decided: Granted | Dropped, claim: Claim, instance: m.Instance) -> ClaimAnswer:
        if isinstance(decided, Dropped):
            return ClaimAnswer(verdict=Verdict.DROP, drop=decided.reason)
        return ClaimAnswer(
            verdict=Verdict.RUN,
            secret=self._secrets.of(claim.mission_id, claim.epoch, instance),
            attempt=decided.attempt,
            timeout_seconds=decided.timeout_seconds,
            solo=decided.solo,
        )

    async def _final(self, claim: Claim, decided: ClaimAnswer | BaseException) -> ClaimAnswer:
        if isinstance(decided, BaseException):
            return _BROKEN
        if decided is _TELL and await self._tombstones.was_purged(claim.mission_id, claim.accepted_at):
            return ClaimAnswer(verdict=Verdict.DROP, drop=DropReason.PURGED)
        return decided


def _rebuilt(claim: Claim, moment: Moment) -> tuple[Mission | None, bytes | None]:
    try:
        order = messages.decode(claim.order or b"", messages.Order)
    except UnreadableMessageError:
        return None, None
    if order.envelope.mission_id != claim.mission_id:
        return None, None
    return rebuilding.from_order(order, moment), bytes(order.payload)
