"""What a Commander hears of revocations: kept until no token can be alive, silent when the store is, never guessed."""

import pytest
from support.commander_stage import KEY

from mission_commander.adapters import redis_users
from mission_commander.adapters.memory_users import MemoryUserData, MemoryUsers
from mission_commander.adapters.redis_ledger import RedisSettings
from mission_commander.domain.users import Revocation
from mission_commander.ports import LedgerAwayError
from mission_commander.services import passwords
from mission_commander.services.passwords import Passwords, PasswordsBusyError
from mission_commander.services.revocations import CURRENT_SECONDS, Revocations
from mission_contracts.testing import FakeClock
from mission_contracts.tokens import Holder, Role

ANN = Holder(subject="user:ann:1", role=Role.USER, account="account-1", family="family-1")
MACHINE = Holder(subject="user", role=Role.USER)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def data() -> MemoryUserData:
    return MemoryUserData()


@pytest.fixture
def revocations(data: MemoryUserData, clock: FakeClock) -> Revocations:
    return Revocations(MemoryUsers(data), clock)


async def test_nothing_is_known_before_the_first_answer_and_everything_after_it(
    revocations: Revocations, data: MemoryUserData, clock: FakeClock
) -> None:
    data.revoked.append(Revocation("family-1", clock.now() + 60))
    assert not revocations.are_known
    await revocations.listen()
    assert revocations.are_known
    assert revocations.are_current
    assert revocations.covers(ANN)


@pytest.mark.parametrize("revoked", ["family-1", "account-1"])
async def test_a_login_and_an_account_are_revoked_each_by_its_own_name(
    revocations: Revocations, clock: FakeClock, revoked: str
) -> None:
    revocations.add(Revocation(revoked, clock.now() + 60))
    assert revocations.covers(ANN)
    assert not revocations.covers(MACHINE)


async def test_what_no_token_can_outlive_is_forgotten(
    revocations: Revocations, data: MemoryUserData, clock: FakeClock
) -> None:
    data.revoked.append(Revocation("family-1", clock.now() + 60))
    await revocations.listen()
    clock.turn(59)
    data.revoked.append(Revocation("family-2", clock.now() + 60))
    await revocations.listen()
    assert revocations.covers(ANN)
    clock.turn(2)
    data.revoked.append(Revocation("family-3", clock.now() + 60))
    await revocations.listen()
    assert not revocations.covers(ANN)


async def test_a_store_that_is_silent_is_not_believed_for_longer_than_a_second(
    revocations: Revocations, data: MemoryUserData, clock: FakeClock
) -> None:
    await revocations.listen()
    data.is_away = True
    with pytest.raises(LedgerAwayError):
        await revocations.listen()
    assert revocations.are_current
    clock.turn(CURRENT_SECONDS + 0.1)
    assert not revocations.are_current
    assert revocations.are_known, "what was heard is still known"


async def test_a_redis_that_is_not_there_is_away() -> None:
    async with redis_users.connect(RedisSettings(urls=("redis://127.0.0.1:1/0",))) as store:
        with pytest.raises(LedgerAwayError):
            await store.user("ann")
        with pytest.raises(LedgerAwayError):
            await store.revocations("", wait_seconds=0.01)
        with pytest.raises(LedgerAwayError):
            await store.end_family("f", Revocation("f", 0))


async def test_more_passwords_than_can_be_checked_soon_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "MOST_WAITING", 0)
    with pytest.raises(PasswordsBusyError, match="try again"):
        await Passwords(KEY, cost=4).hashed("correct horse battery")
