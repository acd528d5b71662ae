"""Who asks for too much is told so, and when to come back; nobody else notices, and what runs is never throttled."""

from typing import Any

import httpx
import pytest
from support.commander_api import Api, Soldier, serving
from support.problems import problem

from mission_commander.api.answers import ProblemError
from mission_commander.api.limits import Limits
from mission_commander.domain.homes import HOME_SECONDS, MOST_HOMES, Homes
from mission_commander.domain.rates import Rate
from mission_commander.services.counts import Counts
from mission_commander.services.limiting import Alone, Limit, Limiter
from mission_contracts import metrics
from mission_contracts.errors import Problem
from mission_contracts.testing import FakeClock

NOOP: dict[str, Any] = {"type": "noop", "payload": {}}
FIVE = "5 per hour"


async def answers(client: httpx.AsyncClient, count: int, method: str, path: str, **rest: Any) -> list[int]:
    return [(await client.request(method, path, **rest)).status_code for _ in range(count)]


def limited(api: Api, limit: str) -> int:
    return api.commander.counts.number(metrics.LIMITED, limit)


async def test_missions_beyond_the_limit_are_refused_with_the_time_to_wait() -> None:
    async with serving(limit_submit=FIVE) as api:
        anna = await api.client("anna")
        assert await answers(anna, 5, "POST", "/missions", json=NOOP) == [202] * 5
        answer = await anna.post("/missions", json=NOOP)
        said = problem(answer, 429, "TooManyRequests")
        assert "5 per 3600 seconds" in said
        assert 700 <= int(answer.headers["retry-after"]) <= 721, "one comes in after twelve minutes"
        assert answer.headers["ratelimit-policy"] == '"submit";q=5;w=3600'
        assert answer.headers["ratelimit"].startswith('"submit";r=0;t=')
        assert len(api.ledger.store.data.records) == 5
        assert limited(api, "submit") == 1
        assert (await anna.get("/missions")).status_code == 200, "reading is another limit"
        assert await answers(await api.client("ben"), 5, "POST", "/missions", json=NOOP) == [202] * 5


async def test_a_batch_counts_its_missions() -> None:
    async with serving(limit_submit="100 per hour") as api:
        anna = await api.client("anna")
        sixty = {"missions": [NOOP] * 60}
        assert (await anna.post("/missions/batch", json=sixty)).status_code == 200
        problem(await anna.post("/missions/batch", json=sixty), 429, "TooManyRequests")
        assert (await anna.post("/missions/batch", json={"missions": [NOOP] * 40})).status_code == 200
        assert len(api.ledger.store.data.records) == 100
        problem(await anna.post("/missions/batch", content=b"not even read"), 429, "TooManyRequests")


@pytest.mark.parametrize(
    ("setting", "method", "path"),
    [
        ("limit_read", "GET", "/missions"),
        ("limit_read", "GET", "/missions/x"),
        ("limit_read", "POST", "/missions/lookup"),
        ("limit_read", "GET", "/status"),
        ("limit_wish", "POST", "/missions/x/cancel"),
        ("limit_wish", "PATCH", "/missions/x"),
        ("limit_submit", "POST", "/missions/x/retry"),
        ("limit_submit", "POST", "/dead-letters/x/redrive"),
        ("limit_submit", "POST", "/missions"),
    ],
)
async def test_each_kind_of_request_has_its_limit(setting: str, method: str, path: str) -> None:
    tight: dict[str, Any] = {setting: FIVE}
    async with serving(**tight) as api:
        given = await answers(await api.client("anna"), 7, method, path, content=b"{}")
        assert 429 not in given[:5]
        assert given[5:] == [429, 429]


async def test_who_carries_the_missions_is_never_throttled() -> None:
    tight: dict[str, Any] = dict.fromkeys(("limit_submit", "limit_read", "limit_wish"), "1 per hour")
    async with serving(**tight) as api:
        await api.declare_pool()
        soldier = Soldier(api)
        assert (await soldier.register()).status_code == 200
        for _ in range(5):
            await soldier.beat()
        for _ in range(5):
            await api.submit("operator")
            await api.declare_pool()
        async with soldier.taking():
            for _ in range(5):
                await soldier.run_one()


async def test_off_is_no_limit() -> None:
    async with serving(limit_read="off") as api:
        assert set(await answers(await api.client("anna"), 20, "GET", "/missions")) == {200}


# Logins.


def a_throttle(clock: FakeClock) -> tuple[Limits, Counts]:
    rates = dict.fromkeys(Limit) | {
        Limit.LOGIN_ADDRESS: Rate(20, 60),
        Limit.LOGIN_USER: Rate(5, 60),
        Limit.CLIENT_ADDRESS: Rate(20, 60),
        Limit.CLIENT: Rate(5, 60),
    }
    counts = Counts()
    return Limits(Limiter(rates, Alone(), clock, share_while_away=1), counts, clock), counts


