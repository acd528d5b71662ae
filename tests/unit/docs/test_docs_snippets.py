"""What the pages show is true: their YAML is accepted, their Python can be read, their commands exist and work."""

import ast
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.dev_process import START_SECONDS, Dev
from support.snippets import ROOT, Snippet, pages, snippets

from mission_contracts.resources import MISSION, SOLDIER_POOL

KINDS = {resource.kind: resource.spec for resource in (MISSION, SOLDIER_POOL)}
LANES = ROOT / "docs" / "concepts" / "lanes.md"


def every(*languages: str) -> list[object]:
    return [
        pytest.param(one, id=f"{page.relative_to(ROOT)}:{one.line}")
        for page in pages()
        for one in snippets(page)
        if one.language in languages
    ]


@pytest.mark.parametrize("snippet", every("yaml"))
def test_objects_are_accepted_as_they_stand(snippet: Snippet) -> None:
    for document in filter(None, yaml.safe_load_all(snippet.text)):
        if document.get("kind") in KINDS:
            KINDS[document["kind"]].model_validate(document["spec"])


@pytest.mark.parametrize("snippet", every("python"))
def test_python_can_be_read(snippet: Snippet) -> None:
    ast.parse(snippet.text)


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    up = Dev(tmp_path, "--port", "0")
    up.context()
    yield up
    up.kill()


@pytest.mark.timeout(120)
def test_the_page_on_lanes_does_what_it_says(dev: Dev) -> None:
    for snippet in snippets(LANES):
        if snippet.file:
            (dev.folder / snippet.file).write_text(snippet.text)
        for command in snippet.commands:
            program, *words = shlex.split(command)
            assert program == "missionctl", command
            result = dev.cli(*words)
            assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    assert dev.cli("wait", "--all", "--timeout", str(START_SECONDS)).returncode == 0
    missions = json.loads(dev.cli("get", "-o", "json").stdout)["missions"]
    assert {one["state"] for one in missions} == {"COMPLETED"}
    lanes: dict[str, list[object]] = {}
    for one in sorted(missions, key=lambda one: str(one["started_at"])):
        lanes.setdefault(one["ordering_key"], []).append(one.get("sequence_number") or one["name"])
    assert lanes == {"account-7": ["open", "deposit"], "device-3": [1, 2], "device-4": [1]}
