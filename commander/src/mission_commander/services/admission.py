"""Whether one more mission may come in: by its owner's quotas, and by the ledger's memory."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from mission_commander.domain.owners import ADMITTED_BYTES, Owner, owner_of
from mission_commander.services.counts import Counts
from mission_commander.services.headroom import Headroom, Room
from mission_commander.services.limiting import Limit, Limiter
from mission_contracts.envelope import Door, Envelope
from mission_contracts.metrics import LEDGER_REFUSED, LIMITED

QUOTA_RETRY_SECONDS: Final = 5.0
FULL_RETRY_SECONDS: Final = 5.0

RESERVED_SHARE: Final = 0.25
"""Of what lies below the watermark: for owners who have little, however much the others took."""
SMALL_SHARE: Final = 0.02
"""Of it: so much each may have in any case."""


class Refusal(msgspec.Struct, frozen=True):
    """Why a mission may not come in now, for whom it was meant, and when it is worth trying again."""

    status: int
    code: str
    detail: str
    retry_after: float


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What one owner may have. None is no bound."""

    missions: int | None = None
    """A subject's missions that are not final."""
    payload: int | None = None
    """Bytes of payload in the ledger."""
    payload_of_all: int | None = None
    ledger_share: float = 1.0
    """Bytes in the ledger for each byte of it that is still free."""


class Ticket(msgspec.Struct, frozen=True):
    """A place that was taken."""

    owner: Owner
    size: int


class Admission:
    """Takes places for missions that are being accepted, so that those that come together share what is left."""

    def __init__(
        self,
        bounds: Bounds,
        headroom: Headroom,
        limiter: Limiter,
        live_of: Callable[[str], int],
        counts: Counts,
    ) -> None:
        self._bounds = bounds
        self._headroom = headroom
        self._limiter = limiter
        self._live_of = live_of
        self._counts = counts
        self._under_way: Counter[Owner] = Counter()

    async def freshen(self, envelopes: Iterable[Envelope]) -> None:
        """Read what the ledger has counted of these owners, before any of them takes a place."""
        await self._headroom.freshen(map(owner_of, envelopes))

    def take(self, envelope: Envelope, payload: bytes) -> Ticket | Refusal:
        """Take a place, or say why there is none; the rate is drawn from last, so that a refusal costs nothing."""
        owner, size = owner_of(envelope), len(payload) + ADMITTED_BYTES
        refusal = (
            self._full() or self._over_quota(envelope, owner, size, len(payload)) or self._too_fast(owner, len(payload))
        )
        if refusal is not None:
            return refusal
        self._under_way[owner] += 1
        self._headroom.take(owner, size)
        return Ticket(owner, size)

    def release(self, ticket: Ticket, *, is_recorded: bool) -> None:
        """The mission is recorded and counts there, or it is not."""
        self._under_way[ticket.owner] -= 1
        if self._under_way[ticket.owner] <= 0:
            del self._under_way[ticket.owner]
        self._headroom.release(ticket.owner, ticket.size, is_written=is_recorded)

    def full(self) -> Refusal:
        """What to say where the ledger itself had no memory left."""
        self._counts.add(LEDGER_REFUSED)
        return Refusal(503, "LedgerFull", full_sentence(self._headroom.room()), FULL_RETRY_SECONDS)

    def _full(self) -> Refusal | None:
        return self.full() if self._headroom.room().is_full else None

    def _over_quota(self, envelope: Envelope, owner: Owner, size: int, payload: int) -> Refusal | None:
        if self._has_too_many(envelope, owner):
            self._counts.add(LIMITED, "live")
            return _quota(f"this subject has {self._bounds.missions} missions that are not final, the most allowed")
        return self._over_payload(owner, size if payload else 0) or self._over_share(owner, size)

    def _has_too_many(self, envelope: Envelope, owner: Owner) -> bool:
        """Objects are bounded by number in the cluster, by a ResourceQuota."""
        most = self._bounds.missions
        if most is None or envelope.door is Door.CLUSTER:
            return False
        return self._live_of(envelope.subject) + self._under_way[owner] >= most

    def _over_payload(self, owner: Owner, size: int) -> Refusal | None:
        mine, most, in_all = self._headroom.of(owner).payload, self._bounds.payload, self._bounds.payload_of_all
        if in_all is not None:
            free = _allowed(1, in_all - self._headroom.of_everybody().payload, in_all)
            most = free if most is None else min(free, most)
        if not size or most is None or mine + size <= most:
            return None
        self._counts.add(LIMITED, "payload_bytes")
        return _quota(f"{_whose(owner)} have {mine} bytes of payload in the ledger, and {most} are allowed now")

    def _over_share(self, owner: Owner, size: int) -> Refusal | None:
        room = self._headroom.room()
        if room.watermark is None:
            return None
        free = int((1 - RESERVED_SHARE) * room.watermark) - room.used
        mine, most = self._headroom.of(owner).held, _allowed(self._bounds.ledger_share, free, room.watermark)
        if mine + size <= most:
            return None
        self._counts.add(LIMITED, "ledger_bytes")
        return _quota(f"{_whose(owner)} take {mine} bytes of the ledger, final ones too, and {most} are allowed now")

    def _too_fast(self, owner: Owner, size: int) -> Refusal | None:
        refused = self._limiter.draw(Limit.SUBMIT_BYTES, owner, size)
        if refused is None:
            return None
        self._counts.add(LIMITED, Limit.SUBMIT_BYTES.value)
        seconds = max(1, round(refused.after_seconds + 0.5))
        detail = f"{_whose(owner)} came with more bytes of payload than {refused.rate}: send this again in {seconds} s"
        return Refusal(429, "TooManyRequests", detail, seconds)


def _allowed(share: float, free: int, in_all: int) -> int:
    """As much as is free, and always a little.

    A bound that falls as others take theirs (the dynamic threshold of shared packet buffers, Choudhury and Hahne 1998)
    keeps a part free for who comes next, without knowing how many will.
    """
    return max(int(share * free), int(SMALL_SHARE * in_all))


def _quota(why: str) -> Refusal:
    return Refusal(429, "QuotaReached", f"{why}: wait for some to end, or cancel some", QUOTA_RETRY_SECONDS)


def _whose(owner: Owner) -> str:
    return "this namespace's objects" if owner.startswith(f"{Door.CLUSTER.value}/") else "this subject's missions"


def full_sentence(room: Room) -> str:
    """What is the case, and what to do, for users and for /health."""
    how = f"has {room.used} bytes in use and takes new missions up to {room.watermark}"
    return (
        f"the ledger {'has no memory left for new missions' if room.watermark is None else how}; those that it has go "
        "on: send this again later, or have Redis' maxmemory raised or retention_seconds lowered"
    )
