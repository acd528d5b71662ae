"""The parts of tools.cluster that need no cluster."""

import contextlib
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
from tools.cluster import ClusterError, addresses, archive, layout, programs, sandbox, volumes
from tools.cluster.authority import Authority
from tools.cluster.volumes import ASKED_BY, CLAIMS, MADE_BY, PROVISIONER, VOLUMES, Make, Provisioner, Remove
from tools.stack import binaries
from tools.stack.binaries import Recipe


class TestAddresses:
    def test_the_first_block_is_taken_when_nothing_is_in_the_way(self) -> None:
        assert addresses.choose([]).block == addresses.CANDIDATES[0]

    def test_a_block_that_a_route_touches_is_left_alone(self) -> None:
        taken = [IPv4Network("10.200.7.0/24"), IPv4Network("10.201.0.1/32")]
        assert addresses.choose(taken).block == IPv4Network("10.202.0.0/16")

    def test_without_a_free_block_the_reason_says_what_to_do(self) -> None:
        with pytest.raises(ClusterError, match="end another cluster"):
            addresses.choose([IPv4Network("10.0.0.0/8")])

    def test_the_parts_of_a_block_do_not_overlap(self) -> None:
        chosen = addresses.choose([])
        assert not chosen.pods.overlaps(chosen.services)
        assert all(end not in chosen.pods and end not in chosen.services for end in (chosen.host, chosen.node))

    def test_the_api_service_has_the_services_first_address(self) -> None:
        assert addresses.choose([]).api_service == IPv4Address("10.200.128.1")


class TestLayout:
    @pytest.mark.parametrize("name", ["", "Dev", "a-b", "../x", "elevenchars", "9a"])
    def test_what_cannot_name_a_network_link_cannot_name_a_cluster(self, name: str) -> None:
        with pytest.raises(ClusterError, match="one to ten small letters and digits"):
            layout(name, {"HOME": "/nowhere"})

    def test_the_longest_name_fits_the_kernel(self) -> None:
        assert len(layout("a" * 10, {"HOME": "/nowhere"}).link) <= 15


class TestVolumes:
    def test_a_claim_that_asks_us_gets_a_volume_bound_to_it(self, tmp_path: Path) -> None:
        (deed,) = volumes.decide([a_claim()], [], tmp_path)
        assert isinstance(deed, Make)
        assert deed.volume["spec"]["claimRef"]["uid"] == "u1"
        assert deed.volume["spec"]["hostPath"]["path"] == str(tmp_path / "pvc-u1")

    @pytest.mark.parametrize(
        "claim",
        [
            pytest.param(lambda: a_claim(asks="somebody.else"), id="a claim for another provisioner"),
            pytest.param(lambda: a_claim(volume_name="pvc-x"), id="a bound claim"),
            pytest.param(lambda: a_claim(deleted_at="now"), id="a claim that is being deleted"),
        ],
    )
    def test_other_claims_are_left_alone(self, claim: Any, tmp_path: Path) -> None:
        assert list(volumes.decide([claim()], [], tmp_path)) == []

    def test_a_volume_is_made_once(self, tmp_path: Path) -> None:
        assert list(volumes.decide([a_claim()], [a_volume("Available")], tmp_path)) == []

    def test_a_released_volume_of_ours_is_removed(self, tmp_path: Path) -> None:
        assert list(volumes.decide([], [a_volume("Released")], tmp_path)) == [Remove("pvc-u1")]

    def test_a_volume_in_use_or_of_somebody_else_stays(self, tmp_path: Path) -> None:
        others = [
            a_volume("Bound"),
            a_volume("Released", made_by="somebody.else"),
            a_volume("Released", policy="Retain"),
        ]
        assert list(volumes.decide([], others, tmp_path)) == []

    def test_its_folder_can_be_written_by_anybody_and_goes_with_it(self, tmp_path: Path) -> None:
        objects = HeldObjects(claims=[a_claim()])
        provisioner = Provisioner(objects, tmp_path, print)
        with a_strict_umask():
            provisioner.reconcile()
        assert (tmp_path / "pvc-u1").stat().st_mode & 0o777 == 0o777
        objects.release()
        provisioner.reconcile()
        assert not (tmp_path / "pvc-u1").exists()
        assert objects.held[VOLUMES] == []


