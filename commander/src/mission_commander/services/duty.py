"""Whether this Commander is the one that applies reports and ends leases: the active consumer of `missions.status`.

A broker does not tell its consumers which of them is active. A marker that this one publishes and gets back does.
"""

import asyncio
import secrets
from typing import Final

from mission_broker.port import Broker, Message
from mission_contracts import messages, topology
from mission_contracts.clock import Clock

ASK_SECONDS: Final = 5.0
BELIEVED_SECONDS: Final = 3 * ASK_SECONDS
PUBLISH_SECONDS: Final = 2.0


class Duty:
    """Asks itself every five seconds."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        self._broker = broker
        self._clock = clock
        self._marker = f"duty-{secrets.token_hex(16)}"
        self._returned_at: float | None = None

    @property
    def is_on_duty(self) -> bool:
        at = self._returned_at
        return at is not None and self._clock.monotonic() - at < BELIEVED_SECONDS

    async def run(self) -> None:
        """Ask until cancelled."""
        status = messages.encode(messages.StatusMessage(v=messages.VERSION, marker=self._marker))
        message = Message(exchange=topology.REPORTS, key=topology.STATUS.key, body=status)
        while True:
            await self._broker.publish([message], PUBLISH_SECONDS)
            await asyncio.sleep(ASK_SECONDS)

    def take_marker(self, marker: str) -> None:
        """Hear of each marker that came back to this Commander."""
        if marker == self._marker:
            self._returned_at = self._clock.monotonic()
