"""A whole Kubernetes of the tests' own, beside the developer's: made with `make cluster` under a name of its own."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools import cluster as clusters
from tools.stack import KubeAccess, binaries
from tools.stack.commands import finish

OWN_CLUSTER: Final = "TEST_CLUSTER"
"""Names a cluster to run the tests on, which is then kept: for whoever runs one test again and again."""
NAME: Final = os.environ.get(OWN_CLUSTER, "smoke")
ROOT: Final = Path(__file__).parents[2]
FIRST_START_SECONDS: Final = 1500
"""Builds and base images included."""
COMMAND_TIMEOUT_SECONDS: Final = 400.0
"""Of one command of kubectl or helm: more than helm's own `--wait` (300 s)."""


@dataclass(frozen=True)
class Node:
    """A cluster that runs, and what `make cluster` said."""

    access: KubeAccess
    printed: str

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return self.access.kubectl(*arguments, stdin=stdin)


def start(layout: clusters.Layout) -> Node:
    """Make the cluster, or find it running."""
    printed = make("cluster")
    access = KubeAccess(
        kubeconfig=Path(printed.splitlines()[-1].removeprefix("export KUBECONFIG=")),
        kubectl_binary=binaries.required("kubectl"),
        cache=layout.kubectl_cache,
    )
    return Node(access, printed)


def make(target: str) -> str:
    """Run a target of the Makefile on the tests' cluster; return what it prints."""
    return run("make", "--silent", target, f"CLUSTER={NAME}", timeout_seconds=FIRST_START_SECONDS)


def run(
    *command: str,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
    timeout_seconds: float = COMMAND_TIMEOUT_SECONDS,
) -> str:
    """Run a command of the README from the repository's root; return what it prints, fail with what it says."""
    done = finish(command, cwd=ROOT, environment=environment, stdin=stdin, timeout_seconds=timeout_seconds)
    assert done.returncode == 0, f"`{' '.join(command)}` failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout
