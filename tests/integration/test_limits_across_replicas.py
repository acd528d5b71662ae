"""What one Commander lets through, the others hear of by way of a real Redis; without it each is tighter, and lives."""

import pytest
from tools import stack

from mission_commander.adapters import redis_tally
from mission_commander.adapters.redis_tally import RedisTally
from mission_commander.domain.rates import Rate
from mission_commander.services.limiting import Limit, Limiter, Tally, TallyAwayError
from mission_contracts.clock import SystemClock

pytestmark = pytest.mark.real

THOUSAND = Rate(1_000, 3_600)


def a_replica(tally: Tally) -> Limiter:
    rates = dict.fromkeys(Limit) | {Limit.SUBMIT: THOUSAND}
    return Limiter(rates, tally, SystemClock(), share_while_away=0.5)


async def test_redis_counts_what_all_draw(redis_db: str) -> None:
    async with redis_tally.connect(redis_db, "mc:") as one, redis_tally.connect(redis_db, "mc:") as other:
        assert await one.add({"a": 5, "b": 1}, keep_seconds=60) == {"a": 5, "b": 1}
        assert await other.add({"a": 2, "b": -1}, keep_seconds=60) == {"a": 7, "b": 0}
        assert await one.add({}, keep_seconds=60) == {}
        many = {f"subject {number}": number for number in range(300)}
        assert await one.add(many, keep_seconds=60) == many


async def test_two_installations_on_one_redis_do_not_meet(redis_db: str) -> None:
    async with redis_tally.connect(redis_db, "one:") as one, redis_tally.connect(redis_db, "other:") as other:
        await one.add({"a": 5}, keep_seconds=60)
        assert await other.add({"a": 1}, keep_seconds=60) == {"a": 1}


async def test_two_replicas_grant_one_limit(redis_db: str) -> None:
    async with redis_tally.connect(redis_db, "mc:") as tally, redis_tally.connect(redis_db, "mc:") as another:
        one, other = a_replica(tally), a_replica(another)
        for replica in (one, other):
            assert replica.draw(Limit.SUBMIT, "anna", 100) is None
            await replica.tell()
        assert one.draw(Limit.SUBMIT, "anna", 800) is None
        await one.tell()
        assert other.draw(Limit.SUBMIT, "anna", 50) is None
        await other.tell()
        refused = other.draw(Limit.SUBMIT, "anna", 100)
        assert refused is not None, "100, 800, 100 and 50 are more than a thousand"
        assert refused.rate == THOUSAND


@pytest.mark.timeout(60)
async def test_while_redis_is_gone_each_grants_its_share(redis_server: stack.RedisServer) -> None:
    async with redis_tally.connect(redis_server.url, "limits-while-away:") as tally:
        replica = a_replica(tally)
        assert replica.draw(Limit.SUBMIT, "anna", 100) is None
        redis_server.kill()
        with pytest.raises(TallyAwayError):
            await tally.add({"a": 1}, keep_seconds=60)
        await replica.tell()
        assert replica.draw(Limit.SUBMIT, "anna", 400) is None
        refused = replica.draw(Limit.SUBMIT, "anna", 200)
        assert refused is not None
        assert refused.rate == THOUSAND.times(0.5)
        redis_server.start()
        await replica.tell()
        assert replica.draw(Limit.SUBMIT, "ben", 1_000) is None, "heard again, at once"


@pytest.mark.timeout(60)
async def test_a_redis_that_hangs_is_one_that_is_away(redis_server: stack.RedisServer) -> None:
    async with redis_tally.connect(redis_server.url, "limits-while-frozen:") as tally:
        assert isinstance(tally, RedisTally)
        await tally.add({"a": 1}, keep_seconds=60)
        redis_server.freeze()
        with pytest.raises(TallyAwayError):
            await tally.add({"a": 1}, keep_seconds=60)
        redis_server.thaw()
        assert (await tally.add({"b": 1}, keep_seconds=60))["b"] == 1
