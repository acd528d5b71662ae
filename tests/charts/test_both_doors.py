"""The program of `helm test`, against doors that open, stay shut, or lead to a failure."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import both_doors
import pytest
from api_access import http

Answers = dict[str, list[tuple[int, dict[str, Any]]]]

TOKEN = {"access_token": "t"}
MISSION = {"mission_id": "m-1", "state": "QUEUED", "reason": "Queued"}
COMPLETED = MISSION | {"state": "COMPLETED", "reason": "Completed"}
FAILED = MISSION | {"state": "FAILED", "reason": "NoHandler", "message": "nobody knows noop"}


class Door:
    """A server that gives prepared answers, the last one again and again."""

    def __init__(self, answers: Answers) -> None:
        self.asked: list[tuple[str, Mapping[str, str], Any]] = []
        self._answers = answers
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def serve(self) -> None:
        self._server.serve_forever(poll_interval=0.01)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> tuple[int, dict[str, Any]]:
        self.asked.append((f"{method} {path}", headers, body))
        left = self._answers[f"{method} {path.partition('?')[0]}"]
        return left.pop(0) if len(left) > 1 else left[0]

    def _handler(door: "Door") -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler's in there
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._respond(None)

            def do_POST(self) -> None:
                self._respond(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _respond(self, body: Any) -> None:
                code, answer = door.answer(self.command, self.path, dict(self.headers), body)
                content = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def door() -> Iterator[Callable[[Answers], Door]]:
    opened: list[tuple[Door, threading.Thread]] = []

    def open_(answers: Answers) -> Door:
        door = Door(answers)
        thread = threading.Thread(target=door.serve)
        thread.start()
        opened.append((door, thread))
        return door

    yield open_
    for door, thread in opened:
        door.close()
        thread.join()


def _environment(url: str) -> dict[str, str]:
    return {"COMMANDER_URL": url, "CLIENT_ID": "user", "CLIENT_SECRET": "s", "POOL": "default", "NAMESPACE": "missions"}


def _rest(url: str) -> str:
    return both_doors.through_rest(http(), _environment(url))


def _kubernetes(url: str) -> str:
    return both_doors.through_kubernetes(http(url, token=lambda: "account"), _environment(url))


class TestRest:
    def test_a_mission_that_completes_is_told(self, door: Callable[[Answers], Door]) -> None:
        commander = door(
            {
                "POST /token": [(200, TOKEN)],
                "POST /missions": [(202, MISSION)],
                "GET /missions/m-1": [(200, MISSION), (200, COMPLETED)],
            }
        )
        assert _rest(commander.url) == "a mission was COMPLETED"
        _, headers, body = next(one for one in commander.asked if one[0] == "POST /missions")
        assert headers["Authorization"] == "Bearer t"
        assert body == {"type": "noop", "payload": {}, "pool": "default", "namespace": "missions"}

    def test_a_commander_that_is_not_ready_yet_is_asked_again(self, door: Callable[[Answers], Door]) -> None:
        commander = door(
            {
                "POST /token": [(503, {}), (200, TOKEN)],
                "POST /missions": [(503, {}), (202, MISSION)],
                "GET /missions/m-1": [(200, COMPLETED)],
            }
        )
        assert _rest(commander.url) == "a mission was COMPLETED"
        sent = [headers["Idempotency-Key"] for asked, headers, _ in commander.asked if asked == "POST /missions"]
        assert len(sent) == 2
        assert len(set(sent)) == 1, "a second try must not make a second mission"

    def test_a_mission_that_fails_shuts_the_door(self, door: Callable[[Answers], Door]) -> None:
        answers: Answers = {"POST /token": [(200, TOKEN)], "POST /missions": [(202, MISSION)]}
        commander = door(answers | {"GET /missions/m-1": [(200, FAILED)]})
        with pytest.raises(both_doors.DoorError, match="m-1 ended as FAILED: nobody knows noop"):
            _rest(commander.url)


class TestKubernetes:
    MISSIONS = "/apis/missioncontrol.dev/v1alpha1/namespaces/missions/missions"

    def answers(self, status: dict[str, Any]) -> Answers:
        created = {"metadata": {"name": "helm-test-x"}}
        return {
            f"POST {self.MISSIONS}": [(201, created)],
            f"GET {self.MISSIONS}/helm-test-x": [(200, created), (200, created | {"status": status})],
        }

    def test_a_mission_that_completes_is_told(self, door: Callable[[Answers], Door]) -> None:
        status = {"state": "Completed", "conditions": [{"type": "Finished", "status": "True"}]}
        api = door(self.answers(status))
        assert _kubernetes(api.url) == "Mission helm-test-x was Completed"
        assert {headers["Authorization"] for _, headers, _ in api.asked} == {"Bearer account"}

    def test_a_mission_that_fails_shuts_the_door(self, door: Callable[[Answers], Door]) -> None:
        status = {"state": "Failed", "reason": "Refused", "conditions": [{"type": "Finished", "status": "True"}]}
        with pytest.raises(both_doors.DoorError, match="helm-test-x ended as Failed: Refused"):
            _kubernetes(door(self.answers(status)).url)


def test_patience_ends_with_what_was_said_last(door: Callable[[Answers], Door]) -> None:
    api = door({"GET /": [(403, {"message": "no"})]})
    with pytest.raises(both_doors.DoorError, match=r"it is shut within 0 s \(403: .*no.*\): look at its pod's log"):
        both_doors.eventually("it is shut", lambda: http(api.url)("GET", "/"), patience_seconds=0.1)


def test_one_shut_door_fails_the_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def shut(*_: object) -> str:
        raise both_doors.DoorError("nobody there")

    monkeypatch.setattr(both_doors, "through_rest", shut)
    monkeypatch.setattr(both_doors, "kubernetes", lambda _: None)
    monkeypatch.setattr(both_doors, "through_kubernetes", lambda *_: "open")
    monkeypatch.setenv("SERVED", "team-a,team-b")
    assert both_doors.main() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "FAILED  REST (team-a): nobody there"
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "ok      Kubernetes (team-a)", "FAILED  REST (team-b)", "ok      Kubernetes (team-b)",
    ]  # fmt: skip
