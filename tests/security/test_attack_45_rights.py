"""Attack 45: a user takes what was not given: another namespace, pool, type or priority, or a look at others' pools."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pydantic
import pytest
from support.commander_api import SECRET, Api, Soldier, serving, settings
from support.commander_stage import eventually

from mission_commander.adapters.memory_users import MemoryUserData
from mission_contracts.mission import Failure

RIGHTS: dict[str, Any] = {
    "shop": {"namespaces": ["default"], "pools": ["web", "gpu"], "types": ["noop"]},
    "urgent": {"high_priority": True},
    "nothing": {"pools": []},
}
CLIENTS = {
    "carl": {"secret": SECRET, "role": "user", "rights": "shop"},
    "dora": {"secret": SECRET, "role": "user", "rights": "urgent"},
    "eve": {"secret": SECRET, "role": "viewer", "rights": "nothing"},
}
PASSWORD = "correct horse battery"
NOOP: dict[str, Any] = {"type": "noop", "payload": {}, "pool": "web"}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving(more_clients=CLIENTS, rights=RIGHTS) as api:
        for pool in ("web", "gpu", "secret"):
            await api.declare_pool(pool)
        await (await api.client("operator")).put("/pools/elsewhere/web", json={})
        yield api


async def submitted(api: Api, who: str, **fields: Any) -> tuple[int, str, str | None]:
    """What a submission is answered, alone and in a batch."""
    client = await api.client(who)
    alone = await client.post("/missions", json=NOOP | fields)
    [item] = (await client.post("/missions/batch", json={"missions": [NOOP | fields]})).json()["results"]
    assert item["status"] == alone.status_code
    return alone.status_code, alone.json().get("code", ""), alone.json().get("field")


@pytest.mark.parametrize("who", ["anna", "carl", "dora", "ada"])
@pytest.mark.parametrize("namespace", ["kube-system", "others"])
async def test_attack_45_a_namespace_that_is_not_served_is_refused(api: Api, who: str, namespace: str) -> None:
    assert await submitted(api, who, namespace=namespace) == (422, "NamespaceNotServed", "namespace")


@pytest.mark.parametrize(
    ("field", "value"), [("namespace", "elsewhere"), ("pool", "secret"), ("type", "resize"), ("priority", "High")]
)
async def test_attack_45_what_is_not_in_ones_rights_is_refused(api: Api, field: str, value: str) -> None:
    assert await submitted(api, "carl", **{field: value}) == (403, "NoRight", field)
    client = await api.client("carl")
    assert (await client.post("/missions", json=NOOP | {field: value})).json()["detail"] == (
        f"your rights do not include {field} {value}: ask an admin for a set of rights that does"
    )


async def test_attack_45_what_is_in_ones_rights_is_accepted(api: Api) -> None:
    assert (await submitted(api, "carl", pool="gpu"))[0] == 202
    assert (await submitted(api, "dora", priority="High", pool="secret", namespace="elsewhere"))[0] == 202
    assert (await submitted(api, "ada", priority="High"))[0] == 202


async def test_attack_45_high_priority_is_nobodys_by_default(api: Api) -> None:
    assert await submitted(api, "anna", priority="High") == (403, "NoRight", "priority")
    assert (await submitted(api, "anna", pool="secret", namespace="elsewhere"))[0] == 202


async def test_attack_45_the_default_set_holds_for_those_that_name_none() -> None:
    async with serving(more_clients=CLIENTS, rights=RIGHTS, default_rights="shop") as api:
        assert await submitted(api, "anna", pool="secret") == (403, "NoRight", "pool")
        assert (await submitted(api, "dora", priority="High"))[0] == 202


async def pools_of(api: Api, who: str) -> list[tuple[str, str]]:
    shown = (await (await api.client(who)).get("/pools")).json()["pools"]
    return sorted((one["namespace"], one["name"]) for one in shown)


async def test_attack_45_one_sees_the_pools_that_one_may_use(api: Api) -> None:
    assert await pools_of(api, "carl") == [("default", "gpu"), ("default", "web")]
    assert await pools_of(api, "eve") == []
    everything = [("default", "gpu"), ("default", "secret"), ("default", "web"), ("elsewhere", "web")]
    for who in ("anna", "dora", "ada", "operator"):
        assert await pools_of(api, who) == everything


async def test_attack_45_news_of_pools_are_of_those_that_one_may_use(api: Api) -> None:
    told: list[str] = []

    async def watch() -> None:
        async with (await api.client("carl")).stream("GET", "/pools/events") as answer:
            async for line in answer.aiter_lines():
                told.append(line)  # noqa: PERF401  # each is looked at while the stream goes on

    watching = asyncio.create_task(watch())
    await eventually(lambda: told, "it watches")
    for pool in ("secret", "web"):
        await api.submit("ada", pool=pool)
    await eventually(lambda: any("web" in line for line in told), "work came to a pool that it may use")
    watching.cancel()
    assert not any("secret" in line for line in told)


async def test_attack_45_a_retry_needs_the_right_that_the_mission_needs_now(api: Api) -> None:
    await registered(api, "fred", "urgent")
    client = await logged_in(api, "fred")
    soldier = Soldier(api, pool="web")
    await soldier.register()
    made = (await client.post("/missions", json=NOOP | {"priority": "High", "retry": {"max_attempts": 1}})).json()
    async with soldier.taking():
        order = await soldier.next_order()
        await soldier.fail(order, await soldier.claim(order), Failure.GIVE_UP)
    await eventually(lambda: not api.commander.memory.live_count(), "it has failed")
    assert (await (await api.client("ada")).patch("/users/fred", json={"rights": "shop"})).status_code == 200
    again = await logged_in(api, "fred")
    for way in (f"/missions/{made['mission_id']}/retry", f"/dead-letters/{made['mission_id']}/redrive"):
        answer = await again.post(way)
        assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (403, "NoRight", "priority")
    many = (await again.post("/dead-letters/redrive")).json()
    assert (many["redriven"], [one["code"] for one in many["refused"]]) == (0, ["NoRight"])
    assert not api.commander.memory.live_count()


# Who gives rights.


async def registered(api: Api, name: str, rights: str) -> httpx.Response:
    body = {"username": name, "password": PASSWORD, "rights": rights}
    return await (await api.client("ada")).post("/register", json=body)


async def logged_in(api: Api, name: str) -> httpx.AsyncClient:
    client = await api.another()
    answer = await client.post("/login", json={"username": name, "password": PASSWORD})
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return client


async def test_attack_45_an_admin_gives_a_user_rights_and_other_ones_later(api: Api) -> None:
    assert (await registered(api, "fred", "shop")).json() == {"username": "fred", "role": "user", "rights": "shop"}
    answer = await (await logged_in(api, "fred")).post("/missions", json=NOOP | {"pool": "secret"})
    assert answer.json()["code"] == "NoRight"
    changed = await (await api.client("ada")).patch("/users/fred", json={"rights": ""})
    assert changed.json() == {"username": "fred", "role": "user"}
    answer = await (await logged_in(api, "fred")).post("/missions", json=NOOP | {"pool": "secret"})
    assert answer.status_code == 202


async def test_attack_45_only_an_admin_gives_rights() -> None:
    async with serving(rights=RIGHTS, registration="open") as api:
        stranger = await api.stranger()
        body = {"username": "fred", "password": PASSWORD}
        answer = await stranger.post("/register", json=body | {"rights": "urgent"})
        assert (answer.status_code, answer.json()["field"]) == (403, "rights")
        assert (await stranger.post("/register", json=body)).status_code == 201
        for client in (await logged_in(api, "fred"), await api.client("anna"), await api.client("operator")):
            assert (await client.patch("/users/fred", json={"rights": "urgent"})).status_code == 403


async def test_attack_45_a_set_that_is_not_there_is_given_to_nobody(api: Api) -> None:
    answer = await registered(api, "fred", "typo")
    assert (answer.status_code, answer.json()["field"]) == (422, "rights")
    ada = await api.client("ada")
    admin = {"username": "fred", "password": PASSWORD, "role": "admin", "rights": "shop"}
    answer = await ada.post("/register", json=admin)
    assert (answer.status_code, answer.json()["field"]) == (422, "rights"), "it would restrict nothing"
    assert (await ada.patch("/users/nobody", json={"rights": "shop"})).status_code == 404


async def test_attack_45_a_set_that_the_settings_have_no_longer_permits_nothing() -> None:
    users = MemoryUserData()
    async with serving(users=users, rights=RIGHTS) as api:
        assert (await registered(api, "fred", "shop")).status_code == 201
    async with serving(users=users) as api:
        await api.declare_pool("web")
        client = await logged_in(api, "fred")
        assert (await client.post("/missions", json=NOOP)).json()["code"] == "NoRight"
        assert (await client.get("/pools")).json()["pools"] == []


@pytest.mark.parametrize(
    "fields",
    [
        {"default_rights": "typo"},
        {"more_clients": {"carl": CLIENTS["carl"] | {"rights": "typo"}}},
        {"rights": RIGHTS, "more_clients": {"carl": CLIENTS["carl"] | {"role": "admin"}}},
        {"rights": {"shop": {"pool": ["web"]}}},
        {"rights": {"shop": {"pools": ["Web"]}}},
        {"rights": {"shop": {"pools": [f"pool-{number}" for number in range(1_001)]}}},
        {"rights": {f"set-{number}": {} for number in range(1_001)}},
        {"rights": {"": {}}},
    ],
    ids=["default", "client", "role", "field", "name", "names", "sets", "empty"],
)
def test_attack_45_settings_that_cannot_be_meant_stop_the_start(fields: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        settings(**fields)
