"""Hears the control fanout: hints that make a cancellation faster than the next heartbeat's answer."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

from mission_broker.port import Broker, BrokerAwayError, Delivery
from mission_broker.rejecting import Rejects
from mission_contracts import messages
from mission_contracts.errors import UnreadableMessageError
from mission_contracts.messages import ControlMessage
from mission_contracts.mission import MissionId
from mission_contracts.topology import Queue

PREFETCH = 100


@asynccontextmanager
async def heard(
    broker: Broker, queue: Queue, on_cancel: Callable[[Iterable[MissionId]], None], rejects: Rejects
) -> AsyncIterator[None]:
    """Pass on cancellations while the context is open. A lost hint costs nothing but time."""

    def arrived(deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            try:
                on_cancel(messages.decode(delivery.body, ControlMessage).cancel)
            except UnreadableMessageError as error:  # the heartbeat says the same for sure
                rejects.keep(delivery, queue, error.defect, str(error))
            else:
                delivery.ack()

    with suppress(BrokerAwayError):  # it is declared when the broker is back
        await broker.declare([queue])
    async with broker.consume(queue, arrived, prefetch=PREFETCH):
        yield
