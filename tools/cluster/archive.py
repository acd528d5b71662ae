"""An image of one layer as an archive that containerd, buildah, kind and docker all read."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""What images call what the kernel calls otherwise."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a container of the image starts; the names are the format's own."""

    Entrypoint: Sequence[str] = ()
    Cmd: Sequence[str] = ()
    Env: Sequence[str] = ()
    WorkingDir: str = "/"
    User: str = ""
    Labels: Mapping[str, str] = field(default_factory=dict)
    ExposedPorts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def write(target: Path, *, name: str, layer: Path, settings: Settings) -> None:
    """Pack a layer (a tar file) under this name; whole or not at all."""
    unfinished = target.with_suffix(".unfinished")
    digest = _digest(layer)
    config = json.dumps(_config(digest, settings)).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [f"{digest}/layer.tar"]}]
    with tarfile.open(unfinished, "w") as archive:
        _add(archive, config_name, config)
        archive.add(layer, f"{digest}/layer.tar")
        _add(archive, "manifest.json", json.dumps(manifest).encode())
    unfinished.rename(target)


def _config(digest: str, settings: Settings) -> dict[str, object]:
    return {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": asdict(settings),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created_by": "tools.cluster"}],  # buildah builds on no image that does not tell its layers
    }


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
