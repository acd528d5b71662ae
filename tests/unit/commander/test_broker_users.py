"""Users of pools in RabbitMQ: made, mended and removed by looking, never by remembering what was done."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

import pytest
from support.broker_probe import eventually

from mission_commander.domain.memory import PoolKey
from mission_commander.services.broker_users import LOOKS_UNTIL_REMOVED, BrokerUsers, UsersAwayError
from mission_contracts import broker_rights
from mission_contracts.broker_rights import POOL_LIMITS, PoolUsers, Rights, UserLimits
from mission_contracts.install_key import InstallKey
from mission_contracts.topology import QUEUE_BOUNDS, QueueBound

NAMES = PoolUsers(InstallKey(b"the key of these tests and of no other"))
ANOTHERS = PoolUsers(InstallKey(b"the key of another installation, also 32"))
DEFAULT = ("shop", "default")


class Desk:
    """RabbitMQ's users in memory."""

    def __init__(self) -> None:
        self.held: dict[str, Rights] = {}
        self.limited: dict[str, UserLimits] = {}
        self.bounds: tuple[QueueBound, ...] = ()
        self.passwords: dict[str, str] = {}
        self.is_away = False
        self.puts = 0

    async def rights(self) -> Mapping[str, Rights]:
        if self.is_away:
            raise UsersAwayError("it is away, as the test wants it")
        return dict(self.held)

    async def limits(self) -> Mapping[str, UserLimits]:
        return dict(self.limited)

    async def bound(self, queues: Sequence[QueueBound]) -> None:
        self.bounds = tuple(queues)

    async def put(self, name: str, password: str, rights: Rights, limits: UserLimits) -> None:
        self.puts += 1
        self.limited[name] = limits
        self.held[name] = rights
        self.passwords[name] = password

    async def remove(self, name: str) -> None:
        del self.held[name]


def users_of(desk: Desk, pools: Iterable[PoolKey], **more: float) -> BrokerUsers:
    urls = ["amqp://commander:secret@one:5672/missions", "amqps://two"]
    return BrokerUsers(desk, NAMES, lambda: pools, urls=urls, namespaces=frozenset({"shop", "press"}), **more)


async def test_each_pool_has_a_user_with_its_own_rights() -> None:
    desk = Desk()
    await users_of(desk, [DEFAULT, ("shop", "images")]).look()
    assert desk.held == {
        NAMES.name_of("shop", name): broker_rights.of_pool("shop", name).rights() for name in ("default", "images")
    }
    assert len(set(desk.passwords.values())) == 2


async def test_each_user_is_limited_again_when_its_limits_are_gone_and_the_queues_are_bounded() -> None:
    desk = Desk()
    users = users_of(desk, [DEFAULT])
    await users.look()
    desk.limited.clear()
    await users.look()
    assert desk.limited == {NAMES.name_of(*DEFAULT): POOL_LIMITS}
    assert desk.bounds == QUEUE_BOUNDS


async def test_looking_again_changes_nothing() -> None:
    desk = Desk()
    users = users_of(desk, [DEFAULT])
    await users.look()
    await users.look()
    assert desk.puts == 1


async def test_a_user_that_was_lost_or_given_more_is_made_again() -> None:
    desk = Desk()
    users = users_of(desk, [DEFAULT])
    await users.look()
    desk.held.clear()
    await users.look()
    desk.held[NAMES.name_of(*DEFAULT)] = Rights(configure=".*", write=".*", read=".*")
    await users.look()
    assert desk.held == {NAMES.name_of(*DEFAULT): broker_rights.of_pool(*DEFAULT).rights()}


async def test_a_new_commander_sets_the_password_of_a_user_that_it_finds() -> None:
    desk = Desk()
    desk.held[NAMES.name_of(*DEFAULT)] = broker_rights.of_pool(*DEFAULT).rights()
    await users_of(desk, [DEFAULT]).look()
    assert desk.passwords == {NAMES.name_of(*DEFAULT): NAMES.password_of(*DEFAULT)}


async def test_a_user_goes_some_looks_after_its_pool() -> None:
    desk = Desk()
    pools = {DEFAULT}
    users = users_of(desk, pools)
    await users.look()
    pools.clear()
    for _ in range(LOOKS_UNTIL_REMOVED - 1):
        await users.look()
    assert desk.held, "a Commander may not have heard of the pool yet"
    await users.look()
    assert not desk.held


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("guest", id="somebody's user"),
        pytest.param(ANOTHERS.name_of("shop", "default"), id="another installation's"),
        pytest.param(NAMES.name_of("elsewhere", "default"), id="another namespace's"),
    ],
)
async def test_users_that_are_not_ours_stay(name: str) -> None:
    desk = Desk()
    desk.held[name] = Rights(configure="", write="", read="")
    users = users_of(desk, [])
    for _ in range(LOOKS_UNTIL_REMOVED + 1):
        await users.look()
    assert name in desk.held


async def test_a_registration_waits_until_its_user_is_there() -> None:
    desk = Desk()
    users = users_of(desk, [DEFAULT], look_seconds=3600)
    running = asyncio.create_task(users.run())
    try:
        urls = await users.urls_of(DEFAULT)
        await eventually(lambda: desk.held, "the user is made")
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    user, password = NAMES.name_of(*DEFAULT), NAMES.password_of(*DEFAULT)
    assert urls == (f"amqp://{user}:{password}@one:5672/missions", f"amqps://{user}:{password}@two")


async def test_without_the_management_api_soldiers_are_told_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """The user was made before, most likely; what derives from the install key is known without asking."""
    desk = Desk()
    desk.is_away = True
    users = users_of(desk, [DEFAULT], look_seconds=0.01)
    running = asyncio.create_task(users.run())
    try:
        assert NAMES.password_of(*DEFAULT) in (await users.urls_of(DEFAULT))[0]
        desk.is_away = False
        await eventually(lambda: desk.held, "the user is made when the API is back")
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def test_no_pools_rights_reach_into_another_whose_name_goes_on() -> None:
    grants = broker_rights.of_pool("shop", "a")
    assert "missions\\.control\\.shop\\.a\\..+" in grants.configure
    assert "a-b" not in "".join(grants.read)
