"""Answering claims: may this instance run this epoch?"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from mission_commander.domain import life
from mission_commander.domain.life import Dropped, Granted, Moment
from mission_commander.domain.memory import PoolKey, pool_of
from mission_commander.domain.record import Mission
from mission_commander.ports import LedgerAwayError
from mission_commander.services import rebuilding
from mission_commander.services.counts import Counts
from mission_commander.services.eras import Eras
from mission_commander.services.proofs import Proofs, Way
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_commander.services.tombstones import Tombstones
from mission_contracts import messages, metrics
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
_PURGED: Final = ClaimAnswer(verdict=Verdict.DROP, drop=DropReason.PURGED)
_UNREADABLE: Final = ClaimAnswer(verdict=Verdict.DROP, drop=DropReason.STALE)
_MADE_UP: Final = ClaimAnswer(verdict=Verdict.DROP, drop=DropReason.STALE)
"""Of an epoch that no Commander can have handed out; what the ledger has of the mission stands."""
_NOT_KNOWN: Final = ClaimAnswer(verdict=Verdict.WAIT, wait_ms=5_000)
"""Made up, or without a valid seal; but its order may be the only record of its mission, and stays where it is.

Should memory restore the record, it runs; else it is for a person to look at.
"""
_AHEAD: Final = ClaimAnswer(verdict=Verdict.WAIT, wait_ms=WAIT_MS)
"""As `_WAIT`: by this claim, the ledger has lost a hand-out of the era in force."""
_LACKING: Final = ClaimAnswer(verdict=Verdict.WAIT)
"""The ledger has no record of it: never sent to a soldier, replaced by what follows from that."""
_FOREIGN: Final = ClaimAnswer(verdict=Verdict.WAIT)
"""Of another pool than the caller's: answered as if the ledger had no record of it, so that a claim tells nothing."""


class _Claimant(NamedTuple):
    """Who asks, and for which pool's missions it may; None: any."""

    instance: m.Instance
    within: PoolKey | None

    def may_claim(self, mission: Mission) -> bool:
        return self.within is None or self.within == pool_of(mission)


class _Lacking(NamedTuple):
    """A claim of what the ledger lacks, or of what is to look like that."""

    claim: Claim
    is_foreign: bool


