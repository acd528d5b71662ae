"""Hand-outs for queues that do not answer, kept apart so that those of all other queues lose no time over them."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from mission_commander.domain.memory import PoolKey, pool_of
from mission_commander.domain.record import Mission
from mission_commander.ports import OutboxEntry
from mission_contracts import topology
from mission_contracts.mission import Priority


class Destination(NamedTuple):
    """Where a mission's order is published: one queue."""

    pool: PoolKey
    priority: Priority

    @property
    def queue(self) -> topology.Queue:
        return topology.orders_of(*self.pool, self.priority)


def destination_of(mission: Mission) -> Destination:
    return Destination(pool_of(mission), mission.envelope.priority)


class _Silent:
    """One destination that takes nothing."""

    def __init__(self) -> None:
        self.times = 0
        self.waiting: dict[OutboxEntry, None] = {}


class Aside:
    """Which destinations do not answer, and what waits for each."""

    def __init__(self, known: Callable[[OutboxEntry], Mission | None]) -> None:
        self._known = known
        self._silent: dict[Destination, _Silent] = {}

    def __len__(self) -> int:
        return sum(len(silent.waiting) for silent in self._silent.values())

    @property
    def destinations(self) -> tuple[Destination, ...]:
        return tuple(self._silent)

    def clear(self) -> None:
        self._silent.clear()

    def unanswered(self, entries: Iterable[OutboxEntry]) -> list[Destination]:
        """Keep what was published and not answered; gives the destinations that were well until now."""
        by_destination: dict[Destination, list[OutboxEntry]] = {}
        for entry in entries:
            if (mission := self._known(entry)) is not None:
                by_destination.setdefault(destination_of(mission), []).append(entry)
        new = [destination for destination in by_destination if destination not in self._silent]
        for destination, some in by_destination.items():
            silent = self._silent.setdefault(destination, _Silent())
            silent.times += 1
            silent.waiting.update(dict.fromkeys(some))
        return new

    def sort_out(self, entries: list[OutboxEntry]) -> list[OutboxEntry]:
        """Keep what is for one of these destinations; give the rest."""
        if not self._silent:
            return entries
        return [entry for entry in entries if not self._keeps(entry)]

    def times(self, destination: Destination) -> int:
        """How often it left something unanswered."""
        silent = self._silent.get(destination)
        return silent.times if silent is not None else 0

    def take_one(self, destination: Destination) -> OutboxEntry | None:
        """Give the hand-out that has waited longest; it is not kept any more."""
        silent = self._silent.get(destination)
        entry = next(iter(silent.waiting), None) if silent is not None else None
        if silent is not None and entry is not None:
            del silent.waiting[entry]
        return entry

    def release(self, destination: Destination) -> Iterable[OutboxEntry]:
        """It answers again, or nothing waits for it: give what waited."""
        silent = self._silent.pop(destination, None)
        return silent.waiting if silent is not None else ()

    def _keeps(self, entry: OutboxEntry) -> bool:
        mission = self._known(entry)
        silent = self._silent.get(destination_of(mission)) if mission is not None else None
        if silent is None:
            return False
        silent.waiting[entry] = None
        return True
