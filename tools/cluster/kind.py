"""The same cluster in a container, by kind, where a Docker daemon answers.

Nobody has run this path in the project yet: the machines it was written on have no Docker daemon.
"""

from pathlib import Path

from tools.cluster import programs
from tools.cluster.layout import Layout
from tools.stack import binaries
from tools.stack.commands import run

PATIENCE = "180s"


def up(layout: Layout) -> None:
    """Return when pods can run; a cluster that runs is left as it is."""
    binaries.build(programs.KIND_RECIPES, loss=programs.LOSS)
    if layout.node_name in run([_kind(), "get", "clusters"], meaning="nobody knows which clusters run").split():
        _kind_does(layout, "export", "kubeconfig")
        return
    print(f"Creating the kind cluster {layout.node_name}: a minute, and the node image the first time.", flush=True)
    print("Nobody has run this way in the project yet: please report how it went.", flush=True)
    _kind_does(layout, "create", "cluster", "--wait", PATIENCE)


def down(layout: Layout) -> None:
    """End what `up` made."""
    if binaries.find("kind") is not None:
        _kind_does(layout, "delete", "cluster")
    layout.kubeconfig.unlink(missing_ok=True)


def load(layout: Layout, archives: list[Path]) -> None:
    """Give the cluster's node more images."""
    for file in archives:
        command: list[str | Path] = [_kind(), "load", "image-archive", file, "--name", layout.node_name]
        run(command, meaning=f"pods cannot use what is in {file}")


def _kind_does(layout: Layout, *arguments: str) -> None:
    options = ("--name", layout.node_name, "--kubeconfig", layout.kubeconfig)
    run([_kind(), *arguments, *options], meaning="there is no cluster")


def _kind() -> Path:
    return binaries.required("kind")
