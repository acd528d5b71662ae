"""Which reports never arrived: confirmed by the broker, and a lease later their claims are still open. Pure.

Such a report may wait in its queue behind many others: asking its soldier for it again is then a report twice, which
changes nothing. Or it was applied and acknowledged by a ledger that has lost it since: then the soldier alone has it.
"""

from collections.abc import Container, Iterable

import msgspec

from mission_contracts.mission import Epoch, Instance, MissionId

Claimed = tuple[MissionId, Epoch]


class _Wait(msgspec.Struct, frozen=True):
    """When to ask for a report (monotonic clock), and how long to wait for it after that."""

    ask_at: float
    pause_seconds: float


class Unapplied:
    """What each instance lists as reported while its claim is open.

    The pauses double: a report that cannot be applied at all must not come back at full speed for a day.
    """

    def __init__(self, *, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._waits: dict[Instance, dict[Claimed, _Wait]] = {}

    def look(self, instance: Instance, reported: Iterable[Claimed], now: float) -> list[Claimed]:
        """Take what an instance lists now, and give what it should report again."""
        before = self._waits.pop(instance, {})
        first = _Wait(now + self._lease_seconds, self._lease_seconds)
        waits = {claim: before.get(claim, first) for claim in reported}
        overdue = [claim for claim, wait in waits.items() if wait.ask_at <= now]
        for claim in overdue:
            pause = 2 * waits[claim].pause_seconds
            waits[claim] = _Wait(now + pause, pause)
        if waits:
            self._waits[instance] = waits
        return overdue

    def start_anew(self, instance: Instance) -> None:
        """Its reports cannot be applied now, as the ledger is away: they wait in their queue."""
        self._waits.pop(instance, None)

    def keep(self, instances: Container[Instance]) -> None:
        """Forget all others: they are gone."""
        self._waits = {instance: waits for instance, waits in self._waits.items() if instance in instances}

    @property
    def instances(self) -> int:
        """How many instances have something to wait for."""
        return len(self._waits)
