"""The soldier as a process: settings, finding handlers, probes, logs, and surviving what handlers start."""

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pydantic
import pytest
import structlog
from support import soldier_handlers
from support.broker_probe import eventually
from support.fake_commander import FakeCommander
from support.soldier_stage import a_stage

from mission_contracts.envelope import Envelope
from mission_contracts.mission import Epoch, MissionId
from mission_soldier import HandlerDefinitionError, loading, logs, probes
from mission_soldier.context import Context, current_context
from mission_soldier.settings import Settings
from mission_soldier.surviving import run_through_exits

# Settings


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLDIER_RABBITMQ_URLS", "amqp://a, amqp://b:5673,")
    monkeypatch.setenv("SOLDIER_CONCURRENCY", "3")
    settings = Settings()
    assert [url.get_secret_value() for url in settings.rabbitmq_urls] == ["amqp://a", "amqp://b:5673"]
    assert settings.concurrency == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [("CONCURRENCY", "0"), ("CONCURRENCY", "many"), ("POOL", "No_Label"), ("DRAIN_SECONDS", "-1"), ("LOG_FORMAT", "x")],
)
def test_settings_that_make_no_sense_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"SOLDIER_{name}", value)
    with pytest.raises(pydantic.ValidationError):
        Settings()


def test_settings_print_without_secrets() -> None:
    printed = repr(Settings(client_secret="hush", rabbitmq_urls="amqp://u:pw@h/"))
    assert "hush" not in printed
    assert "pw" not in printed


def test_no_instance_is_named_twice() -> None:
    settings = Settings(pod="pod-1")
    assert settings.instance_name() != settings.instance_name()
    assert settings.instance_name().startswith("pod-1-")


# Finding handlers


def test_handlers_are_found_by_module_and_attribute() -> None:
    assert loading.load("support.soldier_handlers") is soldier_handlers.soldier
    assert loading.load("support.soldier_handlers:soldier") is soldier_handlers.soldier
    assert dict(loading.load("").handlers) == {}


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("support.nowhere", "there is no module 'support.nowhere'"),
        ("nowhere.at.all:soldier", "there is no module 'nowhere'"),
        ("support.soldier_handlers:missing", "has no Soldier named 'missing'"),
        ("support.soldier_handlers:die", "has no Soldier named 'die'"),
    ],
)
def test_a_wrong_name_is_explained(name: str, complaint: str) -> None:
    with pytest.raises(HandlerDefinitionError, match=complaint):
        loading.load(name)


def test_an_import_error_inside_the_module_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_handlers.py").write_text("import no_such_thing_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_thing_at_all"):
        loading.load("broken_handlers")


# The command


def run_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # the interpreter of these tests, with fixed arguments
        [sys.executable, "-m", "mission_soldier", *arguments],
        env=environment, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip


def test_help_names_every_setting() -> None:
    done = run_command("--help")
    assert done.returncode == 0
    told = "".join(done.stdout.split())
    assert all(f"SOLDIER_{name.upper()}" in told for name in Settings.model_fields)


def test_a_wrong_setting_ends_with_one_sentence() -> None:
    done = run_command(SOLDIER_CONCURRENCY="none")
    assert done.returncode == 1
    assert done.stderr.startswith("mission-soldier cannot start: SOLDIER_CONCURRENCY: ")
    assert "Traceback" not in done.stderr


def test_wrong_handlers_end_with_one_sentence() -> None:
    done = run_command("no_such_module:soldier")
    assert done.returncode == 1
    assert done.stderr.startswith("mission-soldier cannot start: there is no module 'no_such_module'")


# Surviving


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_a_task_that_a_handler_started_cannot_end_the_process(error: BaseException) -> None:
    async def serve() -> None:
        async def stray() -> None:
            raise error

        task = asyncio.create_task(stray())
        await asyncio.sleep(0.01)
        finished.append(task.done())
        assert task.exception() is error

    finished: list[bool] = []
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        run_through_exits(loop, loop.create_task(serve()))
    assert finished == [True]


SLOW_TO_IMPORT = """
import time
print("importing", flush=True)
time.sleep(60)
"""


def test_a_soldier_that_shall_leave_while_its_handlers_are_imported_just_goes(tmp_path: Path) -> None:
    (tmp_path / "slow_to_import.py").write_text(SLOW_TO_IMPORT)
    command = (sys.executable, "-m", "mission_soldier", "slow_to_import")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as soldier:
        assert soldier.stdout is not None
        assert soldier.stdout.readline() == b"importing\n"
        soldier.terminate()
        assert soldier.wait(20) == 0, "by its own word, as a container's first process needs it"


