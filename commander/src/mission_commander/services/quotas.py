"""How many missions that are not final one subject may have: counted in memory, so that asking costs nothing."""

from collections import Counter
from collections.abc import Callable
from typing import Final

from mission_commander.services.counts import Counts
from mission_contracts.metrics import LIMITED

LABEL: Final = "live"


class Quotas:
    """Knows of each subject what lives, and what is being accepted just now. Without a quota all have room."""

    def __init__(self, most: int | None, live_of: Callable[[str], int], counts: Counts) -> None:
        self.most = most
        self._live_of = live_of
        self._counts = counts
        self._under_way: Counter[str] = Counter()

    def take(self, subject: str) -> bool:
        """Take a place for a mission that is being accepted; False, and counted, where there is none."""
        if not self.has_room(subject):
            return False
        self._under_way[subject] += 1
        return True

    def give_back(self, subject: str) -> None:
        """It lives by now, or came to nothing."""
        self._under_way[subject] -= 1
        if self._under_way[subject] <= 0:
            del self._under_way[subject]

    def has_room(self, subject: str) -> bool:
        if self.most is None or self._live_of(subject) + self._under_way[subject] < self.most:
            return True
        self._counts.add(LIMITED, LABEL)
        return False
