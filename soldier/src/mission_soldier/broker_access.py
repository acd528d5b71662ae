"""Where RabbitMQ is, and as whom: the Commander says so when it registers a soldier, else the soldier's own setting."""

import asyncio

from mission_broker.rabbitmq import Access
from mission_contracts.soldiering import Registered


class BrokerAccess:
    """Known from the first registration on; who has to connect waits for it."""

    def __init__(self, own_urls: tuple[str, ...]) -> None:
        self._own = Access(urls=own_urls)
        self._access = self._own
        self._is_known = asyncio.Event()

    def heard(self, registered: Registered) -> None:
        """Take what the Commander handed out; a later registration may hand out something else."""
        urls = registered.broker_urls
        self._access = Access(urls=urls, is_guest=True) if urls else self._own
        self._is_known.set()

    async def current(self) -> Access:
        await self._is_known.wait()
        return self._access
