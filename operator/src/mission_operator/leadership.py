"""One acting operator at a time: a Lease that is held by renewing it, and lost by not.

The Lease is for economy, not for safety. Two operators acting at once do the same idempotent things twice, and the
API server keeps statuses from moving backwards whoever writes them.
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


class LeaseLostError(Exception):
    """The Lease could not be renewed in time, or somebody else holds it."""


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
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._sleep = sleep
        self._api = api
        self._clock = clock
        self._collection = leases_path(namespace)
        self._path = leases_path(namespace, name)
        self._name = name
        self._identity = identity
        self._lease_seconds = lease_seconds
        self._renew_seconds = lease_seconds / 3
        # Below the lease's length: whoever takes over finds us gone already.
        self._give_up_seconds = lease_seconds * 2 / 3
        self._lease: dict[str, Any] = {}
        self._seen: tuple[str, str] | None = None
        self._seen_at = 0.0

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        is_waiting = False
        while not await self._try_to_acquire():
            if not is_waiting:
                _log.info("waiting for the Lease", held_by=self._holder())
                is_waiting = True
            await self._sleep(_LOOK_SECONDS)
        _log.info("this operator acts now", identity=self._identity)

    async def keep(self) -> None:
        """Renew the Lease until cancelled; LeaseLostError when that failed for too long."""
        renewed_at = self._clock.monotonic()
        while True:
            await self._sleep(max(renewed_at + self._renew_seconds - self._clock.monotonic(), 0.1))
            if await self._renew(renewed_at + self._give_up_seconds - self._clock.monotonic()):
                renewed_at = self._clock.monotonic()
            elif self._clock.monotonic() - renewed_at >= self._give_up_seconds:
                raise LeaseLostError(
                    f"the Lease could not be renewed for {self._give_up_seconds:g} s: this operator stops, "
                    "and whoever gets the Lease next goes on"
                )

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
            answer = await self._api.request("GET", self._path, timeout_seconds=self._give_up_seconds)
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
        duration = spec.get("leaseDurationSeconds") or self._lease_seconds
        return state[0] in {"", self._identity} or self._clock.monotonic() - self._seen_at >= duration

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

    async def _renew(self, timeout_seconds: float) -> bool:
        if timeout_seconds <= 0:
            return False
        return await self._put(
            self._lease | {"spec": self._lease.get("spec", {}) | self._held()},
            timeout_seconds=min(timeout_seconds, self._renew_seconds),
        )

    async def _put(self, lease: dict[str, Any], *, timeout_seconds: float | None = None) -> bool:
        return await self._send("PUT", self._path, lease, timeout_seconds=timeout_seconds)

    async def _send(
        self, method: str, path: str, lease: dict[str, Any], *, timeout_seconds: float | None = None
    ) -> bool:
        """Write the Lease as we know it; a version that somebody else changed since is refused."""
        timeout = self._give_up_seconds if timeout_seconds is None else timeout_seconds
        try:
            answer = await self._api.request(method, path, msgspec.json.encode(lease), timeout_seconds=timeout)
        except KubeAwayError:
            return False
        if answer.is_ok:
            self._lease = answer.json()
            return True
        if answer.status == 409 and method == "PUT":
            await self._look_after_conflict()
        return False

    async def _look_after_conflict(self) -> None:
        """An answer of ours may have been lost: only another holder's name says that the Lease is lost."""
        try:
            answer = await self._api.request("GET", self._path, timeout_seconds=self._renew_seconds)
        except KubeAwayError:
            return
        if answer.is_ok and self._holder() == self._identity:
            self._lease = answer.json()
            if self._holder() != self._identity:
                raise LeaseLostError(f"the Lease is held by {self._holder()} now: this operator stops")

    def _now(self) -> str:
        moment = datetime.fromtimestamp(self._clock.now(), UTC)
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
