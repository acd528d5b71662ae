"""What other Commanders accept, and whose hearts they hear beat, while they do not have the ledger.

A client may then ask any of them about what was accepted, and nobody's lease ends because the Commander that it speaks
to is cut off. Only the record makes an acceptance last; this is for answers in the meantime. A Commander that was cut
off from RabbitMQ may have missed some, and then knows them from the record on.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from mission_broker.port import Broker, BrokerAwayError, Delivery
from mission_broker.rejecting import Rejects
from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.unrecorded import Unrecorded, as_accepted
from mission_contracts import messages, topology
from mission_contracts.errors import UnreadableMessageError
from mission_contracts.messages import Acceptance, Heard, SealedAcceptance
from mission_contracts.topology import Queue

PREFETCH: Final = 100


class Peers:
    """Listens to the fanout between Commanders, on a queue that ends with this process's connection."""

    def __init__(
        self,
        broker: Broker,
        read: Callable[[SealedAcceptance], Acceptance],
        memory: MissionMemory,
        unrecorded: Unrecorded,
        rejects: Rejects,
        on_heard: Callable[[Sequence[Heard]], None],
    ) -> None:
        """`on_heard` is called with the beats that another Commander heard."""
        name = f"{topology.ACCEPTED.name}.{secrets.token_hex(8)}"
        self.queue = Queue(name=name, bound_to=topology.ACCEPTED, key="", transient=True)
        self._broker = broker
        self._read = read
        self._memory = memory
        self._unrecorded = unrecorded
        self._rejects = rejects
        self._on_heard = on_heard

    async def run(self) -> None:
        """Listen until cancelled."""
        with suppress(BrokerAwayError):  # it is declared when the broker is back
            await self._broker.declare([self.queue])
        async with self._broker.consume(self.queue, self._arrived, prefetch=PREFETCH):
            await asyncio.Event().wait()

    def _arrived(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            try:
                message, _ = messages.decode_status(delivery.body)
                accepted = [self._read(one) for one in message.accepted]
            except UnreadableMessageError as error:
                self._rejects.keep(delivery, self.queue, error.defect, str(error))
            else:
                self._take(accepted)
                self._on_heard(message.heard)
                delivery.ack()

    def _take(self, accepted: Sequence[Acceptance]) -> None:
        for one in accepted:
            accepted_at = one.envelope.accepted_at
            recorded = self._memory.of_life(one.envelope.mission_id, accepted_at)
            if recorded is None and self._unrecorded.has_room(accepted_at):
                self._unrecorded.add(as_accepted(one))