class TestArchive:
    def test_it_names_its_image_and_describes_its_layer(self, tmp_path: Path) -> None:
        layer = tmp_path / "layer.tar"
        tarfile.open(layer, "w").close()
        archive.write(tmp_path / "x.tar", name="x:1", layer=layer, settings=archive.Settings(Cmd=("run",), User="999"))
        with tarfile.open(tmp_path / "x.tar") as written:
            (manifest,) = read(written, "manifest.json")
            config = read(written, manifest["Config"])
            assert manifest["RepoTags"] == ["x:1"]
            assert manifest["Layers"][0] in written.getnames()
        assert config["config"]["Cmd"] == ["run"]
        assert manifest["Layers"][0].startswith(config["rootfs"]["diff_ids"][0].removeprefix("sha256:"))


class TestAuthority:
    def test_a_strict_verifier_accepts_what_it_issues_for_the_names_given(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path, "ours")
        served = x509.load_pem_x509_certificate(
            authority.server("api", ("api.local", "10.0.0.1")).certificate.read_bytes()
        )
        trusted = Store([x509.load_pem_x509_certificate(authority.certificate.read_bytes())])
        verifier = PolicyBuilder().store(trusted).build_server_verifier(x509.DNSName("api.local"))
        assert verifier.verify(served, [])[0] == served

    def test_a_key_is_for_nobody_else_to_read(self, tmp_path: Path) -> None:
        assert Authority(tmp_path, "ours").client("someone").key.stat().st_mode & 0o077 == 0


class TestRunning:
    def test_without_a_node_nothing_runs(self, tmp_path: Path) -> None:
        assert sandbox.running(layout("none", {"XDG_CACHE_HOME": str(tmp_path)})) is None

    def test_a_process_that_only_mentions_the_folder_is_not_the_node(self, tmp_path: Path) -> None:
        files = layout("none", {"XDG_CACHE_HOME": str(tmp_path)})
        with subprocess.Popen([sys.executable, "-c", "input()", str(files.node)], stdin=subprocess.PIPE) as bystander:
            assert sandbox.running(files) is None
            bystander.communicate(b"\n", timeout=20)


class TestPrograms:
    def test_without_docker_a_node_needs_root(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        reason = programs.why_no_node()
        assert reason is not None
        assert "start Docker, or run this as root" in reason

    def test_a_program_built_by_an_older_recipe_counts_as_missing(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
        recipe = Recipe(name="thing", module=tmp_path, package=".", minutes="seconds")
        (tmp_path / "go.mod").write_text("module thing\n")
        program = tmp_path / "mission-control/bin/thing"
        program.parent.mkdir(parents=True)
        program.touch(mode=0o755)
        assert binaries.missing([recipe]) == ()
        program.with_name("thing.recipe").write_text("an older recipe's mark")
        assert binaries.missing([recipe]) == ("thing",)


class HeldObjects:
    """An API server's lists, in memory."""

    def __init__(self, *, claims: Sequence[Mapping[str, Any]]) -> None:
        self.held: dict[str, list[Mapping[str, Any]]] = {CLAIMS: [*claims], VOLUMES: []}

    def list(self, path: str) -> Sequence[Mapping[str, Any]]:
        return self.held[path]

    def create(self, path: str, item: Mapping[str, Any]) -> None:
        self.held[path].append(item)

    def delete(self, path: str) -> None:
        kind, _, name = path.rpartition("/")
        self.held[kind] = [item for item in self.held[kind] if item["metadata"]["name"] != name]

    def watch(self, path: str) -> Iterator[object]:
        raise AssertionError(f"nothing here listens to {path}")

    def release(self) -> None:
        """The claims go; their volumes are told so."""
        self.held[CLAIMS] = []
        self.held[VOLUMES] = [{**volume, "status": {"phase": "Released"}} for volume in self.held[VOLUMES]]


def a_claim(*, asks: str = PROVISIONER, volume_name: str = "", deleted_at: str = "") -> dict[str, Any]:
    metadata = {"name": "data", "namespace": "default", "uid": "u1", "annotations": {ASKED_BY: asks}}
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "standard",
    }
    return {
        "metadata": metadata | ({"deletionTimestamp": deleted_at} if deleted_at else {}),
        "spec": spec | ({"volumeName": volume_name} if volume_name else {}),
    }


def a_volume(phase: str, *, made_by: str = PROVISIONER, policy: str = "Delete") -> dict[str, Any]:
    return {
        "metadata": {"name": "pvc-u1", "annotations": {MADE_BY: made_by}},
        "spec": {"persistentVolumeReclaimPolicy": policy},
        "status": {"phase": phase},
    }


def read(source: tarfile.TarFile, name: str) -> Any:
    content = source.extractfile(name)
    assert content is not None
    return json.load(content)


@contextlib.contextmanager
def a_strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
