"""A kind cluster of the demo's own, with stand-ins for docker, kind and kubectl: none of them is on every machine."""

import json
import stat
from pathlib import Path

import pytest
from tools.demo import clusters
from tools.demo.clusters import Source
from tools.demo.errors import DemoError
from tools.stack import binaries

VERSION = json.dumps({"clientVersion": {"gitVersion": binaries.KUBERNETES}})


class Machine:
    """A machine that has only the programs it was given; each notes what it was asked."""

    def __init__(self, folder: Path) -> None:
        self._programs = folder / "bin"
        self._programs.mkdir()
        self._notes = folder / "notes"
        self._notes.touch()
        self.path = str(self._programs)

    def has(self, name: str, *, answers: int = 0, when_asked: str = "*") -> None:
        program = self._programs / name
        program.write_text(
            f'#!/bin/sh\necho "{name} $*" >> {self._notes}\n'
            f"case \"$*\" in version*) echo '{VERSION}';; {when_asked}) echo 'says {name}' >&2; exit {answers};; esac\n"
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    @property
    def asked(self) -> list[str]:
        lines = self._notes.read_text().splitlines()
        return [" ".join(line.split()[:3]) for line in lines if " version " not in line]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    bare = Machine(tmp_path)
    monkeypatch.setenv("PATH", bare.path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return bare


def test_docker_that_answers_and_kind_and_kubectl_make_a_cluster(machine: Machine) -> None:
    for name in ("docker", "kind", "kubectl"):
        machine.has(name)
    assert clusters.source() is Source.KIND


@pytest.mark.parametrize("lacking", ["docker", "kind", "kubectl"])
def test_without_one_of_them_there_is_no_kind_cluster(machine: Machine, lacking: str) -> None:
    for name in {"docker", "kind", "kubectl"} - {lacking}:
        machine.has(name)
    assert clusters.source() is Source.NONE


def test_docker_that_does_not_answer_makes_none(machine: Machine) -> None:
    machine.has("docker", answers=1)
    machine.has("kind")
    machine.has("kubectl")
    assert clusters.source() is Source.NONE


def test_the_cluster_is_the_demos_own_and_goes_at_the_end(machine: Machine, tmp_path: Path) -> None:
    machine.has("kind")
    machine.has("kubectl")
    with clusters.cluster(Source.KIND, tmp_path) as kube:
        assert kube.kubeconfig == tmp_path / "kubeconfig"
        assert machine.asked == ["kind create cluster"]
    assert machine.asked == ["kind create cluster", "kind delete cluster"]


def test_a_cluster_that_cannot_be_made_is_taken_away_and_kind_is_quoted(machine: Machine, tmp_path: Path) -> None:
    machine.has("kind", answers=1, when_asked="create*")
    machine.has("kubectl")
    with pytest.raises(DemoError, match="says kind"), clusters.cluster(Source.KIND, tmp_path):
        pytest.fail("there is no cluster to use")
    assert machine.asked == ["kind create cluster", "kind delete cluster"]