class Claims:
    """Grants epochs to instances, each once."""

    def __init__(
        self,
        recorder: Recorder,
        tombstones: Tombstones,
        secrets: ClaimSecrets,
        eras: Eras,
        proofs: Proofs,
        *,
        known_types: Callable[[Envelope], Sequence[str]],
        is_paused: Callable[[PoolKey], bool],
        counts: Counts,
    ) -> None:
        self._recorder = recorder
        self._tombstones = tombstones
        self._secrets = secrets
        self._eras = eras
        self._proofs = proofs
        self._known_types = known_types
        self._is_paused = is_paused
        self._counts = counts

    async def answer_all(
        self, instance: m.Instance, claims: Sequence[Claim], *, within: PoolKey | None = None
    ) -> Sequence[ClaimAnswer]:
        """Answer each claim, in order. Never raises for the ledger's sake: it then says WAIT.

        `within` is the one pool whose missions may be claimed; None: any.
        """
        for claim in claims:
            self._eras.saw(claim.era, by=_witness(within))
        try:
            answers = await self._decided(_Claimant(instance, within), claims)
        except LedgerAwayError:
            answers = [_WAIT] * len(claims)
        self._counts.add_each(metrics.CLAIMS, ((_word(answer),) for answer in answers))
        return answers

    async def _decided(self, who: _Claimant, claims: Sequence[Claim]) -> Sequence[ClaimAnswer]:
        decided = await self._recorder.decide_each([self._command(who, claim) for claim in claims])
        answers = [_BROKEN if isinstance(one, BaseException) else one for one in decided]
        if any(answer is _AHEAD for answer in answers):
            self._eras.suspect(self._recorder.era, by=_witness(who.within))
        lacking = [place for place, answer in enumerate(answers) if answer is _LACKING or answer is _FOREIGN]
        if lacking:
            asked = [_Lacking(claims[place], is_foreign=answers[place] is _FOREIGN) for place in lacking]
            found = await self._settle_lacking(who, asked)
            for place, answer in zip(lacking, found, strict=True):
                answers[place] = answer
        return answers

    # What the ledger knows.

    def _command(self, who: _Claimant, claim: Claim) -> Command[ClaimAnswer]:
        known = self._recorder.known(claim.mission_id)
        can_be = self._eras.believes(m.era_of(claim.epoch))

        def decide(mission: "Mission | None", moment: Moment) -> "Decision[ClaimAnswer]":
            is_foreign = mission is not None and not who.may_claim(mission)
            if not can_be:
                return Decision(_NOT_KNOWN if mission is None or is_foreign else _MADE_UP)
            if mission is None or is_foreign:
                return Decision(_LACKING if mission is None else _FOREIGN)
            if claim.epoch > mission.epoch and not mission.is_final and self._must_wait(claim, moment.era):
                return Decision(_AHEAD if m.era_of(claim.epoch) >= moment.era else _WAIT)
            if mission.payload_lost and not mission.is_final:
                return self._with_its_payload(mission, claim, who, moment)
            return self._judge(mission, claim, who, moment)

        is_ahead = known is not None and known.epoch < claim.epoch
        weight = len(claim.order or b"")
        return Command(claim.mission_id, decide, fresh=is_ahead, weight=weight, accepted_at=claim.accepted_at)

    def _must_wait(self, claim: Claim, era: m.Era) -> bool:
        """Nobody here knows of this hand-out: whoever may be running it has a lease to say so."""
        return m.era_of(claim.epoch) >= era or not self._eras.is_settled

    def _judge(
        self, mission: Mission, claim: Claim, who: _Claimant, moment: Moment, payload: bytes | None = None
    ) -> Decision[ClaimAnswer]:
        known = () if claim.has_handler else self._known_types(mission.envelope)
        decided = life.claim(
            mission, claim.epoch, who.instance, moment, has_handler=claim.has_handler, known_types=known
        )
        starts = isinstance(decided, Granted) and decided.mission is not None
        if starts and self._is_paused(pool_of(mission)):
            return Decision(_PAUSED)
        changed = decided.mission or (mission if payload is not None else None)
        return Decision(self._worded(decided, claim, who), changed, payload, rebuilds=True)

    def _with_its_payload(
        self, mission: Mission, claim: Claim, who: _Claimant, moment: Moment
    ) -> Decision[ClaimAnswer]:
        """The order, whatever becomes of it, may be the only copy of the mission's payload."""
        if claim.order is None:
            return Decision(_TELL)
        order = self._proven_order(claim)
        if isinstance(order, ClaimAnswer):
            return Decision(order)
        return self._judge(life.find_payload(mission, moment), claim, who, moment, bytes(order.payload))

    def _worded(self, decided: Granted | Dropped, claim: Claim, who: _Claimant) -> ClaimAnswer:
        if isinstance(decided, Dropped):
            return ClaimAnswer(verdict=Verdict.DROP, drop=decided.reason)
        return ClaimAnswer(
            verdict=Verdict.RUN,
            secret=self._secrets.of(claim.mission_id, claim.epoch, who.instance),
            attempt=decided.attempt,
            timeout_seconds=decided.timeout_seconds,
            solo=decided.solo,
        )

    # What it lacks.

    async def _settle_lacking(self, who: _Claimant, asked: Sequence[_Lacking]) -> Sequence[ClaimAnswer]:
        """Purged long ago; or lost, and rebuilt once no other soldier can be running it."""
        purged = await self._tombstones.purged({claim.mission_id: claim.accepted_at for claim, _ in asked})
        answers = [_PURGED if one.claim.mission_id in purged else self._on_lost(one, who) for one in asked]
        told = [place for place, answer in enumerate(answers) if answer is _LACKING]
        rebuilt = await self._recorder.decide_each([self._rebuild(who, asked[place].claim) for place in told])
        for place, answer in zip(told, rebuilt, strict=True):
            answers[place] = _BROKEN if isinstance(answer, BaseException) else answer
        return answers

    def _on_lost(self, asked: _Lacking, who: _Claimant) -> ClaimAnswer:
        claim, era = asked.claim, self._recorder.era
        if m.era_of(claim.epoch) >= era:
            if not asked.is_foreign:
                self._eras.suspect(era, by=_witness(who.within))
            return _WAIT
        if not self._eras.is_settled:
            return _WAIT
        return _TELL if claim.order is None else _LACKING

    def _rebuild(self, who: _Claimant, claim: Claim) -> Command[ClaimAnswer]:
        order = self._proven_order(claim)

        def decide(mission: Mission | None, moment: Moment) -> Decision[ClaimAnswer]:
            if isinstance(order, ClaimAnswer):
                return Decision(order)
            if mission is not None:
                return Decision(_WAIT)  # another claim was quicker: the next one meets that record
            rebuilt = rebuilding.from_order(order, moment)
            if not who.may_claim(rebuilt):
                return Decision(_NOT_KNOWN)
            return self._judge(rebuilt, claim, who, moment, payload=bytes(order.payload))

        weight = len(claim.order or b"")
        return Command(claim.mission_id, decide, weight=weight, accepted_at=claim.accepted_at)

    def _proven_order(self, claim: Claim) -> messages.Order | ClaimAnswer:
        """Return the claim's order; or the answer, where it is of another claim or bears no valid seal."""
        order = _order_of(claim)
        if order is None:
            return _UNREADABLE
        return order if self._proofs.accept_order(order, Way.CLAIM) else _NOT_KNOWN


def _witness(pool: PoolKey | None) -> str:
    """Whose words a claim's are: those of all who have its token."""
    return "/".join(pool) if pool is not None else ""


def _word(answer: ClaimAnswer) -> str:
    return answer.drop.value if answer.drop else answer.verdict.value


def _order_of(claim: Claim) -> messages.Order | None:
    try:
        order = messages.decode(claim.order or b"", messages.Order)
    except UnreadableMessageError:
        return None
    envelope = order.envelope
    told, asked = (envelope.mission_id, order.epoch, envelope.accepted_at), (claim.mission_id, claim.epoch)
    # Whether it was purged was decided by the claim's time of acceptance.
    return order if told == (*asked, claim.accepted_at) else None
