"""Attacks 14 and 42: a stranger's mission is a missing one, to every route, stream and clock, whatever is away.

Safe result: the same answer as for an id that never was: same status, same words, after the same work.
"""

import base64
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from support.commander_api import Api
from support.commander_stage import eventually
from support.problems import problem
from websockets.asyncio.client import connect

from mission_commander.api import missions
from mission_commander.services import vitals

MISSING = "00000000-0000-5000-8000-000000000000"
ABOUT_ONE = [
    ("GET", "/missions/{id}", None),
    ("GET", "/missions/{id}?wait=30s", None),
    ("GET", "/missions/{id}/history", None),
    ("PATCH", "/missions/{id}", {"suspend": True}),
    ("POST", "/missions/{id}/cancel", None),
    ("POST", "/missions/{id}/retry", None),
    ("POST", "/dead-letters/{id}/redrive", None),
]
EACH = pytest.mark.parametrize(("method", "path", "body"), ABOUT_ONE)


def without_request_id(answer: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "request_id"}


@EACH
async def test_attack_14_a_strangers_mission_is_answered_as_a_missing_one(
    api: Api, method: str, path: str, body: object
) -> None:
    annas = await api.submit("anna")
    ben = await api.client("ben")
    about_hers = await ben.request(method, path.format(id=annas["mission_id"]), json=body)
    about_none = await ben.request(method, path.format(id=MISSING), json=body)
    problem(about_hers, 404, "UnknownMission")
    assert without_request_id(about_hers) == without_request_id(about_none)
    assert about_hers.headers.keys() == about_none.headers.keys()
    assert await api.get(annas["mission_id"]) == annas, "and nothing came of it"


@EACH
async def test_attack_42_it_costs_the_same_look_into_the_ledger(
    api: Api, method: str, path: str, body: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    annas = await api.submit("anna")
    ben = await api.client("ben")
    looks: list[int] = []
    records = api.ledger.records

    async def counted(ids: Any) -> Any:
        looks.append(len(ids))
        return await records(ids)

    monkeypatch.setattr(api.ledger, "records", counted)
    await ben.request(method, path.format(id=MISSING), json=body)
    for_a_missing_one = list(looks)
    looks.clear()
    await ben.request(method, path.format(id=annas["mission_id"]), json=body)
    assert looks == for_a_missing_one == [1]


@EACH
async def test_attack_42_a_ledger_that_is_away_tells_no_difference(
    api: Api, method: str, path: str, body: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vitals, "NEWLY_BACK_SECONDS", 0.0)
    annas = await api.submit("anna")
    ben = await api.client("ben")
    api.ledger.cut()
    await eventually(lambda: api.commander.vitals.ledger_is_away, "the Commander has noticed")
    about_hers = await ben.request(method, path.format(id=annas["mission_id"]), json=body)
    about_none = await ben.request(method, path.format(id=MISSING), json=body)
    problem(about_hers, 503, "LedgerAway")
    assert without_request_id(about_hers) == without_request_id(about_none)
    api.ledger.mend()


async def test_attack_14_lists_and_lookups_leave_strangers_out(api: Api) -> None:
    annas = await api.submit("anna", type="secret-type", cancel=True)
    ben = await api.client("ben")
    for query in ({}, {"type": "secret-type"}, {"state": "CANCELLED"}, {"namespace": "default"}):
        assert (await ben.get("/missions", params=query)).json() == {"missions": []}
    assert (await ben.get("/dead-letters")).json() == {"dead_letters": []}
    looked_up = await ben.post("/missions/lookup", json={"ids": [annas["mission_id"], MISSING]})
    assert looked_up.json() == {"missions": [None, None]}


async def test_attack_14_streams_tell_a_stranger_nothing(api: Api) -> None:
    annas = await api.submit("anna")
    ben = await api.client("ben")
    url = api.url.replace("http", "ws", 1) + "/ws"
    headers = {"Authorization": ben.headers["Authorization"]}
    async with (
        ben.stream("GET", "/events", params={"mission_id": annas["mission_id"]}) as answer,
        connect(url, additional_headers=headers, proxy=None) as socket,
    ):
        await socket.send(f'{{"kind":"subscribe","mission_id":"{annas["mission_id"]}"}}')
        assert await socket.recv() == '{"kind":"subscribed"}'
        await (await api.client("anna")).post(f"/missions/{annas['mission_id']}/cancel")
        assert await socket.recv() == '{"kind":"pong"}', "a sign of life, a second later"
        lines = answer.aiter_lines()
        assert [await anext(lines) for _ in range(4)] == [": still here", "", ": still here", ""]


async def test_attack_14_a_name_finds_nothing(api: Api) -> None:
    operator = await api.client("operator")
    body = {"type": "noop", "payload": {}, "door": "cluster", "mission_id": "uid-1", "name": "payroll"}
    assert (await operator.post("/missions", json=body)).status_code == 202
    ben = await api.client("ben")
    for one in ("payroll", "uid-1", "default/payroll"):
        assert (await ben.get(f"/missions/{one}")).status_code == 404


@pytest.mark.parametrize("path", ["/missions?limit=5", "/missions?type=noop", "/missions?live=true"])
async def test_attack_14_a_cursor_names_no_stranger(api: Api, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missions, "MOST_SCANNED", 2)
    mine = await api.submit("ben")
    hidden = [(await api.submit("anna"))["mission_id"] for _ in range(5)]
    ben = await api.client("ben")
    seen: list[str] = []
    query: dict[str, str] = {}
    for _ in range(10):
        page = (await ben.get(path, params=dict(parse_qsl(urlsplit(path).query)) | query)).json()
        seen += [one["mission_id"] for one in page.get("missions", ())]
        if "cursor" not in page:
            break
        query = {"cursor": page["cursor"]}
        place = base64.urlsafe_b64decode(page["cursor"] + "==").decode()
        assert not [one for one in hidden if one in place], "a stranger's id"
    assert seen == [mine["mission_id"]]
