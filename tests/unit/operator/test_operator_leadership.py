"""Holding the Lease."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from mission_contracts.testing import FakeClock
from mission_operator.kube import Answer, KubeAwayError
from mission_operator.leadership import LEASE_SECONDS, Leadership, LeaseLostError

Lease = dict[str, Any]


class FakeLeases:
    """One Lease with optimistic locking, as the API server keeps it."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.version = 0
        self.is_away = False
        self.patience: list[float] = []

    async def request(
        self, method: str, path: str, body: bytes | None = None, *, timeout_seconds: float | None = None
    ) -> Answer:
        self.patience.append(timeout_seconds or 0)
        if self.is_away:
            raise KubeAwayError("away")
        if method == "GET":
            return self._shown()
        assert body is not None
        written: Lease = msgspec.json.decode(body)
        if method == "POST" and self.lease is not None:
            return Answer(409, b"{}")
        if method == "PUT" and self.lease is None:
            return self._shown()
        if method == "PUT" and written["metadata"]["resourceVersion"] != str(self.version):
            return Answer(409, b"{}")
        self.version += 1
        written["metadata"]["resourceVersion"] = str(self.version)
        self.lease = written
        return self._shown()

    def held_by(self, holder: str, *, renewed: str = "2026-11-21T12:00:00.000000Z") -> None:
        self.version += 1
        self.lease = {
            "metadata": {"name": "lease", "resourceVersion": str(self.version)},
            "spec": {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": LEASE_SECONDS},
        }

    @property
    def holder(self) -> str:
        return str((self.lease or {})["spec"]["holderIdentity"])

    def _shown(self) -> Answer:
        if self.lease is None:
            return Answer(404, b'{"details": {"name": "lease"}}')
        return Answer(200, msgspec.json.encode(self.lease))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def leases() -> FakeLeases:
    return FakeLeases()


class Naps:
    """Sleeping turns the clock instead of waiting, and may bring events."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.count = 0
        self.then: Callable[[int], None] = lambda number: None

    async def __call__(self, seconds: float) -> None:
        self._clock.turn(seconds)
        self.count += 1
        self.then(self.count)


class WokenError(Exception):
    """Ends a test's endless wait."""


@pytest.fixture
def naps(clock: FakeClock) -> Naps:
    return Naps(clock)


@pytest.fixture
def me(leases: FakeLeases, clock: FakeClock, naps: Naps) -> Leadership:
    return Leadership(leases, clock, namespace="shop", name="lease", identity="me", sleep=naps)


async def test_a_lease_that_nobody_made_is_made(me: Leadership, leases: FakeLeases) -> None:
    await me.acquire()
    assert leases.holder == "me"


async def test_a_lease_that_was_given_up_is_taken_at_once(me: Leadership, leases: FakeLeases, naps: Naps) -> None:
    leases.held_by("")
    await me.acquire()
    assert leases.holder == "me"
    assert naps.count == 0


async def test_a_lease_whose_holder_does_not_move_is_taken_after_its_length(
    me: Leadership, leases: FakeLeases, clock: FakeClock, naps: Naps
) -> None:
    leases.held_by("other")
    begun = clock.monotonic()
    await me.acquire()
    assert leases.holder == "me"
    waited = clock.monotonic() - begun
    assert LEASE_SECONDS <= waited < LEASE_SECONDS + 0.1, "it is looked at when its time is over, not some time later"


async def test_a_lease_that_is_renewed_is_not_taken(me: Leadership, leases: FakeLeases, naps: Naps) -> None:
    leases.held_by("other")

    def renew(number: int) -> None:
        if number == 20:
            raise WokenError
        leases.held_by("other", renewed=f"2026-11-21T12:00:{number:02d}.000000Z")

    naps.then = renew
    with pytest.raises(WokenError):
        await me.acquire()
    assert leases.holder == "other"


async def test_an_outage_of_the_api_server_is_outlived(me: Leadership, leases: FakeLeases, naps: Naps) -> None:
    await me.acquire()
    leases.is_away = True

    def come_back(number: int) -> None:
        leases.is_away = number < 100
        if number == 105:
            raise WokenError

    naps.then = come_back
    with pytest.raises(WokenError):
        await me.keep()
    assert leases.version > 1, "it was renewed again"


async def test_who_took_the_lease_during_an_outage_keeps_it(me: Leadership, leases: FakeLeases, naps: Naps) -> None:
    await me.acquire()
    leases.is_away = True

    def come_back(number: int) -> None:
        if number == 100:
            leases.is_away = False
            leases.held_by("other")

    naps.then = come_back
    with pytest.raises(LeaseLostError, match="held by other"):
        await me.keep()
    assert naps.count == 100, "the first answer says so"


async def test_a_lease_that_somebody_deleted_is_made_again(me: Leadership, leases: FakeLeases, naps: Naps) -> None:
    await me.acquire()
    leases.lease = None
    await _keep_for(me, naps, 3)
    assert leases.holder == "me"


async def test_a_slow_api_server_is_given_more_and_more_time(me: Leadership, leases: FakeLeases, naps: Naps) -> None:
    await me.acquire()
    leases.is_away = True
    leases.patience.clear()
    await _keep_for(me, naps, 30)
    patience = leases.patience
    assert patience == sorted(patience), "each try waits as long as the one before, or longer"
    assert (patience[0], patience[-1]) == (LEASE_SECONDS / 3, LEASE_SECONDS)


async def test_each_renewal_says_what_the_watch_has_to_show(leases: FakeLeases, clock: FakeClock, naps: Naps) -> None:
    versions: list[int] = []
    me = Leadership(
        leases, clock, namespace="shop", name="lease", identity="me", on_renewed=versions.append, sleep=naps
    )
    await me.acquire()
    await _keep_for(me, naps, 4)
    assert versions == [2, 3, 4]


async def _keep_for(me: Leadership, naps: Naps, times: int) -> None:
    """Hold the Lease for so many naps."""
    last = naps.count + times

    def wake(number: int) -> None:
        if number == last:
            raise WokenError

    naps.then = wake
    with pytest.raises(WokenError):
        await me.keep()


async def test_a_lease_in_other_hands_is_lost_at_once(me: Leadership, leases: FakeLeases, naps: Naps) -> None:
    await me.acquire()
    leases.held_by("other")
    with pytest.raises(LeaseLostError, match="held by other"):
        await me.keep()
    assert leases.holder == "other"


async def test_a_renewal_whose_answer_was_lost_is_no_loss(me: Leadership, leases: FakeLeases, naps: Naps) -> None:
    await me.acquire()
    leases.held_by("me")
    await _keep_for(me, naps, 5)
    assert leases.version > 3, "it was renewed after the conflict"


async def test_a_renewal_that_was_cut_off_does_not_keep_the_lease_from_being_released(
    me: Leadership, leases: FakeLeases
) -> None:
    await me.acquire()
    leases.held_by("me")  # the renewal arrived, and its answer never did
    await me.release()
    assert leases.holder == ""


async def test_a_released_lease_is_free(me: Leadership, leases: FakeLeases, clock: FakeClock, naps: Naps) -> None:
    await me.acquire()
    await me.release()
    assert leases.holder == ""
    other = Leadership(leases, clock, namespace="shop", name="lease", identity="other", sleep=naps)
    await other.acquire()
    assert naps.count == 0
