"""Small parts: signs of life, Events, deletions in time, tokens, settings, help."""

import asyncio
import logging
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
from support.operator_builders import NAME, NAMESPACE, NOON, UID, a_view
from support.patience import until

from mission_contracts.mission import MissionId, MissionState, Reason
from mission_contracts.testing import FakeClock
from mission_operator import logs
from mission_operator.__main__ import main
from mission_operator.announcing import Announcer
from mission_operator.backoff import Backoff, Pause
from mission_operator.canary import Echoes
from mission_operator.commander.client import (
    CommanderAwayError,
    CommanderClient,
    CommanderRefusedError,
    TokenSource,
    by_secret,
)
from mission_operator.kube import Answer
from mission_operator.missions.expiring import Expiry
from mission_operator.pools import default
from mission_operator.probes import Probes
from mission_operator.settings import OperatorSettings


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


# Signs of life


def test_a_write_that_the_watch_does_not_show_is_overdue(clock: FakeClock) -> None:
    echoes = Echoes(clock)
    echoes.expect(10)
    clock.turn(4)
    echoes.expect(11)
    echoes.seen(9)
    assert echoes.overdue_seconds == 4
    echoes.seen(10)
    assert echoes.overdue_seconds == 0


def test_a_write_that_was_seen_before_its_answer_came_is_not_waited_for(clock: FakeClock) -> None:
    echoes = Echoes(clock)
    echoes.seen(10)
    echoes.expect(10)
    clock.turn(60)
    assert echoes.overdue_seconds == 0


async def test_probes_say_what_is_wrong() -> None:
    wrong = {"text": ""}
    probes = Probes(live=lambda: wrong["text"], ready=lambda: "")
    async with probes.serving("127.0.0.1", 0) as port, httpx.AsyncClient(trust_env=False) as http:
        url = f"http://127.0.0.1:{port}"
        assert (await http.get(f"{url}/livez")).status_code == 200
        wrong["text"] = "the watch is dead"
        answer = await http.get(f"{url}/livez")
        assert (answer.status_code, answer.text) == (503, "the watch is dead\n")
        assert (await http.get(f"{url}/readyz")).status_code == 200
        assert (await http.get(f"{url}/elsewhere")).status_code == 404


def test_waits_grow_within_bounds_and_obey_the_server() -> None:
    backoff = Backoff(first=1, last=4)
    waits = [backoff.next() for _ in range(4)]
    for wait, bound in zip(waits, (1, 2, 4, 4), strict=True):
        assert bound / 2 <= wait <= bound
    assert backoff.next(at_least=30) == 30
    backoff.reset()
    assert backoff.next() <= 1


async def test_those_who_fail_together_wait_together_and_one_answer_ends_their_wait() -> None:
    pause = Pause(Backoff(first=60, last=60))
    pause.failed()
    pause.failed()
    waiting = asyncio.create_task(pause.over())
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done, "it is not time yet"
    waiting.cancel()
    pause.answered()
    async with asyncio.timeout(5):
        await pause.over()


@pytest.mark.parametrize(
    ("said", "is_said"),
    [
        ("Request attempt #1 failed; will retry: GET /apis", True),
        ("Request attempt #2 failed; will retry: GET /apis", False),
        ("Request attempt #12/40 failed; will retry: GET /apis", False),
        ("Request attempt #12/12 failed; escalating: GET /apis", True),
        ("Watch-stream is inactive", True),
    ],
)
def test_a_request_that_is_tried_again_and_again_is_worth_one_line(said: str, is_said: bool) -> None:
    record = logging.LogRecord("kopf", logging.ERROR, __file__, 1, said, None, None)
    assert logs.is_worth_a_line(record) is is_said


# Events


class FakePosting:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    async def request(self, method: str, path: str, body: bytes | None = None) -> Answer:
        assert path == f"/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events"
        self.events.append(msgspec.json.decode(body or b""))
        return Answer(201, b"{}")


async def _posted(announcer: Announcer, posting: FakePosting, count: int) -> list[dict[str, Any]]:
    work = asyncio.create_task(announcer.run())
    await until(lambda: len(posting.events) >= count, f"{count} Events are posted", seconds=5)
    work.cancel()
    return posting.events


