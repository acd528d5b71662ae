"""Attacks 32 and 39: words that would be more than words, and secrets that would be told."""

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from support.bare_http import BareHttp
from support.commander_api import SECRET, Api, serving, settings
from support.problems import problem

NOOP: dict[str, Any] = {"type": "noop", "payload": {}}
ODD = {
    "a new line": "one\r\nSet-Cookie: two",
    "a bare line feed": "one\ntwo",
    "an escape sequence": "one\x1b[31mtwo\x1b]0;three\x07",
    "a zero": "one\0two",
    "a line separator": "one\u2028two",
    "the other direction": "one\u202etwo",
}


# 32: line feeds and escape sequences.


@pytest.mark.parametrize("word", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("field", ["type", "pool", "namespace", "name"])
async def test_attack_32_a_name_is_a_name(api: Api, field: str, word: str) -> None:
    answer = await (await api.client("anna")).post("/missions", json=NOOP | {field: word})
    problem(answer, 422, "BadField", field=field)
    assert "set-cookie" not in answer.headers
    assert not api.ledger.store.data.records


@pytest.mark.parametrize("word", ODD.values(), ids=ODD.keys())
async def test_attack_32_what_is_repeated_of_a_path_stays_within_its_answer(api: Api, word: str) -> None:
    anna = await api.client("anna")
    for method, path in (("GET", "/"), ("GET", "/missions/"), ("POST", "/missions/"), ("PUT", "/pools/default/")):
        quoted = "".join(f"%{byte:02X}" for byte in word.encode())
        answer = await anna.request(method, path + quoted, content=b"{}" if method != "GET" else None)
        assert 400 <= answer.status_code < 500, (path, answer.text)
        assert "set-cookie" not in answer.headers
        assert not re.search(rb"[\x00-\x1f\x7f]", answer.content), "control characters are written as escapes"


@pytest.mark.parametrize("given", [b"a b", b"x" * 129, b"\xff\xfe", b""])
async def test_attack_32_a_request_id_that_is_none_is_replaced(bare: BareHttp, given: bytes) -> None:
    head = b"GET /livez HTTP/1.1\r\nHost: commander\r\nRequest-Id: " + given + b"\r\n\r\n"
    answer = await bare.exchange(head)
    [echoed] = re.findall(rb"request-id: (.*)\r\n", answer.text)
    assert re.fullmatch(rb"[0-9a-f]{16}", echoed)


async def test_attack_32_an_operators_id_makes_no_header(api: Api) -> None:
    answer = await (await api.client("operator")).post("/missions", json=NOOP | {"mission_id": "a\r\nSet-Cookie: b"})
    assert answer.status_code in {202, 422}, answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_attack_32_one_event_is_one_line_of_the_log(log_format: str) -> None:
    code = """
import json, logging, sys
from mission_commander import logs
import structlog
logs.set_up(sys.argv[1], "info")
for word in json.loads(sys.argv[2]):
    structlog.get_logger("api").warning("refused", name=word)
    logging.getLogger("library").warning("refused %s", word)
"""
    arguments = [log_format, json.dumps(list(ODD.values()))]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    lines = done.stderr.removesuffix("\n").split("\n")
    assert len(lines) == 2 * len(ODD), done.stderr
    if log_format == "json":
        assert "\x1b" not in done.stderr
        assert all(json.loads(line)["level"] == "warning" for line in lines)


# 39: secrets.

CANARIES: Mapping[str, str] = {
    "install_key": "canary-of-the-install-key-0123456789",
    "redis_url": "redis://someone:canary-of-redis@127.0.0.1:6379/0",
    "rabbitmq_urls": "amqp://someone:canary-of-rabbitmq@127.0.0.1:5672/",
}
WORDS = ("canary-of", SECRET)


@pytest.fixture
async def canaries() -> AsyncIterator[Api]:
    told: dict[str, Any] = dict(CANARIES)
    async with serving(**told) as api:
        await api.declare_pool()
        yield api


def tells(text: str) -> list[str]:
    return [line for line in text.splitlines() if any(word in line for word in WORDS)]


async def test_attack_39_neither_an_answer_nor_the_log_tells_a_secret(
    canaries: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    stranger, ada = await canaries.stranger(), await canaries.client("ada")
    looks = ("/", "/health", "/status", "/metrics", "/openapi.json", "/docs", "/debug", "/env", "/config", "/.env")
    answers = [await client.get(path) for client in (stranger, ada) for path in looks]
    answers += [await ada.post("/missions", content=body) for body in (b"{", b"[]", b'{"type":"x"}')]
    answers += [await stranger.post("/token", json={"client_id": "ada", "client_secret": SECRET[:-1]})]
    for answer in answers:
        assert not tells(answer.text + str(answer.headers)), answer.url
    assert not tells("".join(capfd.readouterr()))


async def test_attack_39_an_error_of_ours_tells_its_request_and_nothing_else(
    canaries: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails() -> None:
        raise RuntimeError(CANARIES["install_key"])

    monkeypatch.setattr(canaries.commander.overview, "view", fails)
    answer = await (await canaries.client("ada")).get("/status")
    problem(answer, 500, "Unexpected")
    assert not tells(answer.text)
    assert "RuntimeError" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_attack_39_a_traceback_shows_no_variables(log_format: str) -> None:
    code = """
import sys
from mission_commander import logs
import structlog
logs.set_up(sys.argv[1], "info")
def fails():
    secret = sys.argv[2]
    raise ValueError("something is wrong")
try:
    fails()
except ValueError:
    structlog.get_logger("api").exception("a request failed")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, log_format, WORDS[0]], capture_output=True, text=True, check=True, timeout=60
    )
    assert "something is wrong" in done.stderr
    assert not tells(done.stderr)


def test_attack_39_settings_print_without_secrets() -> None:
    told: dict[str, Any] = dict(CANARIES)
    chosen = settings(**told)
    for shown in (repr(chosen), str(chosen), repr(chosen.clients)):
        assert SECRET not in shown
        assert "install-key" not in shown
