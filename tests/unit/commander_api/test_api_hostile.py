"""Whatever comes in over HTTP gets one clear answer, and the next request is served as if it had not come."""

import contextlib
import json
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

import httpx
import pytest
from support import hostile
from support.commander_api import Api
from support.hostile import Hostile

from mission_contracts.errors import PROBLEM_CONTENT_TYPE

BODIES: Final = (
    ("anna", "POST", "/missions"),
    ("anna", "POST", "/missions/batch"),
    ("anna", "POST", "/missions/lookup"),
    ("operator", "POST", "/missions"),
    ("operator", "POST", "/missions/batch"),
    ("operator", "POST", "/missions/acknowledged"),
    ("operator", "PUT", "/pools/default/p"),
    ("anna", "PATCH", "/missions/{id}"),
    ("anna", "POST", "/missions/{id}/cancel"),
    ("anna", "POST", "/dead-letters/redrive"),
    ("anna", "POST", "/token"),
    ("anna", "POST", "/login"),
    ("anna", "POST", "/logout"),
    ("ada", "POST", "/register"),
    ("ada", "DELETE", "/delete-user"),
    ("soldiers", "POST", "/soldiers"),
    ("soldiers", "POST", "/soldiers/s-1/claims"),
    ("soldiers", "POST", "/soldiers/s-1/heartbeat"),
)
WITHIN: Final = (
    b'{"type": "noop", "payload": %b}',
    b'{"missions": [%b, {"type": "noop", "payload": {}}]}',
    b'{"missions": [{"type": "noop", "payload": %b}, {"type": "noop", "payload": {}}]}',
    b'{"missions": %b}',
    b'{"type": "noop", "payload": {}, "retry": %b}',
    b'{"type": "noop", "payload": {}, "start_after": %b}',
    b'{"type": "noop", "payload": {}, "timeout_seconds": %b}',
    b'{"type": %b, "payload": {}}',
)
REGISTRATION: Final = b'{"instance": "s-1", "namespace": "default", "pool": "default", "types": [%b], "schemas": %b}'
CLAIMS: Final = b'{"claims": [{"mission_id": %b, "epoch": %b}]}'
HEARTBEAT: Final = b'{"era": %b, "number": 1, "held": %b}'

QUERIES: Final = {
    "/missions": ("namespace", "limit", "cursor", "live", "state", "type", "pool", "door", "unacknowledged", "x"),
    "/missions/{id}": ("wait", "x"),
    "/dead-letters": ("namespace", "type", "pool", "reason", "since", "limit", "cursor"),
    "/events": ("namespace", "door", "pool", "x"),
    "/rejected": ("limit",),
}
HEADERS: Final = (
    "Idempotency-Key",
    "Request-Id",
    "Last-Event-ID",
    "Content-Type",
    "Accept",
    "Authorization",
    "X-Other",
)
FIELDS: Final = ("type", "username", "password", "mission_id", "namespace", "message", "instance", "cursor", "name")
MAX_QUERY_CHARACTERS: Final = 4_000
"""A longer head is refused before anything reads it."""

pytestmark = pytest.mark.timeout(120)


def check(answer: httpx.Response, about: str) -> None:
    """One clear answer: never a fault of ours, and a sentence where it is no."""
    assert answer.status_code < 500, (about, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == PROBLEM_CONTENT_TYPE, (about, answer.text)
        assert len(answer.json()["detail"].split()) >= 4, (about, answer.text)
        assert len(answer.content) < 4_096, (about, "the answer repeats what was sent")


async def check_that_others_are_served(api: Api) -> None:
    mission = await api.submit("ben")
    assert (await api.get(mission["mission_id"], "ben"))["state"] in {"QUEUED", "IN_PROGRESS"}
    health = await (await api.stranger()).get("/health")
    assert health.status_code == 200, health.text


def bodies(document: bytes) -> Iterator[bytes]:
    yield document
    yield from (frame % document for frame in WITHIN)
    yield REGISTRATION % (document, document)
    yield CLAIMS % (document, document)
    yield HEARTBEAT % (document, document)


@pytest.mark.parametrize("document", hostile.params(hostile.DOCUMENTS))
async def test_a_hostile_body_gets_one_clear_answer_on_every_route(api: Api, document: Hostile[bytes]) -> None:
    mission = await api.submit()
    made = document.make()
    for who, method, route in BODIES:
        client = await api.client(who)
        path = route.replace("{id}", mission["mission_id"])
        for body in bodies(made) if len(made) < 1_000_000 else [made]:
            answer = await send(client, method, path, body)
            if answer is not None:
                check(answer, f"{method} {route} as {who}: {body[:80]!r}")
    await check_that_others_are_served(api)


async def send(client: httpx.AsyncClient, method: str, path: str, body: bytes) -> httpx.Response | None:
    """None where the server closed the connection, after its answer, while a long body was still being sent."""
    with contextlib.suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        return await client.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert len(body) > 4_096
    return None


@pytest.mark.parametrize("text", hostile.params(hostile.TEXTS))
async def test_a_hostile_text_gets_one_clear_answer_wherever_it_stands(api: Api, text: Hostile[str]) -> None:
    mission = await api.submit()
    encoded = str.encode(text.make(), errors="surrogatepass")[:MAX_QUERY_CHARACTERS]
    client = await api.client("ada")
    for route, names in QUERIES.items():
        path = route.replace("{id}", mission["mission_id"])
        for name in names:
            # Streams that are let in never end: only the beginning of an answer is read.
            async with client.stream("GET", f"{path}?{name}={quote(encoded)}") as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    check(answer, f"{route} {name}")
    for path in (
        f"/missions/{quote(encoded, safe='')}",
        f"/{quote(encoded)}",
        f"/missions/{quote(encoded, safe='')}/cancel",
    ):
        check(await client.get(path), path[:80])
    await check_that_others_are_served(api)


@pytest.mark.parametrize("text", hostile.params(hostile.TEXTS))
async def test_a_hostile_text_in_a_body_gets_one_clear_answer(api: Api, text: Hostile[str]) -> None:
    made = str.__str__(text.make())[:100_000]
    document = json.dumps(str.__add__(made, "")).encode()
    for who, method, route in BODIES:
        client = await api.client(who)
        for field in (
            "type",
            "username",
            "password",
            "mission_id",
            "namespace",
            "message",
            "instance",
            "cursor",
            "name",
        ):
            body = b'{"payload": {}, "type": "noop", %b: %b}' % (json.dumps(field).encode(), document)
            answer = await send(client, method, route.replace("{id}", "m-1"), body)
            if answer is not None:
                check(answer, f"{method} {route} {field}")
    await check_that_others_are_served(api)


@pytest.mark.parametrize("name", HEADERS)
async def test_a_hostile_header_gets_one_clear_answer(api: Api, name: str) -> None:
    client = await api.client("anna")
    for title, make in hostile.TEXTS.items():
        value = str.encode(make(), errors="surrogatepass")[:MAX_QUERY_CHARACTERS]
        headers = [(key, item) for key, item in client.headers.raw if key.lower() != name.lower().encode()]
        try:
            answer = await client.post(
                "/missions", content=b'{"type":"noop","payload":{}}', headers=[*headers, (name.encode(), value)]
            )
        except httpx.LocalProtocolError:
            continue  # the client does not send it
        if answer.status_code == 400 and answer.headers["content-type"] != PROBLEM_CONTENT_TYPE:
            assert answer.text == "Invalid HTTP request received.", title  # the parser's own words
            continue
        check(answer, f"{name}: {title}")
    await check_that_others_are_served(api)
