"""One acting operator at a time: a Lease that is held by renewing it, and lost to whoever else takes it.

The Lease is for economy, not for safety. Two operators acting at once do the same idempotent things twice, and the
API server keeps statuses from moving backwards whoever writes them. So an API server that is away is outlived: nobody
can take the Lease meanwhile, and a process that starts anew is back later than one that waited.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec
import structlog

from mission_contracts.clock import Clock
from mission_operator.kube import Answer, KubeAwayError, leases_path

_log: Final = structlog.get_logger()

LEASE_SECONDS: Final = 3
_LOOK_SECONDS: Final = 0.5
_SHORTEST_LOOK_SECONDS: Final = 0.01
_AGAIN_SECONDS: Final = 0.2
"""Before the next try, where a renewal failed."""
_OVERDUE: Final = "the Lease could not be renewed: this operator goes on until it hears that another one holds it"
_RENEWED_AGAIN: Final = "the Lease is renewed again"

OnRenewed = Callable[[int], None]
"""Takes the resourceVersion that a renewal gave the Lease."""


class LeaseLostError(Exception):
    """Somebody else holds the Lease."""


class LeaseApi(Protocol):
    """The API server, as far as the Lease goes."""

    async def request(
        self, method: str, path: str, body: bytes | None = None, *, timeout_seconds: float | None = None
    ) -> Answer: ...


class Leadership:
    """This process's claim to be the acting operator."""

    def __init__(
        self,
        api: LeaseApi,
        clock: Clock,
        *,
        namespace: str,
        name: str,
        identity: str,
        lease_seconds: int = LEASE_SECONDS,
        on_renewed: OnRenewed = lambda _version: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sleep = sleep
        self._on_renewed = on_renewed
        self._api = api
        self._clock = clock
        self._collection = leases_path(namespace)
        self._path = leases_path(namespace, name)
        self._name = name
        self._identity = identity
        self._lease_seconds = lease_seconds
        self._renew_seconds = lease_seconds / 3
        self._overdue_seconds = lease_seconds * 2 / 3
        self._lease: dict[str, Any] = {}
        self._is_deleted = False
        self._seen: tuple[str, str] | None = None
        self._seen_at = 0.0

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        is_waiting = False
        while not await self._try_to_acquire():
            if not is_waiting:
                _log.info("waiting for the Lease", held_by=self._holder())
                is_waiting = True
            await self._sleep(self._next_look_seconds())
        _log.info("this operator acts now", identity=self._identity)

    async def keep(self) -> None:
        """Renew the Lease until cancelled; LeaseLostError when somebody else holds it.

        A renewal succeeds exactly if nobody else wrote the Lease in between, however long that was.
        """
        renewed_at = self._clock.monotonic()
        was_overdue = False
        while True:
            await self._sleep(max(renewed_at + self._renew_seconds - self._clock.monotonic(), _AGAIN_SECONDS))
            if await self._renew(self._clock.monotonic() - renewed_at):
                renewed_at = self._clock.monotonic()
            is_overdue = self._clock.monotonic() - renewed_at >= self._overdue_seconds
            if is_overdue != was_overdue:
                _log.warning(_OVERDUE if is_overdue else _RENEWED_AGAIN)
            was_overdue = is_overdue

    async def release(self) -> None:
        """Give the Lease up, so that the next operator need not wait for its end."""
        # A renewal that was cut off on its way may have been written: the first try then learns the newer version.
        if not await self._give_up():
            await self._give_up()

    async def _give_up(self) -> bool:
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._now()}
        return await self._put(self._lease | {"spec": self._lease.get("spec", {}) | spec}, timeout_seconds=1)

    async def _try_to_acquire(self) -> bool:
        try:
            answer = await self._api.request("GET", self._path, timeout_seconds=self._overdue_seconds)
        except KubeAwayError as error:
            _log.warning("the Lease cannot be read", why=str(error))
            return False
        if answer.names_no_object:
            return await self._create()
        if not answer.is_ok:
            _log.warning("the Lease cannot be read", why=answer.message)
            return False
        self._lease = answer.json()
        return self._is_free() and await self._put(self._taken())

    def _is_free(self) -> bool:
        """Nobody holds it, or its holder has not moved for a lease's length by our own clock."""
        spec = self._lease.get("spec", {})
        state = (spec.get("holderIdentity") or "", spec.get("renewTime") or "")
        if state != self._seen:
            self._seen, self._seen_at = state, self._clock.monotonic()
        return state[0] in {"", self._identity} or self._clock.monotonic() - self._seen_at >= self._duration()

    def _next_look_seconds(self) -> float:
        """A look falls on the moment at which a holder that does not move has lost the Lease."""
        left = self._seen_at + self._duration() - self._clock.monotonic()
        return max(min(left, _LOOK_SECONDS), _SHORTEST_LOOK_SECONDS) if left > 0 else _LOOK_SECONDS

    def _duration(self) -> float:
        return float(self._lease.get("spec", {}).get("leaseDurationSeconds") or self._lease_seconds)

    def _holder(self) -> str:
        return str(self._lease.get("spec", {}).get("holderIdentity") or "nobody")

    async def _create(self) -> bool:
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name},
            "spec": self._held() | {"acquireTime": self._now(), "leaseTransitions": 0},
        }
        return await self._send("POST", self._collection, lease)

    def _taken(self) -> dict[str, Any]:
        spec = self._lease.get("spec", {})
        changes = {"acquireTime": self._now(), "leaseTransitions": spec.get("leaseTransitions", 0) + 1}
        return self._lease | {"spec": spec | self._held() | changes}

    def _held(self) -> dict[str, Any]:
        return {"holderIdentity": self._identity, "leaseDurationSeconds": self._lease_seconds, "renewTime": self._now()}

    async def _renew(self, overdue_seconds: float) -> bool:
        held = self._lease | {"spec": self._lease.get("spec", {}) | self._held()}
        # Patience grows while the API server is slow, up to the Lease's length: it may be slow, and have a new holder.
        patience = min(max(overdue_seconds, self._renew_seconds), self._lease_seconds)
        is_renewed = await self._put(held, timeout_seconds=patience) or (self._is_deleted and await self._create())
        if is_renewed:
            self._on_renewed(int(self._lease["metadata"]["resourceVersion"]))
        return is_renewed

    async def _put(self, lease: dict[str, Any], *, timeout_seconds: float | None = None) -> bool:
        return await self._send("PUT", self._path, lease, timeout_seconds=timeout_seconds)

    async def _send(
        self, method: str, path: str, lease: dict[str, Any], *, timeout_seconds: float | None = None
    ) -> bool:
        """Write the Lease as we know it; a version that somebody else changed since is refused."""
        timeout = timeout_seconds or self._overdue_seconds
        self._is_deleted = False
        try:
            answer = await self._api.request(method, path, msgspec.json.encode(lease), timeout_seconds=timeout)
        except KubeAwayError:
            return False
        if answer.is_ok:
            self._lease = answer.json()
            return True
        self._is_deleted = answer.names_no_object
        if answer.status == 409 and method == "PUT":
            await self._look_after_conflict(timeout)
        return False

    async def _look_after_conflict(self, timeout_seconds: float) -> None:
        """An answer of ours may have been lost: only another holder's name says that the Lease is lost."""
        try:
            answer = await self._api.request("GET", self._path, timeout_seconds=timeout_seconds)
        except KubeAwayError:
            return
        if answer.is_ok and self._holder() == self._identity:
            self._lease = answer.json()
            if self._holder() != self._identity:
                raise LeaseLostError(f"the Lease is held by {self._holder()} now: this operator stops")

    def _now(self) -> str:
        moment = datetime.fromtimestamp(self._clock.now(), UTC)
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
