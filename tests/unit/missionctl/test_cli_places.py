"""Which Commander a command speaks to, as whom, and that dev's secrets go nowhere else."""

import os
import stat
from pathlib import Path

import pytest

from missionctl import context_file
from missionctl.cli import places
from missionctl.cli.exits import CommandError, Exit
from missionctl.cli.places import Flags
from missionctl.context_file import DevContext, Secret

DEV = DevContext(
    url="http://127.0.0.1:8484",
    pid=os.getpid(),
    namespace="default",
    user=Secret("user", "u"),
    operator=Secret("operator", "o"),
)


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    """An environment in which a dev process has left its note."""
    context_file.write(context_file.path_in(tmp_path), DEV)
    return {"MISSIONCTL_STATE_DIR": str(tmp_path)}


def test_without_anything_the_sentence_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="start one with `missionctl dev`") as caught:
        places.find(Flags(), {"MISSIONCTL_STATE_DIR": str(tmp_path)})
    assert caught.value.code is Exit.UNREACHABLE


def test_a_dev_process_is_found_by_its_note(state: dict[str, str]) -> None:
    place = places.find(Flags(), state)
    assert (place.url, place.secret, place.namespace, place.is_operator) == (DEV.url, DEV.operator, "default", True)


def test_the_environment_comes_before_the_note(state: dict[str, str]) -> None:
    place = places.find(Flags(), state | {"MISSIONCTL_URL": "http://elsewhere"})
    assert (place.url, place.url_from) == ("http://elsewhere", "MISSIONCTL_URL")


def test_flags_come_before_the_environment(state: dict[str, str]) -> None:
    place = places.find(Flags(url="http://flag"), state | {"MISSIONCTL_URL": "http://elsewhere"})
    assert (place.url, place.url_from) == ("http://flag", "--url")


def test_devs_secrets_never_go_to_another_address(state: dict[str, str]) -> None:
    place = places.find(Flags(url="http://elsewhere"), state)
    assert (place.secret, place.is_operator, place.namespace) == (None, False, None)


def test_ones_own_credentials_come_before_devs(state: dict[str, str]) -> None:
    own = {"MISSIONCTL_CLIENT_ID": "me", "MISSIONCTL_CLIENT_SECRET": "mine"}
    place = places.find(Flags(), state | own)
    assert (place.secret, place.is_operator) == (Secret("me", "mine"), False)


def test_a_secret_may_be_in_a_file(state: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine\n")
    place = places.find(Flags(client_id="me", client_secret_file=tmp_path / "secret"), state)
    assert place.secret == Secret("me", "mine")


@pytest.mark.parametrize("half", [{"MISSIONCTL_CLIENT_ID": "me"}, {"MISSIONCTL_CLIENT_SECRET": "mine"}])
def test_half_of_the_credentials_is_a_mistake(state: dict[str, str], half: dict[str, str]) -> None:
    with pytest.raises(CommandError, match="only half"):
        places.find(Flags(), state | half)


def test_state_is_kept_where_xdg_says() -> None:
    assert context_file.state_dir({"XDG_STATE_HOME": "/state"}) == Path("/state/missionctl")
    assert context_file.state_dir({"XDG_STATE_HOME": "relative"}) == Path.home() / ".local/state/missionctl"
    assert context_file.state_dir({"MISSIONCTL_STATE_DIR": "/x"}) == Path("/x")


def test_the_note_is_for_its_owner_only(tmp_path: Path) -> None:
    path = context_file.path_in(tmp_path / "new")
    context_file.write(path, DEV)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert context_file.read(path) == DEV
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_the_note_of_a_later_dev_process_stays(tmp_path: Path) -> None:
    path = context_file.path_in(tmp_path)
    context_file.write(path, DEV)
    context_file.remove(path, pid=DEV.pid + 1)
    assert path.exists()
    context_file.remove(path, pid=DEV.pid)
    assert not path.exists()


def test_a_note_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    path = context_file.path_in(tmp_path)
    path.write_text("{")
    assert context_file.read(path) is None


def test_secrets_are_not_printed() -> None:
    assert "'o'" not in repr(DEV)
