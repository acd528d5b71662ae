"""Beats that this Commander took and could not tell the ledger: told to the other Commanders by way of the broker.

The one among them that ends leases may still read the ledger, and would take every soldier that beats here for silent.
"""

import asyncio
from typing import Final

from mission_broker.port import Broker, Message
from mission_contracts import messages
from mission_contracts.messages import Heard
from mission_contracts.mission import Instance
from mission_contracts.topology import ACCEPTED

MOST_PER_MESSAGE: Final = 20
"""Each may list 10,000 missions, and a message has a bound."""
PUBLISH_SECONDS: Final = 1.0
"""The next beat comes soon, and says it all again."""


class UnheardBeats:
    """Publishes the newest beat of each instance; what arrives while a publish is under way travels in the next one."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._newest: dict[Instance, Heard] = {}
        self._wanted = asyncio.Event()

    def add(self, heard: Heard) -> None:
        self._newest[heard.instance] = heard
        self._wanted.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            heard, self._newest = tuple(self._newest.values()), {}
            parts = [heard[start : start + MOST_PER_MESSAGE] for start in range(0, len(heard), MOST_PER_MESSAGE)]
            await self._broker.publish([_message(part) for part in parts], PUBLISH_SECONDS)


def _message(heard: tuple[Heard, ...]) -> Message:
    return Message(
        exchange=ACCEPTED, key="", body=messages.encode(messages.StatusMessage(v=messages.VERSION, heard=heard))
    )
