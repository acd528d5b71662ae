"""Brings image archives into a node's containerd, each once."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.cluster import archive
from tools.cluster.layout import Layout
from tools.cluster.settings import PAUSE_IMAGE
from tools.stack.binaries import required
from tools.stack.commands import run

NAMESPACE = "k8s.io"
"""Where the kubelet looks for images."""


def pause_archive(folder: Path) -> Path:
    """Return the archive of the image that holds a pod's namespaces."""
    folder.mkdir(parents=True, exist_ok=True)
    target, layer = folder / "pause.tar", folder / "pause-layer.tar"
    program = required("pause")
    owner = ("--owner=0", "--group=0", "--mtime=@0")
    run(["tar", "-C", program.parent, *owner, "-cf", layer, program.name], meaning="no pod can start")
    archive.write(target, name=PAUSE_IMAGE, layer=layer, settings=archive.Settings(Entrypoint=("/pause",)))
    layer.unlink()
    return target


def load(layout: Layout, archives: Sequence[Path]) -> None:
    """Import archives into the running containerd, whatever it has under these names."""
    for file in archives:
        run([*_ctr(layout), "images", "import", file], meaning=f"pods cannot use what is in {file}")


def load_new(layout: Layout, archives: Sequence[Path]) -> list[Path]:
    """Import those that this containerd has not got yet; return them."""
    known = _known(layout)
    new = [file for file in archives if known.get(str(file)) != _stamp(file)]
    load(layout, new)
    stamps = {str(file): _stamp(file) for file in archives}
    layout.loaded.write_text(json.dumps(known | stamps))
    return new


def remove_containers(layout: Layout) -> None:
    """Forget the containers of an earlier node: their processes are gone, their records and file systems are not."""
    ctr = _ctr(layout)
    listed = subprocess.run(
        [*ctr, "containers", "list", "-q"], capture_output=True, text=True, check=False, timeout=60
    ).stdout
    left = listed.split()
    if left:
        subprocess.run([*ctr, "tasks", "rm", "-f", *left], capture_output=True, check=False, timeout=60)
        run([*ctr, "containers", "rm", *left], meaning="an earlier node's containers would come back")


def _ctr(layout: Layout) -> list[str | Path]:
    return ["ctr", "--address", layout.containerd_socket, "-n", NAMESPACE]


def _known(layout: Layout) -> dict[str, str]:
    if not layout.loaded.exists() or not layout.images.exists():
        return {}
    known: dict[str, str] = json.loads(layout.loaded.read_text())
    return known


def _stamp(file: Path) -> str:
    told = file.stat()
    return f"{told.st_mtime_ns}-{told.st_size}"
