"""What is in an image, as a CycloneDX bill of materials: its lock, read; nothing is guessed and nothing is fetched."""

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

_LINE: Final = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?==(?P<version>[^\s;]+)\s*(;(?P<marker>.*?))?(?=\s+--hash|\s*$)"
)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
MARKER: Final = "missioncontrol:installed-where"


class Locked(NamedTuple):
    """One requirement of a lock."""

    name: str
    version: str
    marker: str
    """Where it is installed; empty: everywhere."""
    hashes: tuple[str, ...]
    """SHA-256 of each file that may be installed for it."""


def locked(lock: Path) -> Iterator[Locked]:
    """Read a lock. ValueError for a line that is no pinned requirement."""
    for line in lock.read_text().replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            yield _read(line)


def _read(line: str) -> Locked:
    found = _LINE.match(line)
    if found is None:
        raise ValueError(f"no pinned requirement, so the bill would not be whole: {line[:200]!r}")
    marker = (found["marker"] or "").strip()
    return Locked(found["name"], found["version"], marker, tuple(_HASH.findall(line)))


def bill(image: str, version: str, lock: Path) -> str:
    """Return the bill of an image as JSON; of the same lock it is the same text."""
    bom = Bom(components=map(_component, locked(lock)))
    own = Component(type=ComponentType.CONTAINER, name=image, version=version, bom_ref=image)
    bom.metadata.component = own
    bom.register_dependency(own, bom.components)
    # Without a moment and a random number two bills of the same image can be compared.
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"{image}:{version}\n{lock.read_text()}")
    shown = json.loads(make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string())
    del shown["metadata"]["timestamp"]
    return json.dumps(shown, indent=2) + "\n"


def _component(one: Locked) -> Component:
    return Component(
        name=one.name,
        version=one.version,
        bom_ref=f"{one.name}=={one.version}",
        purl=PackageURL(type="pypi", name=one.name, version=one.version),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in one.hashes],
        properties=[Property(name=MARKER, value=one.marker)] if one.marker else (),
    )
