"""How images are built and brought to a cluster, with programs that only write down what they were asked."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tools.images import __main__ as command
from tools.images import builders
from tools.images.errors import ImagesError
from tools.stack import containers

ROOT = builders.ROOT
PROGRAM = """#!/bin/sh
echo "$(basename "$0") $BUILDAH_ISOLATION $*" >> {log}
exit {code}
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """docker and buildah that always succeed; what they were asked is in this file."""
    log = tmp_path / "asked"
    log.touch()
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name in ("docker", "buildah"):
        _program(tmp_path / name, log)
    return log


def _program(path: Path, log: Path, code: int = 0) -> None:
    path.write_text(PROGRAM.format(log=log, code=code))
    path.chmod(0o755)


def test_docker_is_taken_where_it_answers(asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "docker_answers", lambda: True)
    assert command.main(["operator", "--no-load", "--tag", "7"]) == 0
    (build,) = (line for line in asked.read_text().splitlines() if " build " in line)
    assert build.startswith("docker  build")
    assert f"--file {ROOT}/operator/Dockerfile --tag mission-operator:7 {ROOT}" in build


def test_else_buildah_is_with_the_name_that_a_kubelet_reads(asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "docker_answers", lambda: False)
    assert command.main(["--no-load"]) == 0
    lines = [line for line in asked.read_text().splitlines() if " build " in line]
    assert [line.split("--tag ")[1].split()[0] for line in lines] == [
        f"docker.io/library/mission-{service}:0.1.0" for service in builders.SERVICES
    ]
    assert all(line.startswith("buildah chroot build") and "--network=host" in line for line in lines)


def test_a_machine_with_neither_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(containers, "docker_answers", lambda: False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImagesError, match=r"no image can be built here: start Docker, or run `make cluster` as root"):
        builders.find()


def test_a_failed_build_says_what_it_means(
    asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(containers, "docker_answers", lambda: False)
    _program(tmp_path / "buildah", asked, code=1)
    assert command.main(["soldier", "--no-load"]) == 1
    assert "`buildah build …` failed, so there is no image of the soldier" in capsys.readouterr().err


def test_an_unknown_service_is_refused(asked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["general", "--no-load"]) == 1
    assert "there is no service 'general'" in capsys.readouterr().err
    assert "build" not in asked.read_text()


def test_the_default_tag_is_what_the_chart_asks_for() -> None:
    chart = (ROOT / "charts" / "mission-control" / "Chart.yaml").read_text()
    assert f"appVersion: {command.DEFAULT_TAG}\n" in chart


@pytest.mark.parametrize("service", builders.SERVICES)
class TestDockerfile:
    def text(self, service: str) -> str:
        return (ROOT / service / "Dockerfile").read_text()

    def test_it_ends_as_a_user_without_rights(self, service: str) -> None:
        users = [line for line in self.text(service).splitlines() if line.startswith("USER")]
        assert users[-1] == "USER 65532:65532"

    def test_third_party_code_comes_with_its_hashes_before_ours(self, service: str) -> None:
        lines = self.text(service).splitlines()
        locked = next(n for n, line in enumerate(lines) if f"requirements/{service}.txt" in line and "COPY" in line)
        ours = next(n for n, line in enumerate(lines) if line == "COPY contracts contracts")
        assert locked < ours
        assert self.text(service).count("--require-hashes") == self.text(service).count("--requirement ") == 2

    def test_what_is_shipped_is_what_is_tested(self, service: str) -> None:
        assert _locked(service) <= _locked("dev"), "lock again with `make lock`"

    def test_its_lock_has_all_that_its_members_ask_for_and_nothing_of_a_test(self, service: str) -> None:
        names = {line.split("==")[0] for line in _locked(service)}
        assert "pydantic" in names
        assert names.isdisjoint({"pytest", "mypy", "ruff", "hypothesis"})


def _locked(name: str) -> set[str]:
    lines = (ROOT / "requirements" / f"{name}.txt").read_text().splitlines()
    return {line.split(" ")[0] for line in lines if "==" in line and not line.startswith(" ")}


class TestRestarting:
    """The first process of the dev images."""

    SERVICE = "import os, sys, time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(60)"

    def _start(self, file: Path) -> "subprocess.Popen[bytes]":
        program = ROOT / "tools" / "images" / "restarting.py"
        return subprocess.Popen([sys.executable, program, sys.executable, "-c", self.SERVICE, file])

    def _started(self, file: Path, count: int) -> list[str]:
        deadline = time.monotonic() + 20
        while len(pids := file.read_text().splitlines() if file.exists() else []) < count:
            assert time.monotonic() < deadline, (
                f"the service was to be started {count} times, and was {len(pids)} times"
            )
            time.sleep(0.02)
        return pids

    def test_sighup_starts_the_service_anew_and_sigterm_ends_it(self, tmp_path: Path) -> None:
        file = tmp_path / "pids"
        restarting = self._start(file)
        try:
            self._started(file, 1)
            restarting.send_signal(signal.SIGHUP)
            assert len(set(self._started(file, 2))) == 2
        finally:
            restarting.terminate()
        assert restarting.wait(20) == 128 + signal.SIGTERM

    def test_a_service_that_ends_by_itself_ends_the_container(self, tmp_path: Path) -> None:
        program = ROOT / "tools" / "images" / "restarting.py"
        done = subprocess.run(
            [sys.executable, program, sys.executable, "-c", "raise SystemExit(7)"], timeout=20, check=False
        )
        assert done.returncode == 7
