"""Inside the node: starts its programs one after the other, starts anew what dies, and gives volumes to claims.

Run by `inside.py`. What it prints is the progress that `make cluster` shows.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path

from tools.cluster import components, credentials, loading, manifests, settings
from tools.cluster.addresses import Addresses
from tools.cluster.credentials import Credentials
from tools.cluster.errors import ClusterError
from tools.cluster.layout import Layout, layout
from tools.cluster.programs import cni_folder
from tools.cluster.settings import Settings
from tools.cluster.volumes import ApiObjects, Provisioner
from tools.stack import KubeAccess, StackError
from tools.stack.binaries import required
from tools.stack.process import Launch, Process

PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 1.0


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    keeper = Keeper(layout(options.name, os.environ), Addresses(options.block))
    try:
        keeper.start(options.archives)
    except StackError as error:
        print(f"error: {error}", flush=True)
        return 1
    keeper.keep()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("block", type=IPv4Network)
    parser.add_argument("archives", type=Path, nargs="*")
    return parser


class Keeper:
    """One node, from its first file to its last process."""

    def __init__(self, files: Layout, addresses: Addresses) -> None:
        self._layout = files
        self._addresses = addresses
        self._processes: list[Process] = []
        self._began = time.monotonic()
        self._access = KubeAccess(
            kubeconfig=files.kubeconfig, kubectl_binary=required("kubectl"), cache=files.kubectl_cache
        )

    def start(self, archives: Sequence[Path]) -> None:
        """Return when a pod can run."""
        who = credentials.write(self._layout, self._addresses)
        how = settings.write(self._layout, self._addresses, who, _plugins())
        self._prepare_images(how, archives)
        self._start_all(components.control_plane(self._layout, self._addresses, who))
        self._access.kubectl("apply", "--server-side", "-f", "-", stdin=manifests.text())
        self._start_all(components.node(self._layout, self._addresses, who, how))
        self._provisioner(who).start()
        self._wait_until_ready()
        self._layout.ready.touch()

    def keep(self) -> None:
        """Start anew what died, for ever: the node ends when its first process is killed."""
        while True:
            time.sleep(LOOK_SECONDS)
            for process in self._processes:
                if not process.is_running:
                    self._start_again(process)

    def _prepare_images(self, how: Settings, archives: Sequence[Path]) -> None:
        """Without the pods' part of containerd, which would remember the pods of an earlier node."""
        shutil.rmtree(self._layout.images / "io.containerd.grpc.v1.cri", ignore_errors=True)
        process = Process(components.containerd(self._layout, how.containerd_without_pods))
        process.start()
        try:
            loading.remove_containers(self._layout)
            pause = loading.pause_archive(self._layout.node / "pause")
            loading.load(self._layout, [pause])
            for file in loading.load_new(self._layout, archives):
                self._say(f"image {file.name} loaded")
        finally:
            process.stop()

    def _start_all(self, launches: Sequence[Launch]) -> None:
        for launch in launches:
            process = Process(launch)
            process.start()
            self._processes.append(process)
            self._say(f"{launch.name} serves")

    def _start_again(self, process: Process) -> None:
        self._say(f"{process.launch.name} ended by itself; it is started again, its log is {process.launch.log}")
        try:
            process.start()
        except StackError as error:
            self._say(str(error))

    def _provisioner(self, who: Credentials) -> Provisioner:
        admin = who.administrator
        url = credentials.api_url(self._addresses)
        objects = ApiObjects(url, authority=who.authority, certificate=admin.certificate, key=admin.key)
        return Provisioner(objects, self._layout.volumes, self._say)

    def _wait_until_ready(self) -> None:
        node = f"node/{self._layout.node_name}"
        self._wait_for(node, "--for=condition=Ready")
        self._wait_for("serviceaccount/default", "--for=create")  # pods are refused before
        self._say("the node is ready")

    def _wait_for(self, what: str, condition: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self._access.kubectl("wait", what, condition, "--timeout=30s")
            except StackError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOOK_SECONDS / 4)
            else:
                return

    def _say(self, what: str) -> None:
        print(f"  {time.monotonic() - self._began:5.1f} s  {what}", flush=True)


def _plugins() -> Path:
    found = cni_folder()
    if found is None:
        raise ClusterError("The network plugins were there a moment ago and are gone: run `make cluster` again.")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
