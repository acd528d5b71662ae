"""Bills of materials, hashes and digests: whole, the same each time, and never made up."""

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tools.charts import helm
from tools.images import bill, records
from tools.images.builders import BUILDAH, DOCKER, ROOT, SERVICES, Builder
from tools.images.errors import ImagesError

DIGEST = f"sha256:{'ab' * 32}"


def lock(service: str) -> Path:
    return ROOT / "requirements" / f"{service}.txt"


@pytest.mark.parametrize("service", SERVICES)
def test_a_bill_lists_each_locked_dependency_with_its_hashes(service: str) -> None:
    """Compared with the lock read in another way than the bill's own."""
    shown = json.loads(bill.bill(f"mission-{service}", "1", lock(service)))
    assert (shown["bomFormat"], shown["specVersion"]) == ("CycloneDX", "1.6")
    found = shown["components"]
    text = lock(service).read_text()
    # One name may be there twice, with a version for each kind of machine.
    pins = re.findall(r"^([a-z0-9-]+)(?:\[[^]]*\])?==([^ ]+)", text, re.MULTILINE)
    assert len(pins) > 10
    assert sorted((one["name"], one["version"]) for one in found) == sorted(pins)
    assert {one["purl"] for one in found} == {f"pkg:pypi/{name}@{version}" for name, version in pins}
    hashes = [each["content"] for one in found for each in one["hashes"]]
    assert sorted(hashes) == sorted(re.findall(r"--hash=sha256:([0-9a-f]{64})", text))


def test_what_is_installed_on_some_platforms_only_says_where() -> None:
    uvloop = next(one for one in bill.locked(lock("commander")) if one.name == "uvloop")
    assert uvloop.marker == "sys_platform != 'win32'"


def test_the_same_lock_gives_the_same_bill_and_another_one_another(tmp_path: Path) -> None:
    first = bill.bill("mission-soldier", "1", lock("soldier"))
    assert bill.bill("mission-soldier", "1", lock("soldier")) == first
    changed = tmp_path / "soldier.txt"
    changed.write_text(lock("soldier").read_text().replace("==", "==9", 1))
    assert bill.bill("mission-soldier", "1", changed) != first


@pytest.mark.parametrize("line", ["somewhere @ file:///x", "loose>=1", "-r other.txt"])
def test_a_line_that_pins_nothing_makes_no_bill(tmp_path: Path, line: str) -> None:
    bad = tmp_path / "bad.txt"
    bad.write_text(f"{line}\n")
    with pytest.raises(ValueError, match="the bill would not be whole"):
        bill.bill("mission-soldier", "1", bad)


def test_the_hashes_are_those_of_the_files(tmp_path: Path) -> None:
    records.write_bills(SERVICES, "7", tmp_path)
    lines = [line.split("  ") for line in (tmp_path / records.SUMS).read_text().splitlines()]
    assert len(lines) == 2 * len(SERVICES)
    for content, name in lines:
        file = tmp_path / name if (tmp_path / name).exists() else ROOT / name
        assert hashlib.sha256(file.read_bytes()).hexdigest() == content


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Builders that only note what they were asked, and tell one digest."""
    asked: list[list[str]] = []

    def finish(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(list(command))
        for word in command:
            if word.startswith("--digestfile="):
                Path(word.partition("=")[2]).write_text(DIGEST)
        return subprocess.CompletedProcess(command, 0, stdout=f"registry.example.com/x@{DIGEST}\n", stderr="")

    monkeypatch.setattr("tools.images.builders.finish", finish)
    return asked


@pytest.mark.parametrize("builder", [BUILDAH, DOCKER], ids=lambda one: one.name)
def test_what_was_pushed_is_named_by_its_digest_in_values_that_the_chart_takes(
    registry: list[list[str]], tmp_path: Path, builder: Builder
) -> None:
    written = records.push(builder, SERVICES, "7", "registry.example.com/team", tmp_path)
    assert yaml.safe_load(written.read_text())["operator"]["image"]["digest"] == DIGEST
    assert any("registry.example.com/team/mission-soldier:7" in word for command in registry for word in command)
    images = {
        pod["image"]
        for one in helm.objects(values=[written])
        if one["kind"] == "Deployment"
        for pod in one["spec"]["template"]["spec"]["containers"]
    }
    assert images == {f"registry.example.com/team/mission-{name}@{DIGEST}" for name in ("operator", "commander")}


def test_a_registry_that_tells_no_digest_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def finish(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, stdout="", stderr="")

    monkeypatch.setattr("tools.images.builders.finish", finish)
    with pytest.raises(ImagesError, match="under a digest that anything could be pinned to"):
        records.push(BUILDAH, SERVICES, "7", "registry.example.com", tmp_path)
    assert not (tmp_path / records.DIGESTS).exists()
