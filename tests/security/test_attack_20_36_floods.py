"""Attacks 20 and 36: floods of missions, and guesses at passwords. Each is slowed down; others notice nothing."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import bcrypt
import httpx
import pytest
from support.commander_api import SECRET, Api, serving
from support.problems import problem

from mission_contracts import metrics

NOOP: dict[str, Any] = {"type": "noop", "payload": {}}
PASSWORD = "correct horse battery"  # of a user of these tests


async def test_attack_20_a_flood_by_one_subject_is_bounded_and_the_others_are_served() -> None:
    async with serving(limit_submit="50 per hour", limit_live=30) as api:
        anna, ben = await api.client("anna"), await api.client("ben")
        flooding = [asyncio.create_task(anna.post("/missions", json=NOOP)) for _ in range(200)]
        bens = [(await ben.post("/missions", json=NOOP)).status_code for _ in range(20)]
        answers = [await one for one in flooding]
        assert bens == [202] * 20
        assert [one.status_code for one in answers].count(202) == 30
        refused = [one for one in answers if one.status_code != 202]
        assert {one.json()["code"] for one in refused} == {"QuotaReached", "TooManyRequests"}
        assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
        assert len(api.ledger.store.data.records) == 50, "nothing of what was refused is kept"


async def test_attack_20_a_flood_by_batches_is_bounded_by_its_missions() -> None:
    async with serving(limit_submit="500 per hour") as api:
        anna = await api.client("anna")
        answers = [await anna.post("/missions/batch", json={"missions": [NOOP] * 100}) for _ in range(20)]
        assert [one.status_code for one in answers] == [200] * 5 + [429] * 15
        await api.submit("ben")


# Guessing.


@pytest.fixture
async def guarded() -> AsyncIterator[Api]:
    async with serving(limit_login_user="5 per hour", limit_login_address="20 per hour") as api:
        ada = await api.client("ada")
        known = {"username": "anna", "password": PASSWORD, "role": "user"}
        assert (await ada.post("/register", json=known)).status_code == 201
        yield api


async def guess(api: Api, user: str, password: str = "a guess at it") -> tuple[int, dict[str, Any]]:
    """What a guess is told, but for the id of its request."""
    answer = await (await api.stranger()).post("/login", json={"username": user, "password": password})
    said = answer.json()
    said.pop("request_id", None)
    return answer.status_code, said


async def test_attack_36_whether_there_is_such_a_user_is_not_said(guarded: Api) -> None:
    told = [await guess(guarded, "anna"), await guess(guarded, "nobody")]
    assert told[0] == told[1]
    assert told[0][0] == 401


async def test_attack_36_nor_does_the_work_tell_it(guarded: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[bytes] = []
    check = bcrypt.checkpw

    def noted(password: bytes, hashed: bytes) -> bool:
        costs.append(hashed.split(b"$")[2])
        return check(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", noted)
    for user in ("anna", "nobody", "no name at all\n"):
        await guess(guarded, user)
    assert len(costs) == 3, "one check each"
    assert len(set(costs)) == 1, "of one cost"


async def test_attack_36_guesses_at_one_password_are_slowed_down_and_told_alike(guarded: Api) -> None:
    for user in ("anna", "nobody"):
        assert [(await guess(guarded, user))[0] for _ in range(7)] == [401] * 5 + [429] * 2
    (_, anna), (_, nobody) = await guess(guarded, "anna"), await guess(guarded, "nobody")
    anna.pop("retry_after_seconds"), nobody.pop("retry_after_seconds")
    anna["detail"], nobody["detail"] = (one["detail"].rpartition(" in ")[0] for one in (anna, nobody))
    assert anna == nobody
    assert (await guess(guarded, "anna", PASSWORD))[0] == 429, "nor is the right one told apart"
    assert guarded.commander.counts.number(metrics.LIMITED, "login_user") == 7


async def test_attack_36_one_address_guesses_at_many_users_no_faster(guarded: Api) -> None:
    statuses = [(await guess(guarded, f"user{number}"))[0] for number in range(25)]
    assert statuses == [401] * 20 + [429] * 5


async def test_attack_36_who_knows_the_password_logs_in_as_often_as_he_likes(guarded: Api) -> None:
    for _ in range(25):
        assert (await guess(guarded, "anna", PASSWORD))[0] == 200


async def test_attack_36_a_machines_secret_and_its_name_are_refused_alike(guarded: Api) -> None:
    stranger = await guarded.stranger()
    for client, secret in (("operator", "wrong"), ("nobody", "wrong"), ("nobody", SECRET), ("operator", "")):
        answer = await stranger.post("/token", json={"client_id": client, "client_secret": secret})
        assert problem(answer, 401, "BadCredentials") == "client id or secret is wrong: check both"


async def secret_of(api: Api, client: str, secret: str) -> httpx.Response:
    return await (await api.stranger()).post("/token", json={"client_id": client, "client_secret": secret})


@pytest.mark.parametrize("client", ["soldiers", "no-such-client"])
async def test_attack_36_guesses_at_a_machines_secret_are_slowed_down_and_told_alike(client: str) -> None:
    async with serving(limit_client="5 per hour") as api:
        answers = [await secret_of(api, client, f"guess {number}") for number in range(8)]
        assert [one.status_code for one in answers] == [401] * 5 + [429] * 3
        assert all(int(one.headers["retry-after"]) >= 1 for one in answers[5:])
        assert (await secret_of(api, client, SECRET)).status_code == 429, "nor is the right one told apart"
        assert (await secret_of(api, "operator", SECRET)).status_code == 200


async def test_attack_36_guesses_at_a_machines_secret_do_not_keep_the_machine_out() -> None:
    async with serving(limit_client="5 per hour", limit_client_address="8 per hour") as api:
        assert (await secret_of(api, "soldiers", SECRET)).status_code == 200
        guessed = [(await secret_of(api, "soldiers", f"guess {number}")).status_code for number in range(20)]
        assert guessed == [401] * 5 + [429] * 15
        assert [(await secret_of(api, "soldiers", SECRET)).status_code for _ in range(20)] == [200] * 20
