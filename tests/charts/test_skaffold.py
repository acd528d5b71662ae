"""skaffold.yaml against what it speaks of: Dockerfiles and their stages, sources, images, the chart's values."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tools.charts import helm
from tools.images.builders import SERVICES

ROOT = helm.ROOT
CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
ARTIFACTS: list[dict[str, Any]] = CONFIG["build"]["artifacts"]
(RELEASE,) = CONFIG["deploy"]["helm"]["releases"]


def test_it_builds_every_service() -> None:
    assert {artifact["image"] for artifact in ARTIFACTS} == {f"mission-{service}" for service in SERVICES}


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=lambda artifact: artifact["image"])
class TestArtifact:
    def dockerfile(self, artifact: dict[str, Any]) -> str:
        return Path(ROOT, artifact["docker"]["dockerfile"]).read_text()

    def test_its_stage_exists(self, artifact: dict[str, Any]) -> None:
        target = artifact["docker"].get("target")
        assert target is None or f" AS {target}\n" in self.dockerfile(artifact)

    def test_what_is_synced_is_what_the_image_was_made_of(self, artifact: dict[str, Any]) -> None:
        rules = artifact.get("sync", {}).get("manual", ())
        copied = [line.split()[1] for line in self.dockerfile(artifact).splitlines() if line.startswith("COPY ")]
        members = {rule["src"].partition("/")[0] for rule in rules}
        assert not rules or members == {name for name in copied if (ROOT / name / "pyproject.toml").exists()}
        for rule in rules:
            assert any(ROOT.glob(rule["src"])), rule
            assert rule["src"].startswith(rule["strip"]), "what is left of the path is the package's own"

    def test_what_is_synced_can_be_written(self, artifact: dict[str, Any]) -> None:
        if "sync" in artifact:
            assert artifact["docker"]["target"] == "dev"
            assert "chown -R 65532:65532 /app/lib" in self.dockerfile(artifact)
            assert RELEASE["setValues"]["developer.writableFileSystem"] is True


def test_the_release_is_one_that_the_chart_takes() -> None:
    given = {**RELEASE["setValues"], **dict.fromkeys(RELEASE["setValueTemplates"], "x")}
    words = [word for name, value in given.items() for word in ("--set", f"{name}={str(value).lower()}")]
    objects = helm.objects(*words, values=[ROOT / Path(file) for file in RELEASE["valuesFiles"]])
    deployments = [each for each in objects if each["kind"] == "Deployment"]
    containers = [each["spec"]["template"]["spec"]["containers"][0] for each in deployments]
    assert {container["image"] for container in containers} == {"x:x"}
    assert all(container["securityContext"]["readOnlyRootFilesystem"] is False for container in containers)


def test_every_image_that_is_built_reaches_the_chart() -> None:
    templates = set(RELEASE["setValueTemplates"].values())
    assert templates == {
        f"{{{{.IMAGE_{part}_{artifact['image'].replace('-', '_')}}}}}"
        for artifact in ARTIFACTS
        for part in ("REPO", "TAG")
    }


def test_the_forwarded_service_exists() -> None:
    (forward,) = CONFIG["portForward"]
    services = {each["metadata"]["name"]: each for each in helm.objects() if each["kind"] == "Service"}
    ports = [port["port"] for port in services[forward["resourceName"]]["spec"]["ports"]]
    assert forward["port"] in ports
