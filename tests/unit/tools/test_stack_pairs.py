"""Which RabbitMQ and Redis a run gets, and what it is told where they cannot be had."""

import os
from pathlib import Path

import pytest
from tools import test_run
from tools.stack import Pair, StackError, containers, debian, installations, pairs, trixie
from tools.stack.installations import InDebian, OnThisMachine


class TestChoosing:
    def test_without_a_wish_it_is_what_this_machine_has(self) -> None:
        assert pairs.chosen({}) is Pair.INSTALLED
        assert pairs.chosen({pairs.VARIABLE: ""}) is Pair.INSTALLED

    def test_the_environment_may_ask_for_the_newer_pair(self) -> None:
        assert pairs.chosen({pairs.VARIABLE: "trixie"}) is Pair.TRIXIE

    def test_a_pair_that_does_not_exist_is_refused_with_those_that_do(self) -> None:
        with pytest.raises(StackError, match="STACK_PAIR=sid names no pair of servers: set it to installed or trixie"):
            pairs.chosen({pairs.VARIABLE: "sid"})

    def test_a_long_run_asks_for_it(self) -> None:
        assert pairs.chosen(test_run.STAGES["trixie"].environment) is Pair.TRIXIE


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine where nothing was made yet, and no Docker daemon answers."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(containers, "docker_answers", lambda: False)
    return monkeypatch


class TestHavingTrixie:
    @pytest.mark.parametrize("reason", ["only Linux and root can make one", "debootstrap is not installed"])
    def test_where_it_can_neither_be_made_nor_be_a_container_a_sentence_says_so(
        self, bare: pytest.MonkeyPatch, reason: str
    ) -> None:
        bare.setattr(debian, "why_not", lambda: reason)
        with pytest.raises(
            StackError, match=rf"\({reason}\) and no Docker daemon answers.*start Docker, or do this as"
        ):
            pairs.ensure(Pair.TRIXIE)

    def test_where_it_can_be_made_a_test_says_how_and_makes_nothing(self, bare: pytest.MonkeyPatch) -> None:
        bare.setattr(debian, "why_not", lambda: None)
        assert "prepare --pair trixie" in (pairs.why_not(Pair.TRIXIE) or "")

    def test_where_it_cannot_be_made_containers_serve(self, bare: pytest.MonkeyPatch) -> None:
        bare.setattr(debian, "why_not", lambda: "only Linux and root can make one")
        bare.setattr(containers, "docker_answers", lambda: True)
        pairs.ensure(Pair.TRIXIE)
        assert pairs.installation(Pair.TRIXIE, "redis-server") is None

    def test_where_it_is_made_its_own_programs_serve(self, bare: pytest.MonkeyPatch) -> None:
        trixie.installation().root.mkdir(parents=True)
        pairs.ensure(Pair.TRIXIE)
        assert pairs.installation(Pair.TRIXIE, "redis-server") == trixie.installation()

    def test_nobody_but_root_on_linux_makes_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        assert debian.why_not() == "only Linux and root can make one"

    def test_without_debootstrap_and_apt_none_is_made(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr("sys.platform", "linux")
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert debian.why_not() == "debootstrap is not installed"


class TestMaking:
    def test_what_a_killed_run_left_half_done_is_removed(self, tmp_path: Path) -> None:
        (tmp_path / "unfinished-1/root").mkdir(parents=True)
        (tmp_path / "servers-1").mkdir()
        with debian.only_maker(tmp_path, "lock"):
            assert not (tmp_path / "unfinished-1").exists()
            assert (tmp_path / "servers-1").exists()

    def test_what_is_there_is_not_made_again(self, bare: pytest.MonkeyPatch) -> None:
        trixie.installation().root.mkdir(parents=True)
        trixie.make()
        assert list(trixie.installation().root.iterdir()) == []


class TestInstallations:
    def test_on_this_machine_a_program_is_run_as_it_is(self) -> None:
        home = OnThisMachine({"redis-server": Path("/bin/redis")})
        assert home.command(Path("/any"), "redis-server", "--port", "1") == ("/bin/redis", "--port", "1")
        assert home.inside(Path("/any")) == Path("/any")

    def test_in_a_debian_it_enters_as_nobody_with_its_folder(self) -> None:
        command = InDebian(Path("/roots/one")).command(Path("/any"), "redis-server", "--port", "1")
        assert command[:2] == ("unshare", "--mount")
        assert command[-6:] == ("/roots/one", "/any", "65534", "/usr/bin/redis-server", "--port", "1")

    def test_a_program_that_is_not_installed_is_not_found(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        assert installations.on_this_machine().programs == {}
