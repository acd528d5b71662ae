"""Messages that cannot be used are kept in `missions.rejected`, with the reason, where an administrator finds them."""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from mission_broker.port import Broker, BrokerAwayError, Delivery, Message, Outcome
from mission_contracts.clock import Clock
from mission_contracts.errors import Defect
from mission_contracts.topology import REJECTED, Queue

REASON_HEADER: Final = "reason"
DEFECT_HEADER: Final = "defect"
QUEUE_HEADER: Final = "queue"
BYTES_HEADER: Final = "bytes"
"""How many the body had; what is kept of it may be less."""
AT_HEADER: Final = "rejected-at"
"""Unix seconds."""

MOST_REASON_CHARACTERS: Final = 512
MOST_KEPT_BYTES: Final = 64 * 1024
MOST_AT_ONCE: Final = 64
MOST_WAITING: Final = 64
"""Beyond so many that cannot be kept now the oldest is given up: what cannot be used must not hold up what can."""
RETRY_SECONDS: Final = 0.2

log = logging.getLogger(__name__)


class _Rejected(NamedTuple):
    delivery: Delivery
    came_by: Queue
    defect: Defect
    message: Message


class Rejects:
    """Each stays unacknowledged in its own queue until its copy in `missions.rejected` is confirmed."""

    def __init__(self, broker: Broker, clock: Clock, *, count: Callable[[Queue, Defect], None]) -> None:
        """`count` is told of each that is kept."""
        self._broker = broker
        self._clock = clock
        self._count = count
        self._waiting: deque[_Rejected] = deque()
        self._times: Counter[tuple[str, Defect]] = Counter()
        self._awake = asyncio.Event()

    def keep(self, delivery: Delivery, came_by: Queue, defect: Defect, why: str) -> None:
        """Take over a delivery that cannot be used; whoever consumes goes on at once."""
        self._tell(came_by, defect)
        self._waiting.append(_Rejected(delivery, came_by, defect, self._copy(delivery, came_by, defect, why)))
        delivery.forget_body()
        if len(self._waiting) > MOST_WAITING:
            self._give_up(self._waiting.popleft())
        self._awake.set()

    async def run(self) -> None:
        """Publish copies until cancelled."""
        while True:
            await self._awake.wait()
            self._awake.clear()
            while self._waiting:
                if not await self._move():
                    await asyncio.sleep(RETRY_SECONDS)

    async def _move(self) -> bool:
        """Move what waits; False when some of it has to wait on."""
        # The broker delivers again what it had given to a channel that is gone.
        some = [one for one in list(self._waiting)[:MOST_AT_ONCE] if one.delivery.is_alive]
        outcomes = await self._broker.publish([one.message for one in some]) if some else []
        kept = [one for one, outcome in zip(some, outcomes, strict=True) if outcome is Outcome.CONFIRMED]
        for one in kept:
            one.delivery.ack()
            self._count(one.came_by, one.defect)
        done = {id(one) for one in kept}
        self._waiting = deque(one for one in self._waiting if one.delivery.is_alive and id(one) not in done)
        await self._make_routable(outcomes)
        return all(outcome is Outcome.CONFIRMED for outcome in outcomes)

    async def _make_routable(self, outcomes: Sequence[Outcome]) -> None:
        """Somebody deleted the queue, or its exchange has only just been declared."""
        if Outcome.UNROUTABLE in outcomes:
            with suppress(BrokerAwayError):
                await self._broker.declare([REJECTED])

    def _copy(self, delivery: Delivery, came_by: Queue, defect: Defect, why: str) -> Message:
        headers = {
            REASON_HEADER: " ".join(why.split())[:MOST_REASON_CHARACTERS].encode(errors="replace").decode(),
            DEFECT_HEADER: defect.value,
            QUEUE_HEADER: came_by.name,
            BYTES_HEADER: str(delivery.size),
            AT_HEADER: f"{self._clock.now():.3f}",
        }
        return Message(
            exchange=REJECTED.bound_to, key=REJECTED.key, body=bytes(delivery.body[:MOST_KEPT_BYTES]), headers=headers
        )

    def _tell(self, came_by: Queue, defect: Defect) -> None:
        """The log has the 1st, 2nd, 4th, 8th … of a kind, and nothing of what they say: that may be a secret."""
        times = self._times[came_by.name, defect] = self._times[came_by.name, defect] + 1
        if times.bit_count() == 1:
            log.error(
                "a message in %s is %s and cannot be used; it goes to missions.rejected, where an administrator can "
                "read it (time %d of this kind)",
                came_by.name,
                defect.value,
                times,
            )

    def _give_up(self, one: _Rejected) -> None:
        log.error("missions.rejected takes nothing now; a message that cannot be used either way is given up")
        one.delivery.ack()