# Probes


async def test_probes_say_what_is_wrong() -> None:
    trouble: str | None = "not yet"
    pages = {"/livez": lambda: probes.finding(None), "/readyz": lambda: probes.finding(trouble)}
    async with probes.serve(0, pages) as port, _client(port) as client:
        assert (await client.get("/livez")).status_code == 200
        answer = await client.get("/readyz?verbose")
        assert (answer.status_code, answer.text) == (503, "not yet\n")
        trouble = None
        assert (await client.get("/readyz")).status_code == 200
        assert (await client.get("/elsewhere")).status_code == 404
        assert (await client.post("/livez")).status_code == 404


async def test_a_caller_who_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "READ_SECONDS", 0.01)
    async with probes.serve(0, {}) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


def test_probes_in_a_thread_answer_while_this_one_is_busy() -> None:
    with probes.in_a_thread(0, {"/livez": lambda: probes.finding(None)}) as port:
        assert httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False).text == "ok\n"
    assert not any(thread.name == "probes" for thread in threading.enumerate())


def test_a_port_that_is_taken_is_said_at_once() -> None:
    with probes.in_a_thread(0, {}) as port, pytest.raises(OSError, match="in use"), probes.in_a_thread(port, {}):
        pass


# Logs


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.fixture
def _json_logs() -> object:
    before = logging.getLogger().handlers[:]
    level = logging.getLogger().level
    logs.configure("json", "info")
    yield None
    structlog.reset_defaults()
    logging.getLogger().handlers = before
    logging.getLogger().setLevel(level)


@pytest.mark.usefixtures("_json_logs")
def test_a_log_line_carries_its_mission_and_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    envelope = Envelope(mission_id=MissionId("m-1"), namespace="n", pool="p", type="t", accepted_at=0)
    context = Context(envelope=envelope, epoch=Epoch(7), attempt=2, deadline_at=0, tell=lambda *_: None)
    token = current_context.set(context)
    structlog.get_logger().info("ours", secret="hush")
    logging.getLogger("theirs").warning("of a library: %s", 1)
    current_context.reset(token)
    structlog.get_logger().debug("too quiet")
    ours, theirs = lines(capsys)
    assert (ours["event"], ours["mission_id"], ours["attempt"], ours["epoch"]) == ("ours", "m-1", 2, 7)
    assert ours["secret"] == "…"
    assert (theirs["event"], theirs["logger"], theirs["mission_id"]) == ("of a library: 1", "theirs", "m-1")


# The first moments


def test_a_process_that_is_told_to_end_while_it_imports_ends_at_once(tmp_path: Path) -> None:
    slow = tmp_path / "mission_soldier" / "__init__.py"  # stands in for the real one on a machine that is busy
    slow.parent.mkdir()
    slow.write_text(
        "import time\nprint('importing', flush=True)\n"
        "while True:\n    try:\n        time.sleep(60)\n    except BaseException:\n        pass\n"
    )
    begin = "import sys, mission_soldier_process as p; sys.path.insert(0, sys.argv[1]); p.main()"
    command = [sys.executable, "-c", begin, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.terminate()
        assert process.wait(10) == 0


# Readiness


async def test_a_soldier_is_ready_when_it_is_registered_and_consumes() -> None:
    commander = FakeCommander(is_away=True)
    port = _free_port()
    async with a_stage(commander=commander, begins=False, probe_port=port) as stage, _client(port) as client:
        assert await _answer(client) == "not registered at the Commander\n"
        commander.is_away = False
        await eventually(lambda: stage.commander.beats, "the first heartbeat")
        assert await _answer(client) == "ok\n"
        stage.broker.cut()
        assert await _answer(client) == "not consuming orders\n"
        stage.broker.mend()


async def test_a_soldier_that_retires_stays_ready_or_kubernetes_would_delete_it_before_those_that_are_idle() -> None:
    port = _free_port()
    async with a_stage(probe_port=port) as stage, _client(port) as client:
        stage.commander.take_nothing = True
        await eventually(lambda: not stage.commander.beats[-1].taking, "it takes nothing")
        assert await _answer(client) == "ok\n"


async def _answer(client: httpx.AsyncClient) -> str:
    async with asyncio.timeout(10):
        while True:
            try:
                return (await client.get("/readyz")).text
            except httpx.ConnectError:
                await asyncio.sleep(0.01)


def _client(port: int) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
