"""The kustomize base: what the chart renders, without what only helm needs, so that the two can never differ."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from tools.charts import helm

FOLDER: Final = helm.ROOT / "manifests" / "base"
NOTICE: Final = "# Rendered from charts/mission-control by `python -m tools.charts --write`: do not edit.\n"
NAME: Final = "mission"

_SOURCE: Final = re.compile(r"^# Source: mission-control/templates/(?P<path>\S+)\n", re.MULTILINE)
_HELMS_OWN: Final = re.compile(
    r"^ *(app\.kubernetes\.io/(version|managed-by)|helm\.sh/chart|checksum/[a-z-]+): .*\n", re.MULTILINE
)
_NOTHING_LEFT: Final = re.compile(r"^( *)annotations:\n(?!\1 )", re.MULTILINE)
_ELSEWHERE: Final = ("keys.yaml", "crds/", "tests/", "soldier/leaving.yaml", "contradictions.yaml")
"""Overlays bring keys of their own; CRDs and the policy are generated; tests and hooks are helm's."""


def files() -> Mapping[Path, str]:
    """Give the base's files and their exact text."""
    documents: dict[Path, list[str]] = {}
    for path, text in _documents(helm.rendered("--set", f"fullnameOverride={NAME}")):
        if not path.startswith(_ELSEWHERE):
            documents.setdefault(FOLDER / path, []).append(text)
    return {path: NOTICE + "---\n".join(texts) for path, texts in documents.items()}


def outdated() -> Mapping[Path, str]:
    """Give those that are not what the chart says now."""
    return {path: text for path, text in files().items() if not path.exists() or path.read_text() != text}


def _documents(rendered: str) -> Iterator[tuple[str, str]]:
    for document in rendered.split("---\n"):
        if (source := _SOURCE.search(document)) is not None:
            text = document[source.end() :].strip("\n") + "\n"
            yield source["path"], _NOTHING_LEFT.sub("", _HELMS_OWN.sub("", text))
