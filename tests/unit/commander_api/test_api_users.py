"""Users over HTTP: in, out, refreshed, deleted; and what nobody may do."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs
from support.commander_api import Api, serving, settings
from support.patience import until
from support.people import ADMIN, PASSWORD, logged_in, people
from support.problems import problem

from mission_commander.adapters.memory_users import MemoryUserData
from mission_commander.services import first_admin, users


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with people(tmp_path) as api:
        yield api


async def test_an_admin_registers_a_user_who_logs_in_and_works(api: Api) -> None:
    admin = await logged_in(api, ADMIN)
    answer = await admin.post("/register", json={"username": "ann", "password": PASSWORD})
    assert (answer.status_code, answer.json()) == (201, {"username": "ann", "role": "user"})
    ann = await logged_in(api, "ann")
    mission = (await ann.post("/missions", json={"type": "noop", "payload": {}})).json()
    assert (await ann.get(f"/missions/{mission['mission_id']}")).status_code == 200
    assert (await admin.get(f"/missions/{mission['mission_id']}")).status_code == 200, "an admin sees all"


async def test_a_later_user_of_the_name_sees_nothing_of_the_earlier_one(api: Api) -> None:
    admin = await logged_in(api, ADMIN)
    found = []
    for _ in range(2):
        await admin.post("/register", json={"username": "ann", "password": PASSWORD})
        ann = await logged_in(api, "ann")
        await ann.post("/missions", json={"type": "noop", "payload": {}}, headers={"Idempotency-Key": "same"})
        found.append([one["mission_id"] for one in (await ann.get("/missions")).json()["missions"]])
        assert (await admin.request("DELETE", "/delete-user", json={"username": "ann"})).status_code == 204
    assert len(found[0]) == len(found[1]) == 1
    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("asked", "status", "code", "field"),
    [
        pytest.param({"username": "Ann"}, 422, "BadField", "username", id="a name of other letters"),
        pytest.param({"username": "operator:x"}, 422, "BadField", "username", id="a colon"),
        pytest.param({"password": "short"}, 422, "BadField", "password", id="a short password"),
        pytest.param({"password": "x" * 1025}, 422, "BadField", "password", id="a long password"),
        pytest.param({"role": "operator"}, 422, "BadField", "role", id="a machine"),
        pytest.param({"username": ADMIN}, 409, "NameTaken", "username", id="a name that is taken"),
    ],
)
async def test_a_registration_is_refused(api: Api, asked: dict[str, str], status: int, code: str, field: str) -> None:
    admin = await logged_in(api, ADMIN)
    answer = await admin.post("/register", json={"username": "ann", "password": PASSWORD} | asked)
    problem(answer, status, code, field=field)


async def test_nobody_registers_himself_where_it_is_closed(api: Api) -> None:
    asked = {"username": "ann", "password": PASSWORD}
    problem(await (await api.stranger()).post("/register", json=asked), 401, "NoToken")
    problem(await (await api.client("anna")).post("/register", json=asked), 403, "WrongRole")


async def test_where_it_is_open_everybody_registers_as_a_user_and_no_more() -> None:
    async with serving(registration="open") as api:
        stranger = await api.stranger()
        asked = {"username": "ann", "password": PASSWORD}
        problem(await stranger.post("/register", json=asked | {"role": "admin"}), 403, "WrongRole", field="role")
        assert (await stranger.post("/register", json=asked)).status_code == 201
        assert (await stranger.post("/login", json=asked)).status_code == 200


@pytest.mark.parametrize("name", ["ann", "nobody", "not a name at all"])
async def test_a_refused_login_does_not_say_what_was_wrong(api: Api, name: str) -> None:
    await (await logged_in(api, ADMIN)).post("/register", json={"username": "ann", "password": PASSWORD})
    answer = await (await api.stranger()).post("/login", json={"username": name, "password": "wrong, but long"})
    assert problem(answer, 401, "BadCredentials") == "the name or the password is wrong: check both"


# Refreshing.


async def tokens_of(api: Api, name: str = ADMIN) -> dict[str, Any]:
    answer = await (await api.stranger()).post("/login", json={"username": name, "password": PASSWORD})
    assert answer.headers["cache-control"] == "no-store"
    tokens: dict[str, Any] = answer.json()
    return tokens


async def refresh(api: Api, tokens: dict[str, Any]) -> httpx.Response:
    body = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    return await (await api.stranger()).post("/token", json=body)


async def test_a_refresh_gives_the_next_pair(api: Api) -> None:
    first = await tokens_of(api)
    answer = await refresh(api, first)
    assert answer.status_code == 200
    second = answer.json()
    assert second["refresh_token"] != first["refresh_token"]
    headers = {"Authorization": f"Bearer {second['access_token']}"}
    assert (await (await api.stranger()).get("/status", headers=headers)).status_code == 200


async def test_a_refresh_token_is_no_secret_of_another_form(api: Api) -> None:
    tokens = await tokens_of(api)
    text = tokens["refresh_token"]
    for wrong in ("", "mcr.", text[:-1], text + "x", text.replace(".1.", ".2."), tokens["access_token"]):
        problem(await refresh(api, {"refresh_token": wrong}), 401, "BadCredentials")
    empty = await (await api.stranger()).post("/token", json={"grant_type": "refresh_token"})
    problem(empty, 422, "BadField", field="refresh_token")
    assert (await refresh(api, tokens)).status_code == 200, "all that harmed nobody"


async def test_the_refresh_token_of_a_deleted_user_opens_nothing(api: Api) -> None:
    admin = await logged_in(api, ADMIN)
    await admin.post("/register", json={"username": "ann", "password": PASSWORD})
    tokens = await tokens_of(api, "ann")
    await admin.request("DELETE", "/delete-user", json={"username": "ann"})
    problem(await refresh(api, tokens), 401, "BadCredentials")


# Out.


async def test_a_logout_ends_this_login_and_no_other(api: Api) -> None:
    here, there = await logged_in(api, ADMIN), await logged_in(api, ADMIN)
    assert (await here.post("/logout")).status_code == 204
    problem(await here.get("/status"), 401, "Revoked")
    assert (await there.get("/status")).status_code == 200


async def test_a_refresh_token_alone_ends_its_login(api: Api) -> None:
    tokens = await tokens_of(api)
    stranger = await api.stranger()
    assert (await stranger.post("/logout", json={"refresh_token": tokens["refresh_token"]})).status_code == 204
    problem(await refresh(api, tokens), 401, "BadCredentials")
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    problem(await stranger.get("/status", headers=headers), 401, "Revoked")


async def test_a_machine_has_no_login_to_end(api: Api) -> None:
    problem(await (await api.client("anna")).post("/logout"), 409, "NoLogin")
    problem(await (await api.stranger()).post("/logout"), 401, "NoToken")


async def test_a_user_deletes_himself_with_his_password_only(api: Api) -> None:
    await (await logged_in(api, ADMIN)).post("/register", json={"username": "ann", "password": PASSWORD})
    ann = await logged_in(api, "ann")
    for asked in ({"username": "ann", "password": "wrong"}, {"username": ADMIN, "password": PASSWORD}):
        problem(await ann.request("DELETE", "/delete-user", json=asked), 403, "NotYours")
    problem(await ann.request("DELETE", "/delete-user", json={"username": "ann"}), 422, "BadField", field="password")
    own = {"username": "ann", "password": PASSWORD}
    assert (await ann.request("DELETE", "/delete-user", json=own)).status_code == 204
    problem(await ann.get("/missions"), 401, "Revoked")
    problem(await (await api.stranger()).post("/login", json=own), 401, "BadCredentials")


async def test_the_first_admin_stays_while_the_settings_name_him(api: Api) -> None:
    admin = await logged_in(api, ADMIN)
    problem(
        await admin.request("DELETE", "/delete-user", json={"username": ADMIN}), 409, "FirstAdmin", field="username"
    )
    problem(await admin.request("DELETE", "/delete-user", json={"username": "no"}), 404, "NoSuchUser", field="username")


async def test_a_changed_password_in_the_secret_counts_from_the_next_start(tmp_path: Path) -> None:
    data = MemoryUserData()
    async with people(tmp_path, users=data) as api:
        before = await tokens_of(api)
    (tmp_path / "password").write_text("another one, and long\n")
    async with serving(users=data, first_admin=ADMIN, first_admin_password_file=tmp_path / "password") as api:
        await until(lambda: bool(data.revoked), "the earlier account is revoked")
        problem(await refresh(api, before), 401, "BadCredentials")
        now = {"username": ADMIN, "password": "another one, and long"}
        assert (await (await api.stranger()).post("/login", json=now)).status_code == 200


async def test_the_first_admin_is_made_again_when_the_store_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_admin, "LOOK_SECONDS", 0.01)
    data = MemoryUserData()
    async with people(tmp_path, users=data) as api:
        data.users.clear()
        await until(lambda: ADMIN in data.users, "the first admin is there again")
        assert (await (await logged_in(api, ADMIN)).get("/status")).status_code == 200


@pytest.mark.parametrize("written", [b"", b"\n", b"short", b"\xff" * 20, None])
async def test_a_secret_without_a_good_password_makes_nobody(tmp_path: Path, written: bytes | None) -> None:
    file = tmp_path / "password"
    if written is not None:
        await asyncio.to_thread(file.write_bytes, written)
    data = MemoryUserData()
    with capture_logs() as lines:
        async with serving(users=data, first_admin=ADMIN, first_admin_password_file=file) as api:
            answer = await (await api.stranger()).post("/login", json={"username": ADMIN, "password": ""})
            problem(answer, 401, "BadCredentials")
    assert not data.users
    assert any("first admin is not made" in line["event"] for line in lines)


def test_a_first_admin_has_a_name_that_can_log_in() -> None:
    with pytest.raises(ValueError, match="first_admin"):
        settings(first_admin="The Admin")


async def test_keys_rotate_replica_by_replica_and_nobody_notices(tmp_path: Path) -> None:
    data = MemoryUserData()
    async with people(tmp_path, users=data) as old, serving(users=data, token_key_generation=2) as new:
        for signs, checks in ((old, new), (new, old)):
            tokens = (await refresh(signs, await tokens_of(signs))).json()
            headers = {"Authorization": f"Bearer {tokens['access_token']}"}
            assert (await (await checks.stranger()).get("/status", headers=headers)).status_code == 200
            assert (await refresh(checks, tokens)).status_code == 200
        published = (await (await new.stranger()).get("/.well-known/jwks.json")).json()["keys"]
        assert [key["kid"] for key in published] == ["access-1", "access-2", "access-3"]


async def test_while_the_store_is_away_users_work_and_admins_wait(tmp_path: Path) -> None:
    data = MemoryUserData()
    async with people(tmp_path, users=data) as api:
        admin = await logged_in(api, ADMIN)
        await admin.post("/register", json={"username": "ann", "password": PASSWORD})
        ann = await logged_in(api, "ann")
        data.is_away = True

        async def refused() -> httpx.Response:
            answer = await admin.get("/status")
            while answer.status_code == 200:
                answer = await admin.get("/status")
            return answer

        problem(await refused(), 503, "RevocationsUnknown")
        assert (await ann.get("/missions")).status_code == 200
        assert (await (await api.client("ada")).get("/status")).status_code == 200, "a machine's token is never revoked"
        login = await (await api.stranger()).post("/login", json={"username": "ann", "password": PASSWORD})
        problem(login, 503, "LedgerAway")


async def test_the_audit_log_has_no_secret(api: Api) -> None:
    with capture_logs() as lines:
        admin = await logged_in(api, ADMIN)
        stranger = await api.stranger()
        await admin.post("/register", json={"username": "ann", "password": PASSWORD})
        tokens = await tokens_of(api, "ann")
        await stranger.post("/login", json={"username": PASSWORD, "password": "typed in the wrong field"})
        await refresh(api, tokens)
        await refresh(api, {"refresh_token": tokens["access_token"]})
        await admin.request("DELETE", "/delete-user", json={"username": "ann"})
        await admin.post("/logout")
    told = " ".join(line["event"] for line in lines)
    for words in ("logged in", "registered", "login was refused", "refresh token was refused", "deleted", "ended"):
        assert words in told
    everything = repr(lines)
    for secret in (PASSWORD, "typed in the wrong field", tokens["access_token"], tokens["refresh_token"], "$2b$"):
        assert secret not in everything


async def test_one_user_has_so_many_logins_and_another_one_ends_the_oldest(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "MAX_LOGINS", 3)
    stranger, own = await api.stranger(), {"username": ADMIN, "password": PASSWORD}
    pairs = [(await stranger.post("/login", json=own)).json() for _ in range(5)]
    assert [(await refresh(api, pair)).status_code for pair in pairs] == [401, 401, 200, 200, 200]
