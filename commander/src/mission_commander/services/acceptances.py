"""Accepting while the ledger is away: what the broker has confirmed on `missions.status` is accepted.

Group commit without timers, as the recorder's: what arrives while a publish is under way travels in the next one.
Whoever consumes that queue records it once the ledger is back (`late_records`); meanwhile the other Commanders hear of
it (`peers`).
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from mission_broker.port import Broker, Message, Outcome
from mission_commander.domain.record import Mission
from mission_commander.domain.unrecorded import Unrecorded, as_accepted
from mission_commander.ports import LedgerAwayError
from mission_contracts import messages
from mission_contracts.clock import Clock
from mission_contracts.install_key import Seals
from mission_contracts.messages import Acceptance
from mission_contracts.mission import MissionId
from mission_contracts.topology import ACCEPTED, STATUS

MOST_PER_MESSAGE: Final = 100
MOST_BYTES_PER_MESSAGE: Final = 1024 * 1024
"""Unless a single acceptance has more."""
MOST_IN_FLIGHT: Final = 1_000
PUBLISH_SECONDS: Final = 5.0

_ENDED: Final = "this Commander ends: ask another one, or the next one in a moment"


class _Waiting(msgspec.Struct):
    """An acceptance, sealed, and who waits for the broker's word on it."""

    acceptance: Acceptance
    sealed: messages.SealedAcceptance
    confirmed: asyncio.Future[None]

    def refuse(self, why: str) -> None:
        if not self.confirmed.done():
            self.confirmed.set_exception(LedgerAwayError(why))
            self.confirmed.exception()  # seen: whoever asked may be gone


class Acceptances:
    """Publishes acceptances, one batch at a time."""

    def __init__(self, broker: Broker, seals: Seals, unrecorded: Unrecorded, clock: Clock) -> None:
        self._broker = broker
        self._seals = seals
        self._unrecorded = unrecorded
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._wanted = asyncio.Event()
        self._has_ended = False

    def known(self, mission_id: MissionId) -> Mission | None:
        """What was accepted so, and has no record yet."""
        return self._unrecorded.get(mission_id)

    async def accept(self, acceptance: Acceptance) -> Mission:
        """Give the mission as it is shown until it is recorded. Raises LedgerAwayError: this way is closed too."""
        if self._has_ended:
            raise LedgerAwayError(_ENDED)
        if self._broker.away is not None:
            raise LedgerAwayError("the ledger is away, and RabbitMQ takes nothing either")
        if not self._unrecorded.has_room(self._clock.now()):
            raise LedgerAwayError("the ledger is away, and as much was accepted without it as may be")
        body = messages.encode_acceptance(acceptance)
        sealed = messages.SealedAcceptance(seal=self._seals.of(body), acceptance=msgspec.Raw(body))
        waiting = _Waiting(acceptance, sealed, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._wanted.set()
        await asyncio.wait([waiting.confirmed])
        waiting.confirmed.result()
        mission = as_accepted(acceptance)
        self._unrecorded.add(mission)
        return mission

    async def run(self) -> None:
        """Publish until cancelled."""
        batch: list[_Waiting] = []
        self._has_ended = False
        try:
            while True:
                await self._wanted.wait()
                batch, self._waiting = self._waiting[:MOST_IN_FLIGHT], self._waiting[MOST_IN_FLIGHT:]
                if not self._waiting:
                    self._wanted.clear()
                await self._publish(batch)
        finally:
            self._has_ended = True
            for one in (*batch, *self._waiting):
                one.refuse(_ENDED)
            self._waiting.clear()

    async def _publish(self, batch: Sequence[_Waiting]) -> None:
        parts = list(_parts(batch))
        bodies = [_body(part) for part in parts]
        to_record = [Message(exchange=STATUS.bound_to, key=STATUS.key, body=body) for body in bodies]
        to_peers = [Message(exchange=ACCEPTED, key="", body=body) for body in bodies]
        outcomes = await self._broker.publish([*to_record, *to_peers], PUBLISH_SECONDS)
        for part, outcome in zip(parts, outcomes, strict=False):  # what peers do not hear, they hear from the ledger
            for one in part:
                _settle(one, outcome)


def _settle(one: _Waiting, outcome: Outcome) -> None:
    if outcome is not Outcome.CONFIRMED:
        one.refuse(f"the ledger is away, and RabbitMQ did not confirm the acceptance ({outcome.value})")
    elif not one.confirmed.done():
        one.confirmed.set_result(None)


def _parts(batch: Sequence[_Waiting]) -> Iterator[list[_Waiting]]:
    """Cut a batch into messages of bounded count and size."""
    part: list[_Waiting] = []
    size = 0
    for one in batch:
        weight = len(bytes(one.sealed.acceptance))
        if part and (len(part) == MOST_PER_MESSAGE or size + weight > MOST_BYTES_PER_MESSAGE):
            yield part
            part, size = [], 0
        part.append(one)
        size += weight
    if part:
        yield part


def _body(part: Sequence[_Waiting]) -> bytes:
    return messages.encode(messages.StatusMessage(v=messages.VERSION, accepted=tuple(one.sealed for one in part)))
