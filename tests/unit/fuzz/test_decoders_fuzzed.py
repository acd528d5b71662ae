"""Every decoder refuses what it cannot read by the one error that it announces, whatever the bytes are."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import httpx
import msgspec
import pytest
from support.api_fuzzing import commander_in_a_thread
from support.decoder_fuzzing import EXAMPLES_AT_ONCE, Check, Decoder, fuzz
from support.fake_commander import an_order

from mission_contracts import messages, strict_json
from mission_contracts.errors import UnreadableMessageError
from mission_contracts.messages import Acceptance, AttemptError, ControlMessage, Order, Report, ReportKind
from mission_contracts.mission import Epoch, Era, Failure, Instance, MissionId
from mission_contracts.soldiering import Claim, Heartbeat, Hold, Registration, TypeInfo
from mission_contracts.tokens import Role
from mission_soldier import child, outcomes
from mission_soldier.commander import CommanderAwayError, HttpCommander, UnknownSoldierError, connect_in_process
from missionctl.cli import documents
from missionctl.cli.exits import CommandError

LONG_SECONDS: Final = 60.0
"""For each decoder: more than ten minutes in all."""
GOLDEN: Final = sorted((Path(__file__).parents[1] / "contracts" / "golden").glob("*.json"))
ENVELOPE: Final = an_order().envelope
INSTANCE: Final = Instance("soldier-1")


def golden(kind: str) -> list[bytes]:
    return [file.read_bytes() for file in GOLDEN if f"-{kind}-" in file.name]


# What travels through the broker.


@contextmanager
def orders() -> Iterator[Check]:
    def check(body: bytes) -> None:
        with suppress(UnreadableMessageError):
            order = messages.decode(body, Order)
            assert messages.decode(messages.encode(order), Order) == order

    yield check


@contextmanager
def statuses() -> Iterator[Check]:
    def check(body: bytes) -> None:
        with suppress(UnreadableMessageError):
            message, _ = messages.decode_status(body)
            messages.decode_status(messages.encode(message))
            for report in message.reports:
                messages.encode_report(report)

    yield check


@contextmanager
def controls() -> Iterator[Check]:
    def check(body: bytes) -> None:
        with suppress(UnreadableMessageError):
            messages.encode(messages.decode(body, ControlMessage))

    yield check


@contextmanager
def acceptances() -> Iterator[Check]:
    def check(body: bytes) -> None:
        with suppress(UnreadableMessageError):
            messages.encode_acceptance(messages.decode_acceptance(body))

    yield check


# What a Commander answers to its soldiers.

CLAIMS: Final = [Claim(mission_id=MissionId("m"), epoch=Epoch(1), era=Era(1), accepted_at=1)]
BEAT: Final = Heartbeat(
    beat=1, after=0, era=Era(1), held=(Hold(mission_id=MissionId("m"), epoch=Epoch(1), secret="s"),), unclaimed=(),
    slots=1, taking=True,
)  # fmt: skip
REGISTRATION: Final = Registration(
    instance=INSTANCE, namespace="default", pool="default", types=(TypeInfo(name="noop", schema={}),), concurrency=1
)


@contextmanager
def answers() -> Iterator[Check]:
    """Every call gets the bytes as its answer, and once more as the problem that refuses it."""
    body, status = b"", 200
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))

    async def call_all() -> None:
        async with connect_in_process(transport) as commander:
            for call in calls(commander):
                with suppress(CommanderAwayError, UnknownSoldierError):
                    await call()

    def calls(commander: HttpCommander) -> list[Callable[[], Any]]:
        return [
            lambda: commander.register(REGISTRATION),
            lambda: commander.claim(INSTANCE, CLAIMS),
            lambda: asyncio.to_thread(commander.beat, INSTANCE, BEAT),
        ]

    with asyncio.Runner() as runner:

        def check(made_up: bytes) -> None:
            nonlocal body, status
            body, status = made_up, 404 if status == 200 else 200
            runner.run(call_all())

        yield check


# What soldiers and users send to a Commander.


def posts(path: str, role: Role) -> Callable[[], Any]:
    @contextmanager
    def checks() -> Iterator[Check]:
        with (
            commander_in_a_thread() as (url, authorizations),
            httpx.Client(base_url=url, timeout=20, trust_env=False, verify=False) as client,
        ):
            client.headers.update({"Authorization": authorizations[role], "Content-Type": "application/json"})
            client.post("/soldiers", content=msgspec.json.encode(REGISTRATION))

            def check(body: bytes) -> None:
                assert client.post(path, content=body).status_code < 500

            yield check

    return checks


# The pipe between a soldier and its children.


@contextmanager
def pipes() -> Iterator[Check]:
    def check(body: bytes) -> None:
        for decoder in (child.from_child, child.to_child):
            # Each side of the pipe is ready for these: the attempt ends, and the child with it.
            with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                child.encoder.encode(decoder.decode(body))

    yield check


# Files, and JSON from anywhere.


@contextmanager
def files() -> Iterator[Check]:
    with TemporaryDirectory() as folder:

        def check(body: bytes) -> None:
            for suffix in (".yaml", ".json"):
                file = Path(folder) / f"made-up{suffix}"
                file.write_bytes(body)
                with suppress(CommandError):
                    for document in documents.read_all([str(file)]):
                        json.dumps(document.content, allow_nan=False).encode()

        yield check


@contextmanager
def json_bodies() -> Iterator[Check]:
    def check(body: bytes) -> None:
        with suppress(strict_json.StrictJsonError):
            value = strict_json.decode(body)
            strict_json.check(body)
            assert strict_json.decode(strict_json.encode(value)) == value

    yield check


REPORT: Final = Report(
    kind=ReportKind.FAILED, mission_id=MissionId("m"), epoch=Epoch(1), secret="s", attempt=1, envelope=ENVELOPE,
    error=AttemptError(failure=Failure.RETRY_LATER, message="later", retry_after_seconds=3.0),
)  # fmt: skip
REPORTS: Final = messages.encode_reports(Era(1), INSTANCE, [messages.encode_report(REPORT)])
JOB: Final = child.Job(
    reference="m:f", envelope=ENVELOPE, epoch=Epoch(1), attempt=1, deadline_at=9.0, payload=msgspec.Raw(b"{}")
)
YAML: Final = b"""apiVersion: missioncontrol.dev/v1alpha1
kind: Mission
metadata: {name: "a", labels: &labels {a: b}}
spec: {type: noop, payload: {at: 2030-01-01, n: 0o17, m: 1_000.5, y: no, t: !!binary aGk=, l: *labels}}
---
- 1
"""
VERDICTS: Final = {"answers": [{"verdict": "RUN", "secret": "s", "attempt": 1, "timeout_seconds": 5.5, "solo": True}]}
HELD: Final = [{"mission_id": "m", "epoch": 1}]

DECODERS: Final[Mapping[str, Decoder]] = {
    "orders": Decoder(orders, golden("order")),
    "reports": Decoder(
        statuses, [*golden("status"), messages.encode_reports(Era(1), INSTANCE, [messages.encode_report(REPORT)])]
    ),
    "control messages": Decoder(controls, golden("control")),
    "acceptances": Decoder(
        acceptances,
        [messages.encode_acceptance(Acceptance(era=Era(1), envelope=ENVELOPE, payload=msgspec.Raw(b'{"a":1}')))],
    ),
    "answers of a Commander": Decoder(
        answers,
        [
            json.dumps(VERDICTS).encode(),
            json.dumps({"heartbeat_seconds": 1.5, "lease_seconds": 6, "era": 1, "broker_urls": ["amqp://a"]}).encode(),
            json.dumps({"now": 1, "era": 1, "cancels": HELD, "drops": HELD, "unknown": ["m"]}).encode(),
            json.dumps({"title": "t", "status": 404, "detail": "d", "code": "UnknownSoldier"}).encode(),
        ],
    ),
    "registrations": Decoder(posts("/soldiers", Role.SOLDIER), [msgspec.json.encode(REGISTRATION)]),
    "claims": Decoder(posts(f"/soldiers/{INSTANCE}/claims", Role.SOLDIER), [msgspec.json.encode({"claims": CLAIMS})]),
    "heartbeats": Decoder(posts(f"/soldiers/{INSTANCE}/heartbeat", Role.SOLDIER), [msgspec.json.encode(BEAT)]),
    "missions": Decoder(posts("/missions", Role.USER), [b'{"type": "noop", "payload": {"a": [1, {"b": null}]}}']),
    "the pipe to a child process": Decoder(
        pipes,
        [
            child.encoder.encode(JOB),
            child.encoder.encode(child.AskToStop()),
            child.encoder.encode(child.Told(5.0, "note")),
            child.encoder.encode(child.Ended(outcomes.failed(Failure.ERROR, "broke", trace="…"))),
        ],
    ),
    "files": Decoder(files, [YAML, b'{"apiVersion": "v1", "kind": "List", "items": [{"kind": "Mission"}]}']),
    "JSON": Decoder(json_bodies, [b'{"a": [1, 2.5, "\\ud83d\\ude00", null, true, {"b": -0.0}]}']),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", DECODERS)
def test_made_up_bytes_are_read_or_refused(name: str) -> None:
    assert fuzz(DECODERS[name], seconds=0, repeatable=True) >= EXAMPLES_AT_ONCE // 2


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", DECODERS)
def test_made_up_bytes_are_read_or_refused_for_a_minute(name: str) -> None:
    fuzz(DECODERS[name], seconds=LONG_SECONDS, repeatable=False)