async def test_a_remarkable_moment_is_announced_once(clock: FakeClock) -> None:
    posting = FakePosting()
    announcer = Announcer(posting, clock, "me")
    retry = a_view(reason=Reason.RETRY_BACKOFF, attempt=1, message="it failed", sequence=2)
    for view in (
        a_view(),
        retry,
        msgspec.structs.replace(retry, sequence=3),
        msgspec.structs.replace(retry, attempt=2),
    ):
        announcer.tell_of(view)
    announcer.tell_of(a_view(MissionState.COMPLETED, 9, reason=Reason.COMPLETED))
    announcer.tell_of(a_view(MissionState.FAILED, 9, reason=Reason.ATTEMPTS_EXHAUSTED, attempt=3))
    events = await _posted(announcer, posting, 3)
    assert [(one["reason"], one["type"]) for one in events] == [
        ("Retried", "Normal"),
        ("Retried", "Normal"),
        ("DeadLettered", "Warning"),
    ]
    assert events[0]["regarding"]["uid"] == UID
    assert events[0]["note"] == "it failed"


@pytest.mark.parametrize("message", ["é" * 2_000, "𝄞" * 600, "x" * 2_000, "caf\udce9" * 500, "é" * 512])
async def test_a_note_is_within_what_the_api_server_takes_in_bytes(clock: FakeClock, message: str) -> None:
    posting = FakePosting()
    announcer = Announcer(posting, clock, "é" * 100)
    announcer.tell_of(a_view(MissionState.FAILED, 9, reason=Reason.GAVE_UP, message=message))
    (event,) = await _posted(announcer, posting, 1)
    assert 1_000 < len(event["note"].encode()) <= 1_024
    assert len(event["reportingInstance"].encode()) <= 128


@pytest.mark.parametrize("name", ["a" * 229 + ".b", "a" * 228 + "-.b", "a" * 253])
async def test_an_event_about_a_long_name_has_a_name_that_is_allowed(clock: FakeClock, name: str) -> None:
    posting = FakePosting()
    announcer = Announcer(posting, clock, "me")
    announcer.tell_of(a_view(MissionState.FAILED, 9, reason=Reason.GAVE_UP, message="no", name=name))
    (event,) = await _posted(announcer, posting, 1)
    made = event["metadata"]["generateName"] + "12345"
    assert all(label[:1].isalnum() and label[-1:].isalnum() for label in made.split("."))
    assert len(made) <= 253


async def test_a_flood_of_events_is_cut_off(clock: FakeClock) -> None:
    announcer = Announcer(FakePosting(), clock, "me")
    for number in range(500):
        announcer.tell_of(a_view(reason=Reason.LEASE_LOST, mission_id=f"m{number}"))
    assert announcer.dropped == 450


# Deletions in time


async def test_objects_are_deleted_when_their_time_is_over_and_in_that_order(clock: FakeClock) -> None:
    deleted: list[str] = []

    class FakeDeleting:
        async def delete(self, namespace: str, name: str, mission_id: MissionId) -> Answer:
            deleted.append(mission_id)
            return Answer(404, b"{}")

    expiry = Expiry(FakeDeleting(), clock)
    start = NOON.fromtimestamp(clock.now(), NOON.tzinfo)
    expiry.plan(MissionId("later"), NAMESPACE, NAME, start + timedelta(seconds=20))
    expiry.plan(MissionId("second"), NAMESPACE, NAME, start - timedelta(seconds=1))
    expiry.plan(MissionId("first"), NAMESPACE, NAME, start - timedelta(seconds=2))
    work = asyncio.create_task(expiry.run())
    await until(lambda: len(deleted) == 2, "what is due is deleted", seconds=5)
    clock.turn(21)
    expiry.plan(MissionId("now"), NAMESPACE, NAME, start)
    await until(lambda: len(deleted) == 4, "what has become due is deleted", seconds=5)
    work.cancel()
    assert deleted == ["first", "second", "now", "later"]


# The Commander's answers


def _client(clock: FakeClock, answers: Any) -> CommanderClient:
    http = httpx.AsyncClient(base_url="http://commander", transport=httpx.MockTransport(answers))
    return CommanderClient(http, TokenSource(http, by_secret("operator", "hush"), clock))


