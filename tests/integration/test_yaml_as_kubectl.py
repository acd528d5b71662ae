"""The table of what kubectl makes of YAML, held against kubectl itself. It needs no server."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support import yaml_table
from support.ability import cannot_run
from tools.stack import binaries

pytestmark = [pytest.mark.kube, pytest.mark.timeout(300)]

HEAD = "apiVersion: missioncontrol.dev/v1alpha1\nkind: Mission\nmetadata: {name: a}\nspec:\n"
KUBECTL_TIMEOUT_SECONDS = 30


@pytest.fixture(scope="module")
def kubectl() -> Path:
    found = binaries.find("kubectl")
    if found is None:
        cannot_run("kubectl is not installed: run `make servers` to build it.")
    return found


# `annotate --local` reads a file and writes what it read.
def ask(kubectl: Path, text: str) -> subprocess.CompletedProcess[str]:
    words = [str(kubectl), "annotate", "--local", "--kubeconfig=/dev/null", "-f", "-", "asked=yes", "-o", "json"]
    return subprocess.run(
        words, input=text, capture_output=True, text=True, check=False, timeout=KUBECTL_TIMEOUT_SECONDS
    )


def test_kubectl_reads_these_values(kubectl: Path) -> None:
    expected: dict[str, Any] = yaml_table.READ | yaml_table.CHANGED_BY_KUBECTL
    keys = {f"k{place}": text for place, text in enumerate(expected)}
    answer = ask(kubectl, HEAD + "".join(f"  {key}: {text}\n" for key, text in keys.items()))
    assert answer.returncode == 0, answer.stderr
    read = json.loads(answer.stdout)["spec"]
    for key, text in keys.items():
        assert json.dumps(read[key], sort_keys=True) == json.dumps(expected[text], sort_keys=True), text


@pytest.mark.parametrize("text", [*yaml_table.REFUSED, *yaml_table.READ_HERE])
def test_kubectl_refuses_these(kubectl: Path, text: str) -> None:
    assert ask(kubectl, f"{HEAD}  v: {text}\n").returncode != 0


@pytest.mark.parametrize("text", yaml_table.EXACT)
def test_kubectl_rounds_these(kubectl: Path, text: str) -> None:
    assert float(json.loads(ask(kubectl, f"{HEAD}  v: {text}\n").stdout)["spec"]["v"]) == float(text)
