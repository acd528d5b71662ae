"""Whether manifests are what Kubernetes 1.34 and our CRDs understand, by kubeconform and without a network."""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tools.charts import schemas
from tools.charts.helm import ROOT
from tools.stack.binaries import required
from tools.stack.errors import StackError

MANIFESTS: Final = ROOT / "manifests"
OVERLAYS: Final = ("dev", "kind")


class NotConformingError(StackError):
    """kubeconform says no; the message is what it said."""


def demand(manifests: str) -> None:
    """Refuse fields that do not exist, values of another type, kinds that nobody knows."""
    with tempfile.TemporaryDirectory() as folder:
        places = (schemas.of_kubernetes(), schemas.of_ours(MANIFESTS / "crds", Path(folder)))
        command = [str(required("kubeconform")), "-strict", *_locations(places), "-"]
        done = subprocess.run(command, input=manifests, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise NotConformingError((done.stdout + done.stderr).strip())


def overlay(name: str) -> str:
    """Give what `kubectl apply -k manifests/overlays/NAME` would send."""
    command = [str(required("kubectl")), "kustomize", str(MANIFESTS / "overlays" / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise NotConformingError(f"the overlay {name} cannot be built: {done.stderr.strip()}")
    return done.stdout


def _locations(folders: Sequence[Path]) -> list[str]:
    return [word for folder in folders for word in ("-schema-location", f"{folder}/{schemas.TEMPLATE}")]