class Answers:
    """Grants numbered tokens, and answers everything else as told."""

    def __init__(self, status: int = 200, body: object = None, content_type: str = "application/json") -> None:
        self.logins = 0
        self.tokens: list[str] = []
        self.gives_tokens = True
        self.answer = (status, body, content_type)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            if not self.gives_tokens:
                return httpx.Response(503)
            self.logins += 1
            return httpx.Response(200, json={"access_token": f"t{self.logins}", "expires_in": 30})
        self.tokens.append(request.headers["Authorization"])
        status, body, content_type = self.answer
        return httpx.Response(status, content=msgspec.json.encode(body), headers={"Content-Type": content_type})


async def test_a_token_is_renewed_before_it_ends(clock: FakeClock) -> None:
    answers = Answers(body={"pools": []})
    client = _client(clock, answers)
    for seconds in (0, 19, 7):
        clock.turn(seconds)
        await client.pools()
    assert answers.tokens == ["Bearer t1", "Bearer t1", "Bearer t2"]


async def test_a_token_that_lives_bridges_a_commander_that_gives_none(clock: FakeClock) -> None:
    answers = Answers(body={"pools": []})
    client = _client(clock, answers)
    await client.pools()
    answers.gives_tokens = False
    clock.turn(26)
    await client.pools()
    clock.turn(5)
    with pytest.raises(CommanderAwayError, match="refused our login"):
        await client.pools()
    assert answers.tokens == ["Bearer t1", "Bearer t1"]


async def test_a_commander_that_is_frozen_is_soon_given_up_and_a_slow_one_is_not(clock: FakeClock) -> None:
    allowed: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 300})
        allowed.append(request.extensions["timeout"]["read"])
        if len(allowed) < 3:
            raise httpx.ReadTimeout("frozen", request=request)
        return httpx.Response(200, json={"pools": []})

    client = _client(clock, answer)
    for _ in range(2):
        with pytest.raises(CommanderAwayError):
            await client.pools()
    await client.pools()
    await client.pools()
    assert allowed[0] < allowed[1] < allowed[2]
    assert allowed[3] == allowed[0]


async def test_a_doubted_token_is_replaced(clock: FakeClock) -> None:
    answers = Answers(status=401)
    client = _client(clock, answers)
    for _ in range(2):
        with pytest.raises(CommanderAwayError):
            await client.pools()
    assert answers.tokens == ["Bearer t1", "Bearer t2"]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_an_answer_that_says_nothing_about_the_question_is_no_answer(clock: FakeClock, status: int) -> None:
    with pytest.raises(CommanderAwayError):
        await _client(clock, Answers(status)).cancel(UID, deleted=True)


async def test_a_refusal_carries_the_commanders_sentence(clock: FakeClock) -> None:
    body = {"title": "No", "status": 422, "detail": "no such thing", "code": "BadField"}
    with pytest.raises(CommanderRefusedError, match="no such thing"):
        await _client(clock, Answers(422, body, "application/problem+json")).cancel(UID, deleted=True)


async def test_an_unknown_mission_is_told_from_a_wrong_address(clock: FakeClock) -> None:
    body = {"title": "Unknown", "status": 404, "detail": "no such mission", "code": "UnknownMission"}
    assert await _client(clock, Answers(404, body, "application/problem+json")).cancel(UID, deleted=True) is None


# Settings and the process


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name, field in OperatorSettings.model_fields.items():
        assert f"OPERATOR_{name.upper()}" in text
        assert field.description, f"{name} is not described"


def test_wrong_settings_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("OPERATOR_COMMANDER_URL", raising=False)
    monkeypatch.setenv("OPERATOR_CLIENT_SECRET", "hush")
    assert main([]) == 2
    said = capsys.readouterr().err
    assert "OPERATOR_COMMANDER_URL" in said
    assert "hush" not in said


def test_the_secret_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPERATOR_COMMANDER_URL", "http://commander")
    monkeypatch.setenv("OPERATOR_CLIENT_SECRET", "hush")
    assert "hush" not in repr(OperatorSettings())


def test_a_bad_default_pool_is_named(tmp_path: Any) -> None:
    file = tmp_path / "pool.json"
    file.write_text('{"kind": "Deployment"}')
    with pytest.raises(default.BadPoolFileError, match="no SoldierPool"):
        default.read(file)
