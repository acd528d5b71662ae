"""The registered instances, and how many there may be: of one owner, of one pool, in all, and in bytes.

A soldier's token lets it register as often as it likes, and whatever is registered is in the ledger and in every
Commander's memory. What it lists in a heartbeat is held as well.
"""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from mission_commander.domain.memory import PoolKey
from mission_contracts import bounds
from mission_contracts.errors import Problem
from mission_contracts.mission import Instance
from mission_contracts.soldiering import Beat, Registration

MAX_OF_AN_OWNER: Final = 32
"""A pod that is restarted is another instance each time, and the old ones are forgotten a minute after their end."""
MAX_OF_A_POOL: Final = 1_000
MAX_INSTANCES: Final = 5_000
MAX_POOL_BYTES: Final = 16 * 1024 * 1024
"""Of the registrations of one pool."""
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_HELD: Final = 400_000
"""Missions in the newest heartbeats of all instances together, some 200 bytes each; half of it in one pool's."""

RETRY_SECONDS: Final = 30

_encode: Final = msgspec.json.Encoder().encode


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A registered instance, its newest beat, and when this Commander saw that beat move (its monotonic clock)."""

    registration: Registration
    beat: Beat | None
    moved_at: float
    size_bytes: int = 0
    """Of the registration, as it is stored."""

    @property
    def pool(self) -> PoolKey:
        return self.registration.namespace, self.registration.pool

    @property
    def busy(self) -> int:
        return len(self.beat.held) if self.beat else 0

    @property
    def is_taking(self) -> bool:
        return self.beat.taking if self.beat else True

    @property
    def has_left(self) -> bool:
        """It said so: no lease has to tell."""
        return self.beat is not None and self.beat.left

    @property
    def unclaimed(self) -> int:
        return len(self.beat.unclaimed) if self.beat else 0

    @property
    def beats(self) -> int:
        return self.beat.beat if self.beat else 0

    @property
    def held(self) -> int:
        """Missions that its newest beat lists."""
        return self.busy + self.unclaimed


class Roster:
    """Instances by name, with the sums that bound them."""

    def __init__(self) -> None:
        self._seen: dict[Instance, Seen] = {}
        self.instances: Mapping[Instance, Seen] = MappingProxyType(self._seen)
        self._of_owner: Counter[tuple[PoolKey, str]] = Counter()
        self._of_pool: Counter[PoolKey] = Counter()
        self._bytes_of_pool: Counter[PoolKey] = Counter()
        self._held_of_pool: Counter[PoolKey] = Counter()
        self._bytes = 0
        self._held = 0

    def put(self, seen: Seen) -> None:
        self.remove(seen.registration.instance)
        self._seen[seen.registration.instance] = seen
        self._count(seen, 1)

    def remove(self, instance: Instance) -> None:
        seen = self._seen.pop(instance, None)
        if seen is not None:
            self._count(seen, -1)

    def objection(self, asked: Registration) -> Problem | None:
        """Return why an instance may not be registered, None if it may."""
        return _of_schemas(asked) or self._of_numbers(asked)

    def may_hold(self, instance: Instance, held: int) -> bool:
        """Whether a heartbeat of an instance may list so many missions."""
        seen = self._seen.get(instance)
        if seen is None or held <= seen.held:
            return True
        more = held - seen.held
        return self._held + more <= MAX_HELD and self._held_of_pool[seen.pool] + more <= MAX_HELD // 2

    def _of_numbers(self, asked: Registration) -> Problem | None:
        known, pool = self._seen.get(asked.instance), (asked.namespace, asked.pool)
        more = size_of(asked) - (known.size_bytes if known else 0)
        if more > 0 and (self._bytes + more > MAX_BYTES or self._bytes_of_pool[pool] + more > MAX_POOL_BYTES):
            what = f"the registrations of pool {asked.pool} may have {MAX_POOL_BYTES} bytes, and all {MAX_BYTES}"
        elif known is not None:
            return None
        elif self._of_owner[_owner_of(asked)] >= MAX_OF_AN_OWNER:
            what = f"this pod or login has {MAX_OF_AN_OWNER} instances registered already"
        elif self._of_pool[pool] >= MAX_OF_A_POOL:
            what = f"pool {asked.pool} has {MAX_OF_A_POOL} instances registered already"
        elif len(self._seen) >= MAX_INSTANCES:
            what = f"{MAX_INSTANCES} instances are registered already, in all pools"
        else:
            return None
        detail = f"{what}: silent ones are forgotten after a minute; register again then, or run fewer soldiers"
        return Problem(
            title="Too many soldiers",
            status=429,
            detail=detail,
            code="TooManySoldiers",
            retry_after_seconds=RETRY_SECONDS,
        )

    def _count(self, seen: Seen, sign: int) -> None:
        pool, owner = seen.pool, _owner_of(seen.registration)
        self._bytes += sign * seen.size_bytes
        self._held += sign * seen.held
        numbers: tuple[tuple[Counter[PoolKey], int], ...] = (
            (self._of_pool, 1),
            (self._bytes_of_pool, seen.size_bytes),
            (self._held_of_pool, seen.held),
        )
        for counter, number in numbers:
            counter[pool] += sign * number
        self._of_owner[owner] += sign
        if not self._of_pool[pool]:
            for counter, _ in numbers:
                del counter[pool]
        if not self._of_owner[owner]:
            del self._of_owner[owner]


def size_of(registration: Registration) -> int:
    """Return how many bytes a registration has."""
    return len(_encode(registration))


def _of_schemas(asked: Registration) -> Problem | None:
    for info in asked.types:
        size = len(_encode(info.schema)) if info.schema is not None else 0
        if size > bounds.MAX_SCHEMA_BYTES:
            detail = (
                f"the schema of type {info.name} has {size} bytes and may have {bounds.MAX_SCHEMA_BYTES}: "
                "register without it, or make the payload's type smaller"
            )
            return _too_large(detail)
    size = size_of(asked)
    if size > bounds.MAX_REGISTRATION_BYTES:
        detail = (
            f"the registration has {size} bytes and may have {bounds.MAX_REGISTRATION_BYTES}: register without "
            "schemas, or with fewer types"
        )
        return _too_large(detail)
    return None


def _too_large(detail: str) -> Problem:
    return Problem(title="Too large", status=413, detail=detail, code=bounds.REGISTRATION_TOO_LARGE)


def _owner_of(registration: Registration) -> tuple[PoolKey, str]:
    """A pod, or a login; where neither is known each instance is its own."""
    owner = registration.pod or registration.owner or registration.instance
    return (registration.namespace, registration.pool), owner