def failures(throttle: Limits, count: int, user: str, address: str) -> int:
    """How many attempts of so many are let through."""
    through = 0
    refused: Problem | None
    for _ in range(count):
        try:
            throttle.admit(user, address)
        except ProblemError as error:
            refused = error.problem
        else:
            refused = None
            through += 1
        assert refused is None or (refused.status == 429 and refused.retry_after_seconds)
    return through


def test_one_users_password_is_guessed_at_the_limits_pace_wherever_from() -> None:
    clock = FakeClock()
    throttle, counts = a_throttle(clock)
    assert sum(failures(throttle, 2, "anna", f"10.0.0.{number}") for number in range(20)) == 5
    assert counts.number(metrics.LIMITED, "login_user") == 35
    assert failures(throttle, 2, "ben", "10.0.0.1") == 2, "others are not locked out"
    clock.turn(12)
    assert failures(throttle, 2, "anna", "10.0.0.1") == 1


def test_one_address_tries_so_many_users_and_no_more() -> None:
    throttle, _ = a_throttle(FakeClock())
    assert sum(failures(throttle, 1, f"user {number}", "10.0.0.1") for number in range(100)) == 20


def test_an_address_of_ipv6_is_its_network() -> None:
    throttle, _ = a_throttle(FakeClock())
    assert sum(failures(throttle, 1, f"user {number}", f"2001:db8::{number:x}") for number in range(100)) == 20
    assert failures(throttle, 1, "one more", "2001:db8:0:1::1") == 1


def test_who_knows_the_password_is_not_limited() -> None:
    throttle, _ = a_throttle(FakeClock())
    for _ in range(100):
        throttle.admit("anna", "10.0.0.1")
        throttle.succeeded("anna", "10.0.0.1")


def test_a_refused_login_counts_at_no_other_limit() -> None:
    throttle, _ = a_throttle(FakeClock())
    failures(throttle, 100, "anna", "10.0.0.1")
    assert failures(throttle, 100, "ben", "10.0.0.1") == 5, "anna's refused ones did not use up the address"


# The secrets of machines.


def let_in(throttle: Limits, client: str = "soldier", address: str = "10.0.0.1", *, is_right: bool = True) -> bool:
    refused: Problem | None = None
    try:
        throttle.judge(client, address, is_right=is_right)
    except ProblemError as error:
        refused = error.problem
    assert refused is None or (refused.status == 429 and refused.retry_after_seconds)
    return refused is None


def guesses(throttle: Limits, count: int, client: str = "soldier", address: str = "10.0.0.1") -> int:
    """How many wrong secrets of so many are looked at."""
    return sum(let_in(throttle, client, address, is_right=False) for _ in range(count))


def test_a_secret_is_guessed_at_the_limits_pace_and_the_right_one_is_not_told_apart() -> None:
    clock = FakeClock()
    throttle, counts = a_throttle(clock)
    assert guesses(throttle, 20) == 5
    assert not let_in(throttle)
    assert counts.number(metrics.LIMITED, "client") == 16
    clock.turn(12)
    assert guesses(throttle, 20) == 1


def test_one_address_guesses_at_many_clients_no_faster() -> None:
    throttle, counts = a_throttle(FakeClock())
    assert sum(guesses(throttle, 1, f"client {number}") for number in range(100)) == 20
    assert counts.number(metrics.LIMITED, "client_address") == 80


def test_guesses_from_elsewhere_keep_no_soldier_out_not_even_a_new_one() -> None:
    throttle, _ = a_throttle(FakeClock())
    guesses(throttle, 100)
    assert all(let_in(throttle, address=f"10.0.1.{number}") for number in range(200))


def test_guesses_from_a_soldiers_own_address_do_not_keep_it_out_either() -> None:
    clock = FakeClock()
    throttle, _ = a_throttle(clock)
    assert let_in(throttle)
    for _ in range(30):
        guesses(throttle, 100)
        clock.turn(HOME_SECONDS / 20)
        guesses(throttle, 100)
        assert let_in(throttle), "it renewed within a day, again and again"


def test_where_the_right_secret_came_from_long_ago_is_no_home_any_more() -> None:
    clock = FakeClock()
    throttle, _ = a_throttle(clock)
    assert let_in(throttle)
    clock.turn(HOME_SECONDS + 1)
    guesses(throttle, 100)
    assert not let_in(throttle)


def test_one_clients_home_is_not_anothers() -> None:
    throttle, _ = a_throttle(FakeClock())
    assert let_in(throttle, "operator")
    guesses(throttle, 100)
    assert not let_in(throttle, "soldier")
    assert let_in(throttle, "operator")


def test_homes_are_bounded_and_the_oldest_is_forgotten_first() -> None:
    homes = Homes(FakeClock())
    for number in range(MOST_HOMES + 1):
        homes.add(str(number))
    assert not homes.has("0")
    assert homes.has("1")
    assert homes.has(str(MOST_HOMES))
