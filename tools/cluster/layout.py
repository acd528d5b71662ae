"""Where a cluster keeps its files: one folder in the user's cache, of which only containerd's images outlive a stop."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.cluster.errors import ClusterError
from tools.stack import binaries

DEFAULT_NAME = "dev"
NAME = re.compile(r"[a-z][a-z0-9]{0,9}")
"""Short: network links are named after it, and the kernel allows them 15 characters."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The files, and the names in the kernel, of one cluster."""

    name: str
    folder: Path

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def kubectl_cache(self) -> Path:
        return self.folder / "kubectl-cache"

    @property
    def lock(self) -> Path:
        return self.folder / "cluster.lock"

    @property
    def progress(self) -> Path:
        """What the start says while it goes on."""
        return self.folder / "progress.log"

    @property
    def ready(self) -> Path:
        """Exists when the cluster can be used."""
        return self.folder / "ready"

    @property
    def images(self) -> Path:
        """containerd's own folder, kept: the next start finds its images unpacked."""
        return self.folder / "containerd"

    @property
    def loaded(self) -> Path:
        """Which archives containerd has already."""
        return self.folder / "loaded.json"

    @property
    def containerd_socket(self) -> Path:
        return self.folder / "containerd.sock"

    @property
    def node(self) -> Path:
        """Everything else; wiped at each start."""
        return self.folder / "node"

    @property
    def logs(self) -> Path:
        return self.node / "logs"

    @property
    def volumes(self) -> Path:
        return self.node / "volumes"

    @property
    def link(self) -> str:
        """This machine's end of the virtual cable to the node."""
        return f"mc-{self.name}"

    @property
    def node_name(self) -> str:
        return f"mission-control-{self.name}"

    @property
    def cgroup(self) -> str:
        """The node's pods are all below this control group."""
        return f"mission-control-{self.name}"


def layout(name: str, environment: Mapping[str, str]) -> Layout:
    """Name the files of one cluster of this user."""
    if not NAME.fullmatch(name):
        raise ClusterError(f"{name!r} cannot name a cluster: use one to ten small letters and digits, a letter first.")
    return Layout(name=name, folder=cache(environment) / "clusters" / name)


def image_archives(environment: Mapping[str, str]) -> Path:
    """Where base images are kept, for all clusters of this user."""
    return cache(environment) / "images"


def cache(environment: Mapping[str, str]) -> Path:
    """Where what we build is kept, for every checkout of this user."""
    return binaries.cache_folder(environment).parent
