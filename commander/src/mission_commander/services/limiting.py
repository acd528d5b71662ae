"""Who has asked for too much. Every answer is given from memory; replicas tell each other afterwards, in batches.

Each replica holds a bucket for each subject as if it were the only one, and draws from it. Twice a second it tells the
tally what was drawn here, hears what was drawn elsewhere, and takes that from its bucket too. So no request waits for
Redis, and what replicas let through together exceeds the limit by what they draw within that half second at most.
"""

import asyncio
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol

import msgspec
import structlog

from mission_commander.domain.rates import PASSED, Bucket, Rate
from mission_contracts.clock import Clock

TELL_SECONDS: Final = 0.5
MOST_TOLD: Final = 200
"""Buckets that are told of at once; what is left is told of the next time."""
WORTH_TELLING: Final = 0.01
"""Of what a bucket holds. Whoever draws less is far from any limit."""
SWEPT_FROM: Final = 1_000
MOST_BUCKETS: Final = 200_000


class Limit(StrEnum):
    """What is limited, each by itself."""

    SUBMIT = "submit"  # missions, not requests
    SUBMIT_BYTES = "submit_bytes"
    READ = "read"
    WISH = "wish"  # whatever changes something that is there
    LOGIN_ADDRESS = "login_address"
    LOGIN_USER = "login_user"
    CLIENT_ADDRESS = "client_address"
    CLIENT = "client"  # of one address


class TallyAwayError(Exception):
    """What other replicas draw cannot be told now."""


class Tally(Protocol):
    """Counts what all replicas draw."""

    async def add(self, drawn: Mapping[str, int], *, keep_seconds: int) -> Mapping[str, int]:
        """Add to each count, and give what it comes to; one that nobody adds to for so long begins anew."""
        ...


class Alone(Tally):
    """The tally of a Commander that has no others beside it."""

    async def add(self, drawn: Mapping[str, int], *, keep_seconds: int) -> Mapping[str, int]:  # noqa: ARG002  # nothing is kept
        return dict.fromkeys(drawn, 0)


class TooMuch(msgspec.Struct, frozen=True):
    """Refused: by which rate, and when it is worth asking again."""

    rate: Rate
    after_seconds: float


class _Held:
    """A bucket, and what the tally does not know of it yet."""

    __slots__ = ("bucket", "seen", "untold")

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.untold = 0
        self.seen: int | None = None


_Key = tuple[Limit, str]


class Limiter:
    """Draws from buckets. A limit that has no rate lets everything through."""

    def __init__(
        self, rates: Mapping[Limit, Rate | None], tally: Tally, clock: Clock, *, share_while_away: float
    ) -> None:
        """`share_while_away` is the part of each limit that one replica grants while it hears nothing of the others."""
        self._rates = rates
        self._tighter = {limit: rate.times(share_while_away) if rate else None for limit, rate in rates.items()}
        self._in_force = rates
        self._tally = tally
        self._clock = clock
        self._held: dict[_Key, _Held] = {}
        self._untold: dict[_Key, None] = {}
        self._swept_from = SWEPT_FROM

    def draw(self, limit: Limit, who: str, count: int = 1) -> TooMuch | None:
        """Draw for somebody; TooMuch, and nothing is drawn, where there is not enough left."""
        rate = self._in_force[limit]
        if rate is None:
            return None
        now = self._clock.monotonic()
        key = (limit, who)
        held = self._held.get(key) or self._hold(key, rate, now)
        after = held.bucket.draw(count, rate, now)
        if after > PASSED:
            return TooMuch(rate, after)
        held.untold += count
        self._untold[key] = None
        return None

    def give_back(self, limit: Limit, who: str, count: int = 1) -> None:
        """What was drawn was no attempt to be limited."""
        held = self._held.get((limit, who))
        if held is not None:
            held.bucket.give_back(count)
            held.untold -= count

    async def run(self) -> None:
        """Tell and hear until cancelled."""
        while True:
            await asyncio.sleep(TELL_SECONDS)
            await self.tell()
            self._sweep()

    # Other replicas.

    async def tell(self) -> None:
        """Tell what was drawn here, and take what was drawn elsewhere."""
        try:
            if self._is_alone:  # there may be nothing to tell, and then nobody would notice that the tally is back
                await self._tally.add({"heard": 0}, keep_seconds=60)
            for keep_seconds, keys in self._worth_telling().items():
                await self._tell(keys, keep_seconds)
        except TallyAwayError as error:
            self._be_alone(error)
        else:
            self._be_together()

    async def _tell(self, keys: Sequence[_Key], keep_seconds: int) -> None:
        drawn = {key: self._held[key].untold for key in keys}
        totals = await self._tally.add({_name(key): count for key, count in drawn.items()}, keep_seconds=keep_seconds)
        for key, count in drawn.items():
            self._hear(key, count, totals[_name(key)])

    def _worth_telling(self) -> Mapping[int, list[_Key]]:
        """By how long the tally has to keep them: as long as it takes to fill a bucket from its deepest debt."""
        chosen: dict[int, list[_Key]] = {}
        for key in list(self._untold):
            held, rate = self._held.get(key), self._rates[key[0]]
            if held is None or rate is None or not held.untold:
                del self._untold[key]
            elif abs(held.untold) >= rate.amount * WORTH_TELLING:
                chosen.setdefault(max(2, round(2 * rate.seconds)), []).append(key)
            if sum(map(len, chosen.values())) == MOST_TOLD:
                break
        return chosen

    def _hear(self, key: _Key, told: int, total: int) -> None:
        held, rate = self._held.get(key), self._rates[key[0]]
        if held is None:
            return  # swept meanwhile
        held.untold -= told
        before, held.seen = held.seen, total
        if rate is None or before is None:
            return  # what others drew before we first drew is paid off by now, for all that we know
        # A count that began anew holds less than we saw; what it holds beyond our own is news all the same.
        others = total - before - told if total >= before + told else total - told
        held.bucket.take_for_others(max(0, others), rate)

    @property
    def _is_alone(self) -> bool:
        return self._in_force is not self._rates

    def _be_alone(self, error: TallyAwayError) -> None:
        if not self._is_alone:
            structlog.get_logger("limits").warning(
                "limits are tighter now: other replicas are not heard", why=str(error)
            )
        self._in_force = self._tighter
        for held in self._held.values():  # old news would be taken for new ones
            held.untold, held.seen = 0, None
        self._untold.clear()

    def _be_together(self) -> None:
        if self._is_alone:
            structlog.get_logger("limits").info("limits are as they were: other replicas are heard again")
        self._in_force = self._rates

    # Memory.

    def _hold(self, key: _Key, rate: Rate, now: float) -> _Held:
        if len(self._held) >= MOST_BUCKETS:
            self._drop(next(iter(self._held)))
        held = self._held[key] = _Held(Bucket(rate, now))
        return held

    def _drop(self, key: _Key) -> None:
        self._held.pop(key, None)
        self._untold.pop(key, None)

    def _sweep(self) -> None:
        """A full bucket is as good as none."""
        if len(self._held) < self._swept_from:
            return
        now = self._clock.monotonic()
        for key, held in list(self._held.items()):
            rate = self._in_force[key[0]]
            if rate is None or held.bucket.fill(rate, now) >= rate.amount:
                self._drop(key)
        self._swept_from = max(SWEPT_FROM, 2 * len(self._held))


def _name(key: _Key) -> str:
    return f"{key[0].value}:{key[1]}"
