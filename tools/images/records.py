"""What `make images` writes down next to the images: bills of materials, hashes, and a registry's digests."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml

from tools.images import bill, builders
from tools.images.builders import ROOT, Builder
from tools.images.errors import ImagesError

FOLDER: Final = ROOT / ".state" / "images"
SUMS: Final = "SHA256SUMS"
DIGESTS: Final = "digests.yaml"


def write_bills(services: Sequence[str], tag: str, folder: Path = FOLDER) -> list[Path]:
    """Write a bill for each image, and the SHA-256 of each bill and of each lock that it was made from."""
    folder.mkdir(parents=True, exist_ok=True)
    bills = [_written(service, tag, folder) for service in services]
    locks = [_lock(service) for service in services]
    lines = [f"{_sha256(file)}  {_shown(file, folder)}" for file in (*bills, *locks)]
    (folder / SUMS).write_text("\n".join(lines) + "\n")
    return bills


def _written(service: str, tag: str, folder: Path) -> Path:
    path = folder / f"mission-{service}-{tag}.cdx.json"
    path.write_text(bill.bill(f"mission-{service}", tag, _lock(service)))
    return path


def _lock(service: str) -> Path:
    return ROOT / "requirements" / f"{service}.txt"


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _shown(file: Path, folder: Path) -> str:
    return file.name if file.parent == folder else str(file.relative_to(ROOT))


def push(builder: Builder, services: Sequence[str], tag: str, registry: str, folder: Path = FOLDER) -> Path:
    """Push the images, and write values for the chart that name each by the digest that the registry gave it."""
    folder.mkdir(parents=True, exist_ok=True)
    digests = {service: _pushed(builder, service, tag, registry, folder) for service in services}
    path = folder / DIGESTS
    path.write_text(values(registry, digests))
    return path


def _pushed(builder: Builder, service: str, tag: str, registry: str, folder: Path) -> str:
    file = folder / f"{service}.digest"
    file.unlink(missing_ok=True)
    meaning = f"the registry has no image of the {service}"
    for command in builder.pushing(service, tag, registry, file):
        said = builders.run(builder, command, meaning)
    digest = file.read_text().strip() if file.exists() else said.strip().rpartition("@")[2]
    if not digest.startswith("sha256:"):
        raise ImagesError(f"{meaning} under a digest that anything could be pinned to: it said {digest!r}.")
    return digest


def values(registry: str, digests: Mapping[str, str]) -> str:
    """Return values for the chart: `helm upgrade -f` takes them."""
    own = {service: {"image": {"digest": digest}} for service, digest in digests.items()}
    return yaml.safe_dump({"image": {"registry": registry}} | own, sort_keys=False)
