"""Attacks 8 to 11: refresh tokens that are used as others, used twice or used after the end."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from support.commander_api import Api, serving
from support.people import ADMIN, PASSWORD, people
from support.problems import problem

from mission_commander.adapters.memory_users import MemoryUserData
from mission_contracts.tokens import LONGEST_TOKEN_SECONDS

Tokens = dict[str, Any]

PATIENCE_SECONDS = 15.0


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with people(tmp_path) as api:
        yield api


async def log_in(api: Api) -> Tokens:
    answer = await (await api.stranger()).post("/login", json={"username": ADMIN, "password": PASSWORD})
    tokens: Tokens = answer.json()
    return tokens


async def refresh(api: Api, token: str) -> httpx.Response:
    body = {"grant_type": "refresh_token", "refresh_token": token}
    return await (await api.stranger()).post("/token", json=body)


async def get(api: Api, token: str) -> httpx.Response:
    return await (await api.stranger()).get("/status", headers={"Authorization": f"Bearer {token}"})


async def test_attack_08_each_token_opens_its_own_door_only(api: Api) -> None:
    tokens = await log_in(api)
    problem(await get(api, tokens["refresh_token"]), 401, "BadToken")
    problem(await refresh(api, tokens["access_token"]), 401, "BadCredentials")


async def test_attack_09_a_refresh_token_that_is_used_again_later_ends_the_whole_login(tmp_path: Path) -> None:
    async with people(tmp_path, refresh_retry_seconds=0) as api:
        stolen = await log_in(api)
        owner = (await refresh(api, stolen["refresh_token"])).json()
        with capture_logs() as lines:
            problem(await refresh(api, stolen["refresh_token"]), 401, "BadCredentials")
        assert [line["newest"] for line in lines if "used twice" in line["event"]] == [2]
        problem(await refresh(api, owner["refresh_token"]), 401, "BadCredentials")
        for tokens in (stolen, owner):
            problem(await get(api, tokens["access_token"]), 401, "Revoked")
        assert (await get(api, (await log_in(api))["access_token"])).status_code == 200, "another login is another"


async def test_attack_09_two_rotations_back_is_reuse_however_soon(api: Api) -> None:
    first = await log_in(api)
    second = (await refresh(api, first["refresh_token"])).json()
    third = (await refresh(api, second["refresh_token"])).json()
    problem(await refresh(api, first["refresh_token"]), 401, "BadCredentials")
    problem(await refresh(api, third["refresh_token"]), 401, "BadCredentials")


async def test_attack_10_many_at_once_get_the_very_same_pair(api: Api) -> None:
    tokens = await log_in(api)
    answers = await asyncio.gather(*(refresh(api, tokens["refresh_token"]) for _ in range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.text for answer in answers}) == 1, "never two live branches"
    assert (await refresh(api, answers[0].json()["refresh_token"])).status_code == 200


async def test_attack_10_a_retry_after_a_lost_answer_gets_the_very_same_pair(api: Api) -> None:
    tokens = await log_in(api)
    lost = await refresh(api, tokens["refresh_token"])
    again = await refresh(api, tokens["refresh_token"])
    assert (again.status_code, again.text) == (200, lost.text)


async def test_attack_11_a_revoked_token_is_refused_on_every_replica(tmp_path: Path) -> None:
    """Here in one process; on Redis, with the second that it may take, in tests/integration."""
    data = MemoryUserData()
    async with people(tmp_path, users=data) as here, serving(users=data) as there:
        by_logout, by_reuse = await log_in(here), await log_in(here)
        assert (await get(there, by_logout["access_token"])).status_code == 200
        assert (await get(there, by_reuse["access_token"])).status_code == 200
        headers = {"Authorization": f"Bearer {by_logout['access_token']}"}
        assert (await (await here.stranger()).post("/logout", headers=headers)).status_code == 204
        await is_out(there, by_logout)
        newest = by_reuse
        for _ in range(2):
            newest = (await refresh(here, newest["refresh_token"])).json()
        await refresh(here, by_reuse["refresh_token"])
        await is_out(there, newest)


async def is_out(api: Api, tokens: Tokens) -> None:
    problem(await changed(api, tokens, 200), 401, "Revoked")


async def changed(api: Api, tokens: Tokens, status: int) -> httpx.Response:
    """Ask until the answer is another than this."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = await get(api, tokens["access_token"])
            if answer.status_code != status:
                return answer


async def test_attack_11_an_open_event_stream_ends_with_its_login(api: Api) -> None:
    tokens = await log_in(api)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    watcher = await api.another()
    async with asyncio.timeout(PATIENCE_SECONDS), watcher.stream("GET", "/events", headers=headers) as events:
        assert events.status_code == 200
        texts = events.aiter_bytes()
        await anext(texts)
        assert (await (await api.stranger()).post("/logout", headers=headers)).status_code == 204
        async for _ in texts:
            pass  # what was under way; then it ends by itself


async def test_attack_11_while_the_store_is_away_privileged_routes_are_closed(tmp_path: Path) -> None:
    data = MemoryUserData()
    async with people(tmp_path, users=data) as api:
        tokens = await log_in(api)
        data.is_away = True
        problem(await changed(api, tokens, 200), 503, "RevocationsUnknown")
        data.is_away = False
        assert (await changed(api, tokens, 503)).status_code == 200


async def test_attack_11_a_new_replica_lets_no_user_in_before_it_knows_who_is_out(tmp_path: Path) -> None:
    data = MemoryUserData()
    async with people(tmp_path, users=data) as here:
        tokens = await log_in(here)
        data.is_away = True
        async with serving(users=data) as there:
            problem(await get(there, tokens["access_token"]), 503, "RevocationsUnknown")


async def test_attack_11_a_revocation_outlives_every_token_that_it_is_about(tmp_path: Path) -> None:
    """Also those that were made while a setting let them live longer than it does now."""
    data = MemoryUserData()
    async with people(tmp_path, users=data, token_seconds=LONGEST_TOKEN_SECONDS) as before:
        tokens = await log_in(before)
    async with people(tmp_path, users=data, token_seconds=30) as now:
        await (await now.stranger()).post("/logout", json={"refresh_token": tokens["refresh_token"]})
        [revocation] = data.revoked
        assert revocation.until > time.time() + LONGEST_TOKEN_SECONDS
        problem(await get(now, tokens["access_token"]), 401, "Revoked")
