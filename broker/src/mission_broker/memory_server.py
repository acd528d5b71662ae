"""What the in-memory twin's clients share: exchanges, queues and the rules of a quorum queue, without any I/O.

It behaves as RabbitMQ 3.10 to 4.2 do where the two differ from later ones: every return to a queue counts towards
its delivery limit. Returned messages are served before those that wait, in the order of their return.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from mission_contracts.topology import Exchange, Queue

REJECTED: Final = "rejected"
LIMIT_PASSED: Final = "delivery_limit"


class Stored:
    """A message in a queue, or in the hands of one taker of it."""

    __slots__ = ("body", "headers", "returns")

    def __init__(self, body: bytes, headers: Mapping[str, str], returns: int = 0) -> None:
        self.body = body
        self.headers = headers
        self.returns = returns


class Taker(Protocol):
    """A consumer, as a queue sees it."""

    @property
    def has_room(self) -> bool: ...
    def take(self, stored: Stored) -> None: ...
    def queue_is_gone(self) -> None: ...


class HeldQueue:
    """One queue: what waits, who takes, and where it goes when nobody can."""

    def __init__(self, queue: Queue, bury: Callable[[Queue, Stored, str], None]) -> None:
        self.queue = queue
        self._bury = bury
        self._waiting: deque[Stored] = deque()
        self._returned: deque[Stored] = deque()
        self._takers: deque[Taker] = deque()
        self.is_silent = False
        """Set by a test: it answers nothing, as a queue that lost its leader; deleted and declared anew it is well."""

    @property
    def ready(self) -> int:
        return len(self._waiting) + len(self._returned)

    @property
    def is_unused(self) -> bool:
        return not self._takers and not self.ready

    def put(self, stored: Stored) -> None:
        self._waiting.append(stored)
        self.serve()

    def attach(self, taker: Taker) -> None:
        self._takers.append(taker)
        self.serve()

    def detach(self, taker: Taker) -> None:
        if taker in self._takers:
            self._takers.remove(taker)
            self.serve()

    def take_back(self, returned: Iterable[Stored]) -> None:
        for stored in returned:
            stored.returns += 1
            if stored.returns > self.queue.delivery_limit:
                self._bury(self.queue, stored, LIMIT_PASSED)
            else:
                self._returned.append(stored)
        self.serve()

    def reject(self, stored: Stored) -> None:
        self._bury(self.queue, stored, REJECTED)

    def purge(self) -> int:
        count = self.ready
        self._waiting.clear()
        self._returned.clear()
        return count

    def end(self) -> None:
        self.purge()
        takers, self._takers = tuple(self._takers), deque()
        for taker in takers:
            taker.queue_is_gone()

    def serve(self) -> None:
        """Hand out what waits while somebody has room."""
        while self.ready and (taker := self._next_taker()) is not None:
            taker.take(self._returned.popleft() if self._returned else self._waiting.popleft())

    def _next_taker(self) -> Taker | None:
        if self.queue.single_active_consumer:
            return self._takers[0] if self._takers and self._takers[0].has_room else None
        for _ in range(len(self._takers)):
            self._takers.rotate(-1)
            if self._takers[-1].has_room:
                return self._takers[-1]
        return None


class MemoryServer:
    """The broker itself: several `MemoryBroker`s of one process can share it, each as a connection of its own."""

    def __init__(self) -> None:
        self._queues: dict[str, HeldQueue] = {}
        self._bound: dict[str, dict[str, list[HeldQueue]]] = {}

    def find(self, name: str) -> HeldQueue | None:
        return self._queues.get(name)

    def declare(self, queue: Queue) -> HeldQueue:
        held = self._queues.get(queue.name)
        if held is None:
            held = self._queues[queue.name] = HeldQueue(queue, self._bury)
        bound = self._bound.setdefault(queue.bound_to.name, {}).setdefault(queue.key, [])
        if held not in bound:
            bound.append(held)
        return held

    def is_silent(self, exchange: Exchange, key: str) -> bool:
        """Whether one of the queues that a message would go to answers nothing."""
        return any(held.is_silent for held in self._route(exchange, key))

    def publish(self, exchange: Exchange, key: str, body: bytes, headers: Mapping[str, str]) -> bool:
        """Put a copy into every queue that is bound; False when there is none."""
        queues = self._route(exchange, key)
        for held in queues:
            held.put(Stored(body, headers))
        return bool(queues)

    def delete(self, name: str) -> None:
        """Remove a queue with all that is in it; its consumers notice."""
        held = self._queues.pop(name, None)
        if held is None:
            return
        for bound in self._bound.values():
            for queues in bound.values():
                if held in queues:
                    queues.remove(held)
        held.end()

    def purge(self, name: str) -> int:
        """Forget the messages that wait in a queue; says how many there were."""
        held = self._queues.get(name)
        return held.purge() if held is not None else 0

    def _route(self, exchange: Exchange, key: str) -> list[HeldQueue]:
        bound = self._bound.get(exchange.name, {})
        if exchange.kind == "fanout":
            return [held for queues in bound.values() for held in queues]
        return bound.get(key, [])

    def _bury(self, queue: Queue, stored: Stored, reason: str) -> None:
        if queue.dead_letters_to is None:
            return
        first_death = {
            "x-first-death-queue": queue.name,
            "x-first-death-exchange": queue.bound_to.name,
            "x-first-death-reason": reason,
        }
        headers = first_death | dict(stored.headers)  # the first death is the one that is told
        target = queue.dead_letters_to
        self.publish(target.bound_to, target.key, stored.body, headers)
