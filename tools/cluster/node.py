"""A real single-node cluster on a Linux machine without Docker."""

import fcntl
import os
import shutil
import sys
import time
from pathlib import Path

from tools.cluster import bootstrap, loading, programs, sandbox
from tools.cluster.addresses import choose, routed
from tools.cluster.base_images import BASE_IMAGES, RECIPE_LABEL
from tools.cluster.errors import ClusterError
from tools.cluster.inside import COVERED
from tools.cluster.layout import Layout, image_archives
from tools.cluster.sandbox import ROOT, Running
from tools.stack.commands import run

PATIENCE_SECONDS = 300.0


def up(layout: Layout) -> None:
    """Return when pods can run; a node that runs is left as it is."""
    if sandbox.running(layout) and layout.ready.exists():
        return
    _refuse_covered(layout)
    programs.ensure()
    archives = bootstrap.archives(image_archives(os.environ))
    _tell_buildah(archives)
    down(layout)
    try:
        _start(layout, archives)
    except BaseException:
        sandbox.end(layout)
        raise


def down(layout: Layout) -> None:
    """End what `up` started, and remove what it wrote, but for containerd's images."""
    sandbox.end(layout)
    for folder in (layout.node, layout.kubectl_cache):
        shutil.rmtree(folder, ignore_errors=True)
    for file in (layout.kubeconfig, layout.containerd_socket, Path(f"{layout.containerd_socket}.ttrpc")):
        file.unlink(missing_ok=True)


def load(layout: Layout, archives: list[Path]) -> None:
    """Give the running node's containerd more images."""
    if not sandbox.running(layout):
        raise ClusterError(
            f"No cluster called {layout.name} runs, so there is nothing to load into: run `make cluster`."
        )
    loading.load(layout, archives)


def _start(layout: Layout, archives: list[Path]) -> None:
    layout.node.mkdir(mode=0o755, parents=True)
    sandbox.make_cgroups(layout)
    with (layout.folder.parent / "addresses.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the route is there, another start would choose the same block
        started = _plugged_in(layout, archives)
    _follow(layout, started)


def _plugged_in(layout: Layout, archives: list[Path]) -> Running:
    addresses = choose(routed())
    keeper = (sys.executable, "-m", "tools.cluster.keeper", layout.name, str(addresses.block), *map(str, archives))
    print(f"Starting the node {layout.node_name} at {addresses.node}; its logs are in {layout.logs}.", flush=True)
    return sandbox.start(layout, addresses, keeper)


def _follow(layout: Layout, started: Running) -> None:
    """Show what the keeper says until the node is ready."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with layout.progress.open() as progress:
        while not layout.ready.exists():
            is_running = sandbox.running(layout) == started
            print(progress.read(), end="", flush=True)
            if not is_running:
                raise ClusterError(
                    f"The node ended while it was starting; what it said is above and in {layout.progress}."
                )
            if time.monotonic() > deadline:
                raise ClusterError(f"The node was not ready within {PATIENCE_SECONDS:.0f} s, so it was ended again.")
            time.sleep(sandbox.POLL_SECONDS)
        print(progress.read(), end="", flush=True)


def _tell_buildah(archives: list[Path]) -> None:
    """A Dockerfile's `FROM python:3.13-slim` then finds the base image here."""
    for image, file in zip(BASE_IMAGES, archives, strict=True):
        meaning = f"Dockerfiles cannot begin with {image.name}"
        filters = [f"--filter=reference={image.name}", f"--filter=label={RECIPE_LABEL}={image.recipe}"]
        if not run(["buildah", "images", "--quiet", *filters], meaning=meaning).strip():
            run(["buildah", "pull", "--quiet", f"docker-archive:{file}"], meaning=meaning)


def _refuse_covered(layout: Layout) -> None:
    for needed in (ROOT, layout.folder, Path(sys.executable)):
        if any(needed.is_relative_to(place) for place in COVERED):
            raise ClusterError(
                f"{needed} is inside one of {', '.join(COVERED)}, which a node covers with folders of its own, so it "
                "would not find it: move it (or set XDG_CACHE_HOME) elsewhere."
            )
