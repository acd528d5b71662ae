"""The Commander over HTTP: what each answer means, and how the token comes along."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from mission_contracts.mission import Epoch, Era, Instance, MissionId
from mission_contracts.rest import TokenAnswer
from mission_contracts.soldiering import Claim, Heartbeat, Registration, Verdict
from mission_soldier.commander import (
    CommanderAwayError,
    HttpCommander,
    UnknownSoldierError,
    connect,
    connect_in_process,
)
from mission_soldier.tokens import ClientSecret, Credential, Tokens

INSTANCE = Instance("a/b c")
CLAIM = Claim(mission_id=MissionId("m"), epoch=Epoch(1), era=Era(1), accepted_at=1, order=b"\x00order")
BEAT = Heartbeat(beat=1, after=0, era=Era(1), held=(), unclaimed=(), slots=1, taking=True)
REGISTRATION = Registration(instance=INSTANCE, namespace="n", pool="p", types=(), concurrency=1)
SECRET = ClientSecret("soldier", SecretStr("hush"))

Answer = Callable[[httpx.Request], httpx.Response]


def problem(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"title": "t", "status": status, "detail": "because", "code": code})


async def answered(answer: Answer, call: Callable[[HttpCommander], Any], secret: ClientSecret | None = None) -> Any:
    async with connect_in_process(httpx.MockTransport(answer), secret) as commander:
        async with asyncio.timeout(10):
            return await call(commander)


def claim(commander: HttpCommander) -> Any:
    return commander.claim(INSTANCE, [CLAIM])


def beat(commander: HttpCommander) -> Any:
    return asyncio.to_thread(commander.beat, INSTANCE, BEAT)


async def test_a_commander_that_is_silent_is_given_more_time_until_it_answers() -> None:
    allowed: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        allowed.append(request.extensions["timeout"]["read"])
        if len(allowed) < 3:
            raise httpx.ReadTimeout("frozen", request=request)
        return httpx.Response(200, json={"answers": [{"verdict": "WAIT", "wait_ms": 1}]})

    async with connect_in_process(httpx.MockTransport(answer)) as commander:
        for _ in range(2):
            with pytest.raises(CommanderAwayError):
                await claim(commander)
        await claim(commander)
        await claim(commander)
    first, second, third, after_an_answer = allowed
    assert first < second < third
    assert after_an_answer == first


async def test_claims_are_posted_and_answered_in_order() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"answers": [{"verdict": "RUN", "secret": "s", "attempt": 2}]})

    [told] = await answered(answer, claim)
    assert (told.verdict, told.secret, told.attempt) == (Verdict.RUN, "s", 2)
    assert seen[0].url.raw_path == b"/soldiers/a%2Fb%20c/claims"
    assert json.loads(seen[0].content)["claims"][0]["order"] == "AG9yZGVy"


async def test_a_heartbeat_is_answered_in_a_thread_of_its_own() -> None:
    answer = await answered(lambda _: httpx.Response(200, json={"now": 5, "era": 2, "take_nothing": True}), beat)
    assert (answer.now, answer.era, answer.take_nothing) == (5, 2, True)


@pytest.mark.parametrize("call", [claim, beat])
async def test_an_unknown_soldier_has_to_register(call: Callable[[HttpCommander], Any]) -> None:
    with pytest.raises(UnknownSoldierError, match="because"):
        await answered(lambda _: problem(404, "UnknownSoldier"), call)


def refuse(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("nobody there", request=request)


@pytest.mark.parametrize("call", [claim, beat])
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(refuse, "no answer: ConnectError: nobody there", id="no connection"),
        pytest.param(lambda _: problem(503, "LedgerAway"), "status 503, LedgerAway: because", id="down"),
        pytest.param(lambda _: problem(404, "NotFound"), "status 404, NotFound", id="another 404"),
        pytest.param(lambda _: httpx.Response(502, text="<html>"), "status 502 and no problem", id="a proxy's page"),
        pytest.param(lambda _: httpx.Response(200, text="no json"), "cannot be read", id="no JSON"),
    ],
)
async def test_any_other_trouble_means_ask_again(
    call: Callable[[HttpCommander], Any], answer: Answer, words: str
) -> None:
    with pytest.raises(CommanderAwayError, match=words):
        await answered(answer, call)


async def test_too_few_answers_are_no_answer() -> None:
    with pytest.raises(CommanderAwayError, match="1 claims got 0 answers"):
        await answered(lambda _: httpx.Response(200, json={"answers": []}), claim)


async def test_over_the_network_nobody_there_means_ask_again() -> None:
    async with connect("http://127.0.0.1:1") as commander:
        with pytest.raises(CommanderAwayError):
            await commander.register(REGISTRATION)
        with pytest.raises(CommanderAwayError):
            await asyncio.to_thread(commander.beat, INSTANCE, BEAT)


class Doorkeeper:
    """Gives tokens, and takes only the newest."""

    def __init__(self, refusal: int = 401) -> None:
        self.given = 0
        self.refusal = refusal

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            assert json.loads(request.content) == {
                "client_id": "soldier",
                "client_secret": "hush",
                "session": SECRET.session,
            }
            self.given += 1
            return httpx.Response(200, json={"access_token": f"token-{self.given}", "expires_in": 300})
        if request.headers.get("Authorization") != f"Bearer token-{self.given}":
            return problem(self.refusal, "BadToken")
        return httpx.Response(200, json={"heartbeat_seconds": 1, "lease_seconds": 4, "era": 1})


def test_each_process_has_a_session_of_its_own_that_is_not_printed() -> None:
    one, other = (ClientSecret("soldier", SecretStr("hush")) for _ in range(2))
    assert one.session != other.session
    assert one.session not in repr(one)


async def test_a_token_is_fetched_once_for_many_calls() -> None:
    door = Doorkeeper()
    async with connect_in_process(httpx.MockTransport(door), SECRET) as commander:
        await asyncio.gather(*(commander.register(REGISTRATION) for _ in range(5)))
    assert door.given == 1


@pytest.mark.parametrize("refusal", [401, 403])
async def test_a_refused_token_is_replaced(refusal: int) -> None:
    door = Doorkeeper(refusal)
    async with connect_in_process(httpx.MockTransport(door), SECRET) as commander:
        await commander.register(REGISTRATION)
        door.given += 1  # somebody else's is the newest now: ours is refused
        with pytest.raises(CommanderAwayError, match=str(refusal)):
            await commander.register(REGISTRATION)
        await commander.register(REGISTRATION)


async def test_no_errors_text_carries_the_secret() -> None:
    with pytest.raises(CommanderAwayError) as raised:
        await answered(lambda _: problem(401, "BadCredentials"), claim, SECRET)
    assert "hush" not in str(raised.value)


# Tokens


class Mint:
    """Makes tokens by a clock that the test turns."""

    def __init__(self, lifetime_seconds: float = 30, chance: float = 1.0) -> None:
        self.now = 1000.0
        self.made = self.asked = 0
        self.is_away = False
        self.tokens = Tokens(self.make, SECRET, lambda: self.now, lambda: chance)
        self._lifetime_seconds = lifetime_seconds

    def make(self, _secret: Credential) -> TokenAnswer:
        self.asked += 1
        if self.is_away:
            raise CommanderAwayError("away")
        self.made += 1
        return TokenAnswer(access_token=f"token-{self.made}", expires_in=self._lifetime_seconds)


@pytest.mark.parametrize(("chance", "after"), [(0.0, 20), (0.5, 22.5), (1.0, 25)])
def test_a_token_of_30_s_is_renewed_between_20_and_25_s(chance: float, after: float) -> None:
    mint = Mint(chance=chance)
    assert mint.tokens.valid() is None
    assert mint.tokens.renewed() == "token-1"
    mint.now += after - 0.1
    assert mint.tokens.renewed() == "token-1"
    mint.now += 0.2
    assert mint.tokens.renewed() == "token-2"


def test_soldiers_that_begin_at_once_renew_spread_out() -> None:
    """20 soldiers, 100 lifetimes of 30 s, asking each 1.5 s as heartbeats do: one renewal each, never many at once."""
    chances = random.Random(6)
    moment, renewals = [0.0], Counter[int]()

    def mint(_: Credential) -> TokenAnswer:
        renewals[int(moment[0])] += 1
        return TokenAnswer(access_token="token", expires_in=30)

    soldiers = [Tokens(mint, SECRET, lambda: moment[0], chances.random) for _ in range(20)]
    while moment[0] < 3_000:
        for soldier in soldiers:
            soldier.renewed()
        moment[0] += 1.5
    first = renewals.pop(0)
    assert first == 20
    assert 20 * 3_000 / 27 <= renewals.total() <= 20 * 3_000 / 20, "each renews once in 20 to 26.5 s"
    assert max(renewals.values()) <= 10, "never more than half of them within a second"


def test_many_that_wait_for_one_failure_do_not_each_fetch_anew() -> None:
    mint = Mint()
    mint.is_away = True
    for _ in range(5):
        with pytest.raises(CommanderAwayError):
            mint.tokens.renewed()
    assert mint.asked == 1
    mint.is_away = False
    mint.now += 1.5
    assert mint.tokens.renewed() == "token-1"


def test_a_valid_token_bridges_a_commander_that_is_away() -> None:
    mint = Mint()
    mint.tokens.renewed()
    mint.is_away = True
    mint.now += 26
    assert mint.tokens.renewed() == "token-1"
    assert mint.tokens.valid() == "token-1"


def test_a_token_is_not_used_in_its_last_moments() -> None:
    mint = Mint()
    mint.tokens.renewed()
    mint.is_away = True
    mint.now += 28.5
    assert mint.tokens.valid() is None
    with pytest.raises(CommanderAwayError):
        mint.tokens.renewed()


def test_renewals_do_not_pester_a_commander_that_is_away() -> None:
    mint = Mint()
    mint.tokens.renewed()
    mint.is_away = True
    mint.now += 25
    assert [mint.tokens.renewed() for _ in range(5)] == ["token-1"] * 5
    assert mint.asked == 2
    mint.is_away = False
    mint.now += 1.5
    assert mint.tokens.renewed() == "token-2"


def test_a_client_secret_prints_without_its_secret() -> None:
    assert "hush" not in repr(SECRET)
