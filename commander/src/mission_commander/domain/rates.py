"""How much of something may be done in how long: a bucket that fills at a steady rate, and is drawn from."""

from typing import Final

import msgspec


class Rate(msgspec.Struct, frozen=True):
    """So many in so many seconds; all of them may come at once."""

    amount: float
    seconds: float

    def __str__(self) -> str:
        return f"{round(self.amount)} per {self.seconds:g} seconds"

    @property
    def per_second(self) -> float:
        return self.amount / self.seconds

    def times(self, share: float) -> "Rate":
        """Give a part of it; never less than one."""
        return Rate(max(1.0, self.amount * share), self.seconds)


PASSED: Final = 0.0


class Bucket:
    """One subject's bucket. It begins full; what others drew for the same subject may leave it in debt."""

    __slots__ = ("_at", "_left")

    def __init__(self, rate: Rate, now: float) -> None:
        self._left = rate.amount
        self._at = now

    def draw(self, count: int, rate: Rate, now: float) -> float:
        """Draw so many and give PASSED, or draw nothing and give the seconds after which it is worth asking again.

        More than the bucket can hold passes while it is full, and is paid off afterwards: else it never could.
        """
        wanted = min(max(count, 1), rate.amount)
        missing = wanted - self.fill(rate, now)
        if missing > 0:
            return missing / rate.per_second
        self._left -= count
        return PASSED

    def give_back(self, count: int) -> None:
        """What was drawn was not used; the bucket holds no more for it than it can."""
        self._left += count

    def take_for_others(self, count: int, rate: Rate) -> None:
        """Others drew so many of the same: the debt is at most what the bucket can hold."""
        self._left = max(-rate.amount, self._left - count)

    def fill(self, rate: Rate, now: float) -> float:
        """Add what has come in since the last look; give what is there."""
        self._left = min(rate.amount, self._left + (now - self._at) * rate.per_second)
        self._at = now
        return self._left
