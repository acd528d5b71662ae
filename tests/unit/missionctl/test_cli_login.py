"""missionctl login and logout against a whole Commander: what is kept, how it is renewed, and when it is gone."""

import asyncio
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from support.commander_api import Api
from support.people import ADMIN, PASSWORD, people
from typer.testing import CliRunner, Result

from missionctl import context_file, login_file
from missionctl.cli.app import app
from missionctl.cli.exits import Exit

Run = Callable[..., Awaitable[Result]]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with people(tmp_path) as api:
        yield api


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return login_file.path_in(tmp_path / "state")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command as a user would, in a thread: the Commander lives in this one."""
    environment = {"MISSIONCTL_STATE_DIR": str(tmp_path / "state"), "COLUMNS": "200"}

    async def invoke(*words: str, typed: str | None = None) -> Result:
        result = await asyncio.to_thread(CliRunner().invoke, app, [*words], input=typed, env=environment)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


async def log_in(run: Run, api: Api) -> None:
    result = await run("login", ADMIN, "--url", api.url, typed=f"{PASSWORD}\n")
    assert result.exit_code == Exit.OK, result.output
    assert PASSWORD not in result.output


async def test_after_a_login_commands_find_the_commander_and_may_do_what_the_user_may(api: Api, run: Run) -> None:
    await log_in(run, api)
    result = await run("run", "noop", "-o", "json")
    assert result.exit_code == Exit.OK, result.output
    assert "missionctl login" in (await run("config")).stdout


def modes_of(*paths: Path) -> list[int]:
    return [stat.S_IMODE(path.stat().st_mode) for path in paths]


async def test_the_note_is_its_owners_alone(api: Api, run: Run, note: Path) -> None:
    await log_in(run, api)
    assert modes_of(note, note.parent) == [0o600, 0o700]
    login = login_file.read(note)
    assert login is not None
    assert login.refresh_token not in repr(login)
    assert PASSWORD not in str(msgspec.to_builtins(login))


async def test_the_password_may_come_from_a_file(api: Api, run: Run, note: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text(f"{PASSWORD}\n")
    result = await run("login", ADMIN, "--url", api.url, "--password-file", str(tmp_path / "mine"))
    assert result.exit_code == Exit.OK, result.output
    assert login_file.read(note)


async def test_a_wrong_password_keeps_nothing(api: Api, run: Run, note: Path) -> None:
    result = await run("login", ADMIN, "--url", api.url, typed="wrong, but long\n")
    assert result.exit_code == Exit.REFUSED
    assert "name or the password is wrong" in result.output
    assert login_file.read(note) is None


async def test_a_token_that_is_still_fresh_is_used_and_one_that_is_not_is_renewed(
    api: Api, run: Run, note: Path
) -> None:
    await log_in(run, api)
    first = login_file.read(note)
    assert first is not None
    assert (await run("get")).exit_code == Exit.OK
    assert login_file.read(note) == first
    context_file.put(note, msgspec.structs.replace(first, fresh_until=0))
    assert (await run("get")).exit_code == Exit.OK
    second = login_file.read(note)
    assert second is not None
    assert second.refresh_token != first.refresh_token
    assert (await run("get")).exit_code == Exit.OK


async def test_commands_that_renew_at_once_do_not_end_the_login(api: Api, run: Run, note: Path) -> None:
    await log_in(run, api)
    first = login_file.read(note)
    assert first is not None
    context_file.put(note, msgspec.structs.replace(first, fresh_until=0))
    stored = [login_file.StoredLogin(note) for _ in range(2)]
    door = await api.stranger()
    for one in stored:  # each began before the other had got its answer
        asked = msgspec.to_builtins(one.request())
        answer = await door.post("/token", json=asked | {"grant_type": "refresh_token"})
        assert answer.status_code == 200, answer.text
    assert (await run("get")).exit_code == Exit.OK


async def test_a_logout_ends_the_login_here_and_there(api: Api, run: Run, note: Path) -> None:
    await log_in(run, api)
    login = login_file.read(note)
    assert login is not None
    assert (await run("logout")).exit_code == Exit.OK
    assert login_file.read(note) is None
    headers = {"Authorization": f"Bearer {login.access_token}"}
    answer = await (await api.stranger()).get("/missions", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "Revoked")
    again = await run("logout")
    assert (again.exit_code, "nobody is logged in" in again.output) == (Exit.USAGE, True)


async def test_the_tokens_of_a_login_go_to_its_own_commander_only(api: Api, run: Run) -> None:
    await log_in(run, api)
    elsewhere = await run("config", "--url", "http://127.0.0.1:1")
    assert "missionctl login" not in elsewhere.stdout
