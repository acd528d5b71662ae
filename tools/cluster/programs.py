"""The programs of a node: Kubernetes and CoreDNS from their Go modules, containerd and its helpers from Debian."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from tools.cluster.errors import ClusterError
from tools.stack import binaries, packages
from tools.stack.binaries import VERSIONED, Recipe

HERE = Path(__file__).parent / "go"


def _kubernetes(name: str, minutes: str) -> Recipe:
    module = binaries.SOURCES / "kube"
    package = f"k8s.io/kubernetes/cmd/{name}"
    return Recipe(name=name, module=module, package=package, minutes=minutes, ldflags=VERSIONED)


NODE_RECIPES = (
    *binaries.RECIPES,
    _kubernetes("kubelet", "about two minutes on two cores"),
    _kubernetes("kube-controller-manager", "under a minute"),
    _kubernetes("kube-scheduler", "under a minute"),
    _kubernetes("kube-proxy", "under a minute"),
    Recipe(name="coredns", module=HERE / "coredns", package=".", minutes="about a minute"),
    Recipe(name="pause", module=HERE / "pause", package=".", minutes="seconds"),
)
KIND_RECIPES = (
    Recipe(name="kind", module=HERE / "kind", package="sigs.k8s.io/kind", minutes="under a minute"),
    *(recipe for recipe in binaries.RECIPES if recipe.name == "kubectl"),
)
PACKAGES: Mapping[str, str] = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "unshare": "util-linux",
    "mount": "mount",
    "ps": "procps",
}
"""Which Debian package brings which program."""
CNI_PACKAGE = "containernetworking-plugins"
CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"), Path("/usr/libexec/cni"))
LOSS = "no cluster can run here"


def ensure() -> None:
    """Install and build what a node needs: ten minutes on two cores the first time, nothing after that."""
    _ensure_packages()
    binaries.build(NODE_RECIPES, loss=LOSS)


def cni_folder() -> Path | None:
    """Find the folder with the network plugins."""
    return next((folder for folder in CNI_FOLDERS if (folder / "ptp").exists()), None)


def why_no_node() -> str | None:
    """Say why this machine cannot be a node, or None when it can (perhaps after installing something)."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return (
            "No Docker daemon answers, and without one a cluster needs Linux and root, so none can run here: "
            "start Docker, or run this as root."
        )
    return None


def missing_packages() -> tuple[str, ...]:
    """Name the Debian packages that are not installed here."""
    lacking = [package for program, package in PACKAGES.items() if shutil.which(program) is None]
    return (*lacking, *(() if cni_folder() else (CNI_PACKAGE,)))


def _ensure_packages() -> None:
    lacking = missing_packages()
    if not lacking:
        return
    if shutil.which("apt-get") is None:
        raise ClusterError(f"{', '.join(lacking)} not installed, so {LOSS}: install what this system calls them.")
    packages.install(lacking)
