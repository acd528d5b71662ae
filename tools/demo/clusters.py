"""Where the demo's API server comes from: programs that are here, a kind cluster of its own, or a build with Go."""

import contextlib
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

from tools import stack
from tools.demo.errors import DemoError
from tools.stack import KubeAccess, binaries
from tools.stack.commands import finish

KIND_PATIENCE = "120s"
KIND_TIMEOUT_SECONDS = 600.0
"""Its first cluster pulls the node's image."""


class Source(StrEnum):
    """Ways to an API server, the quickest first."""

    FOUND = "found"
    KIND = "kind"
    BUILT = "built"
    NONE = "none"


def choose(*, is_found: bool, kind_works: bool, can_build: bool) -> Source:
    """Prefer what is there; a kind cluster takes a minute, a build several, once."""
    if is_found:
        return Source.FOUND
    if kind_works:
        return Source.KIND
    return Source.BUILT if can_build else Source.NONE


def source() -> Source:
    """Look around on this machine."""
    is_found = not binaries.missing()
    return choose(
        is_found=is_found,
        kind_works=not is_found and _kind_works(),
        can_build=binaries.why_not() is None,
    )


@contextlib.contextmanager
def cluster(chosen: Source, state: Path) -> Iterator[KubeAccess]:
    """Have an API server of our own while the block lasts; the user's kubeconfig is neither read nor written."""
    if chosen is Source.KIND:
        with _kind(state) as access:
            yield access
        return
    if chosen is Source.BUILT:
        binaries.ensure()
    with stack.api_server(state) as server:
        yield server.access


def _kind_works() -> bool:
    """Docker answers, and kind and kubectl are installed."""
    if not (shutil.which("docker") and shutil.which("kind") and binaries.find("kubectl")):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=30).returncode == 0


@contextlib.contextmanager
def _kind(state: Path) -> Iterator[KubeAccess]:
    kubectl = binaries.find("kubectl")
    if kubectl is None:
        raise DemoError("kubectl was there a moment ago and is gone: install it again")
    name = f"mission-control-demo-{secrets.token_hex(3)}"
    kubeconfig = state / "kubeconfig"
    try:
        _run_kind("create", "cluster", "--name", name, "--kubeconfig", str(kubeconfig), "--wait", KIND_PATIENCE)
        yield KubeAccess(kubeconfig=kubeconfig, kubectl_binary=kubectl, cache=state / "cache")
    finally:
        _run_kind("delete", "cluster", "--name", name, "--kubeconfig", str(kubeconfig))


def _run_kind(*arguments: str) -> None:
    done = finish(["kind", *arguments], timeout_seconds=KIND_TIMEOUT_SECONDS)
    if done.returncode:
        raise DemoError(f"`kind {' '.join(arguments[:2])}` failed, so there is no cluster; it said:\n{done.stderr}")
