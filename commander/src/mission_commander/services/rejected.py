"""What is in `missions.rejected`: read from the queue itself, as soldiers reject too, and put back where it was."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from mission_broker import rejecting
from mission_broker.port import Broker, Delivery
from mission_contracts import topology
from mission_contracts.rest import RejectedMessage, RejectedPage

MOST_READ: Final = 1_000
"""Messages that one look takes out and puts back; what lies behind them is only counted."""
SHOWN_BYTES: Final = 1_024
READING_SECONDS: Final = 2.0
"""For all of them. Somebody else who looks at the same time holds what he reads, and it is not waited for."""


class RejectedMessages:
    """Looks into the queue, one look at a time."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._one_at_a_time = asyncio.Lock()

    async def look(self, limit: int) -> RejectedPage:
        """Show the newest of those that were read. Raises BrokerAwayError."""
        async with self._one_at_a_time:
            waiting = await self._broker.ready_count(topology.REJECTED) or 0
            found = await self._read(min(waiting, MOST_READ)) if waiting else []
        found.reverse()  # of one moment, those behind are newer
        found.sort(key=lambda one: one.rejected_at.timestamp() if one.rejected_at else 0.0, reverse=True)
        return RejectedPage(count=waiting, read=len(found), rejected=tuple(found[:limit]))

    async def _read(self, count: int) -> list[RejectedMessage]:
        taken: list[Delivery] = []
        shown: list[RejectedMessage] = []
        is_enough = asyncio.Event()

        def take(deliveries: Sequence[Delivery]) -> None:
            for delivery in deliveries:
                if is_enough.is_set():
                    delivery.give_back()  # a pool's soldiers may publish there too, and as much as they like
                    continue
                taken.append(delivery)
                shown.append(_shown(delivery))
                delivery.forget_body()
                if len(taken) >= count:
                    is_enough.set()

        async with self._broker.consume(topology.REJECTED, take, prefetch=count) as consumer:
            with suppress(TimeoutError):
                async with asyncio.timeout(READING_SECONDS):
                    await is_enough.wait()
            await consumer.pause()  # or what is put back comes here again
            for one in taken:
                one.give_back()
        return shown


def _shown(delivery: Delivery) -> RejectedMessage:
    headers = delivery.headers
    size = headers.get(rejecting.BYTES_HEADER, "")
    return RejectedMessage(
        rejected_at=_moment(headers.get(rejecting.AT_HEADER, "")),
        queue=headers.get(rejecting.QUEUE_HEADER, ""),
        defect=headers.get(rejecting.DEFECT_HEADER, ""),
        reason=headers.get(rejecting.REASON_HEADER, ""),
        bytes=int(size) if size.isascii() and size.isdigit() else len(delivery.body),
        body=bytes(delivery.body[:SHOWN_BYTES]).decode(errors="backslashreplace"),
    )


def _moment(text: str) -> datetime | None:
    """Anybody may publish there, with any header."""
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except (ValueError, OverflowError, OSError):
        return None
