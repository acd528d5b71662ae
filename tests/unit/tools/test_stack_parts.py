"""The parts of tools.stack that need no server."""

import contextlib
import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools.stack import StackError, binaries, containers, folder, packages, ports, process
from tools.stack.process import Launch, Process


def a_program(place: Path, name: str) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    program = place / name
    program.write_text("#!/bin/sh\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def a_kubectl(place: Path, version: str) -> Path:
    program = a_program(place, "kubectl")
    says = json.dumps({"clientVersion": {"gitVersion": version}})
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    return program


class TestBinaries:
    def test_assets_come_before_the_cache(self, tmp_path: Path) -> None:
        asset = a_program(tmp_path / "assets", "etcd")
        a_program(tmp_path / "cache/mission-control/bin", "etcd")
        environment = {"KUBEBUILDER_ASSETS": str(tmp_path / "assets"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        assert binaries.find("etcd", environment) == asset

    def test_the_cache_is_in_the_home_folder_by_default(self, tmp_path: Path) -> None:
        cached = a_program(tmp_path / ".cache/mission-control/bin", "etcd")
        assert binaries.find("etcd", {"HOME": str(tmp_path)}) == cached

    @pytest.mark.parametrize("version", ["v1.33.0", binaries.KUBERNETES, "v1.35.2"])
    def test_kubectl_of_a_fitting_version_may_be_on_the_path(self, tmp_path: Path, version: str) -> None:
        installed = a_kubectl(tmp_path / "bin", version)
        environment = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
        assert binaries.find("kubectl", environment) == installed
        assert binaries.why_unfit("kubectl", environment) is None

    @pytest.mark.parametrize("version", ["v1.32.4-dispatcher", "v1.34.1-dispatcher", "v1.32.4", "v1.36.0", "v2.34.0"])
    def test_another_kubectl_on_the_path_is_turned_down_with_a_sentence(self, tmp_path: Path, version: str) -> None:
        a_kubectl(tmp_path / "bin", version)
        environment = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
        assert binaries.find("kubectl", environment) is None
        reason = binaries.why_unfit("kubectl", environment)
        assert reason is not None
        assert f"its version is {version}, and a release of v1.33 to v1.35 is needed" in reason

    def test_a_kubectl_that_says_nothing_is_turned_down(self, tmp_path: Path) -> None:
        a_program(tmp_path / "bin", "kubectl")
        assert binaries.find("kubectl", {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}) is None

    def test_the_kubectl_that_was_built_here_comes_before_the_path(self, tmp_path: Path) -> None:
        a_kubectl(tmp_path / "bin", binaries.KUBERNETES)
        built = a_program(tmp_path / ".cache/mission-control/bin", "kubectl")
        built.with_name("kubectl.recipe").touch()
        assert binaries.find("kubectl", {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}) == built

    def test_without_go_the_reason_names_the_kubectl_that_does_not_fit(
        self, nothing_installed: None, tmp_path: Path
    ) -> None:
        a_kubectl(tmp_path, "v1.32.4-dispatcher")
        reason = binaries.why_not()
        assert reason is not None
        assert "its version is v1.32.4-dispatcher" in reason

    def test_an_api_server_on_the_path_may_be_of_any_version_so_it_is_not_taken(self, tmp_path: Path) -> None:
        a_program(tmp_path / "bin", "kube-apiserver")
        assert binaries.find("kube-apiserver", {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}) is None

    def test_without_go_the_reason_says_how_to_get_them(self, nothing_installed: None) -> None:
        reason = binaries.why_not()
        assert reason is not None
        assert "install Go, or set KUBEBUILDER_ASSETS" in reason

    def test_without_go_nothing_is_built(self, nothing_installed: None) -> None:
        with pytest.raises(StackError, match="no API server can run here"):
            binaries.ensure()


class TestPackages:
    def test_without_packages_and_docker_the_reason_names_both(self, nothing_installed: None) -> None:
        reason = packages.why_not()
        assert reason is not None
        assert "rabbitmq-server and redis-server not installed and no Docker daemon answers" in reason


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)


class TestPorts:
    def test_a_free_port_is_outside_what_the_kernel_lends_to_clients(self) -> None:
        assert ports.free_port() in ports.CANDIDATES

    def test_a_port_in_use_is_not_free(self) -> None:
        with socket.create_server((ports.LOOPBACK, ports.free_port())) as listener:
            assert not ports._is_free(listener.getsockname()[1])


class TestFolder:
    def test_what_an_earlier_run_left_is_wiped(self, tmp_path: Path) -> None:
        (tmp_path / "redis").mkdir()
        (tmp_path / "redis/stale").touch()
        with folder.own_folder(tmp_path, "redis") as own:
            assert list(own.iterdir()) == []

    def test_neighbours_are_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "mine").touch()
        with folder.own_folder(tmp_path, "redis"):
            assert (tmp_path / "mine").exists()

    def test_two_runs_never_share_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(folder, "PATIENCE_SECONDS", 0.05)
        with (
            folder.own_folder(tmp_path, "redis"),
            pytest.raises(StackError, match="in use by another run"),
            folder.own_folder(tmp_path, "redis"),
        ):
            pass


class TestProcess:
    def test_ready_means_started(self, tmp_path: Path) -> None:
        with running("echo up; exec sleep 60", tmp_path, ready_when="up") as server:
            assert server.is_running

    def test_killed_means_gone(self, tmp_path: Path) -> None:
        with running("echo up; exec sleep 60", tmp_path, ready_when="up") as server:
            server.kill()
            assert not server.is_running

    def test_its_children_go_with_it(self, tmp_path: Path) -> None:
        with running("sleep 60 & echo $!; wait", tmp_path, ready_when="\n") as server:
            child = int((tmp_path / "log").read_text())
            server.kill()
            assert not process.is_alive(child)

    def test_one_that_ends_at_once_is_told_with_its_last_words(self, tmp_path: Path) -> None:
        with pytest.raises(StackError, match=r"(?s)ended while it was starting.*no such setting"):
            a_process("echo no such setting; exit 1", tmp_path).start()

    def test_one_that_never_serves_is_ended(self, tmp_path: Path) -> None:
        server = a_process("exec sleep 60", tmp_path, patience_seconds=0.1)
        with pytest.raises(StackError, match="did not serve within"):
            server.start()
        assert not server.is_running

    def test_one_that_cannot_be_executed_is_told(self, tmp_path: Path) -> None:
        launch = Launch(name="ghost", command=("/nowhere/ghost",), is_ready=lambda: True, log=tmp_path / "log")
        with pytest.raises(StackError, match="ghost could not be executed"):
            Process(launch).start()

    def test_an_empty_log_has_a_tail_too(self, tmp_path: Path) -> None:
        assert process.tail(tmp_path / "absent") == "    (empty)"


@contextlib.contextmanager
def running(script: str, state: Path, *, ready_when: str) -> Iterator[Process]:
    """A shell script as a server, killed at the end of the block."""
    server = a_process(script, state, ready_when=ready_when)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def a_process(script: str, state: Path, *, ready_when: str = "never", patience_seconds: float = 10) -> Process:
    log = state / "log"
    launch = Launch(
        name="script",
        command=("sh", "-c", script),
        is_ready=lambda: ready_when in log.read_text(),
        log=log,
        patience_seconds=patience_seconds,
    )
    return Process(launch)


class TestInstalling:
    def test_apt_gets_the_packages_while_services_stay_off(self, apt: Path, tmp_path: Path) -> None:
        packages.install(("redis-server",))
        update, install = apt.read_text().splitlines()
        assert update == "noninteractive -q update, services off"
        assert install.startswith("noninteractive -q install ")
        assert install.endswith(" --yes --no-install-recommends redis-server, services off")
        assert not (tmp_path / "policy").exists(), "the switch is ours, so it is taken back"

    def test_an_owners_own_switch_is_left_alone(self, apt: Path, tmp_path: Path) -> None:
        (tmp_path / "policy").write_text("theirs")
        packages.install(("redis-server",))
        assert (tmp_path / "policy").read_text() == "theirs"

    def test_a_failing_apt_is_told_with_its_reason(self, apt: Path, tmp_path: Path) -> None:
        (tmp_path / "bin/apt-get").write_text("#!/bin/sh\necho no such mirror >&2\nexit 100\n")
        with pytest.raises(StackError, match=r"`apt-get -q install .*` failed \(no such mirror\)"):
            packages.install(("redis-server",))


@pytest.fixture
def apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A stand-in for apt-get that writes down how it was called."""
    script = a_program(tmp_path / "bin", "apt-get")
    told, policy = tmp_path / "told", tmp_path / "policy"
    script.write_text(f"""#!/bin/sh
[ -e "{policy}" ] && services=off
echo "$DEBIAN_FRONTEND $@, services $services" >> "{told}"
""")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(packages, "POLICY", policy)
    return told


class TestContainers:
    def test_they_listen_on_loopback_only(self, tmp_path: Path) -> None:
        for launch in (
            containers.redis(tmp_path, 20001, ("--appendonly", "yes")),
            containers.rabbitmq(tmp_path, 20001, user="mission", password="p"),
        ):
            published = launch.command[launch.command.index("-p") + 1]
            assert published.startswith("127.0.0.1:20001:")

    def test_each_has_a_name_of_its_own(self, tmp_path: Path) -> None:
        one, other = (containers.redis(tmp_path, port, ()) for port in (20001, 20002))
        assert set(one.command) - set(other.command) >= {"mission-control-redis-20001"}

    def test_settings_reach_the_server(self, tmp_path: Path) -> None:
        assert containers.redis(tmp_path, 20001, ("--appendonly", "yes")).command[-2:] == ("--appendonly", "yes")
