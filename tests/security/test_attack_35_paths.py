"""Attack 35: path tricks, method override, other origins. Safe result: 404 or 405, and no origin is let in."""

from collections import defaultdict

import pytest
from starlette.routing import Route
from support.bare_http import BareHttp
from support.commander_api import Api
from support.problems import problem


def spelled_out(api: Api) -> dict[str, set[str]]:
    """Every path without a parameter, and its methods."""
    found: dict[str, set[str]] = defaultdict(set)
    for route in api.routes:
        if isinstance(route, Route) and "{" not in route.path:
            found[route.path] |= route.methods or set()
    assert {"/missions/batch", "/missions", "/status"} < set(found)
    return found


@pytest.mark.parametrize(
    "path",
    [
        "//missions",
        "/missions/",
        "/missions//",
        "/missions.",
        "/Missions",
        "/./status",
        "/livez/../status",
        "/%2e%2e/status",
        "/missions%2F..%2Fstatus",
        "/status%00",
        "/status;x=1",
        "/status/",
        "/\\status",
    ],
)
async def test_attack_35_a_path_is_what_it_says(api: Api, bare: BareHttp, path: str) -> None:
    """Sent as it is written: an HTTP client would tidy it."""
    authorization = (await api.client("ada")).headers["Authorization"]
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n"
    answer = await bare.exchange(head.encode())
    assert set(answer.statuses) <= {400, 404, 405}, answer.text
    assert answer.statuses


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "CONNECT", "PROPFIND", "DELETE", "PUT"])
async def test_attack_35_other_methods_are_not_allowed(api: Api, method: str) -> None:
    client = await api.client("ada")
    answer = await client.request(method, "/missions")
    problem(answer, 405, "MethodNotAllowed")
    assert {one.strip() for one in answer.headers["allow"].split(",")} == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize("who", ["ada", "operator"])
async def test_attack_35_a_path_that_is_spelled_out_is_no_id(api: Api, who: str) -> None:
    client = await api.client(who)
    for path, allowed in spelled_out(api).items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - allowed:
            answer = await client.request(method, path)
            problem(answer, 405, "MethodNotAllowed")
            assert {one.strip() for one in answer.headers["allow"].split(",")} == allowed, (method, path)


async def test_attack_35_an_id_that_looks_like_such_a_path_is_an_id(api: Api) -> None:
    client = await api.client("ada")
    for path in ("/missions/batches", "/missions/batch1", "/missions/Batch"):
        assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
async def test_attack_35_no_header_makes_another_method_of_one(api: Api, header: str) -> None:
    mission = await api.submit()
    client = await api.client("anna")
    answer = await client.get(f"/missions/{mission['mission_id']}", headers={header: "DELETE"})
    assert answer.json() == mission
    again = await client.post(
        "/missions?_method=DELETE", json={"type": "noop", "payload": {}}, headers={header: "DELETE"}
    )
    assert again.status_code == 202


@pytest.mark.parametrize("path", ["/missions", "/status", "/health", "/openapi.json", "/docs"])
async def test_attack_35_no_other_origin_is_let_in(api: Api, path: str) -> None:
    client = await api.client("ada")
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for answer in (await client.get(path, headers=asked), await client.options(path, headers=asked)):
        assert not [name for name in answer.headers if name.startswith("access-control-")]
