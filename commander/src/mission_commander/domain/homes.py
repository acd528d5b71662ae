"""Where machines are at home: whence each showed its right secret lately.

Renewals from there are let in, however many wrong secrets come from the same address; else whoever shares a proxy or a
node with them could keep them out.
"""

from collections import OrderedDict
from typing import Final

from mission_contracts.clock import Clock

HOME_SECONDS: Final = 86_400.0
"""As long as the longest access token: a renewal comes before that."""
MOST_HOMES: Final = 10_000


class Homes:
    """The latest of them, with when the right secret last came from there."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, float] = OrderedDict()

    def has(self, home: str) -> bool:
        """Tell whether this is a home; the right secret has just come from there, so it stays one."""
        seen = self._seen.get(home)
        if seen is None or self._clock.monotonic() - seen > HOME_SECONDS:
            return False
        self.add(home)
        return True

    def add(self, home: str) -> None:
        """The right secret came from there now."""
        self._seen[home] = self._clock.monotonic()
        self._seen.move_to_end(home)
        if len(self._seen) > MOST_HOMES:
            self._seen.popitem(last=False)
