"""The node's first process: sets up its mounts and its network, then looks after the keeper and buries orphans.

Run as a script in mount, network and process namespaces of its own. When it ends, the kernel ends every process of the
node and takes back its mounts, links, addresses and firewall rules: whatever happens, nothing of that is left over.
Stdlib only, nothing from the repository.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

LINK = "node0"
LINK_PATIENCE_SECONDS = 30.0
COVERED = ("/run", "/var/lib", "/var/log")
"""Fixed folders of containerd, the network plugins and the kubelet; the machine's own stay as they are."""
KERNEL_SETTINGS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What the kubelet insists on. It reads them from files of ours, so the machine's own settings stay as they are."""


def main(arguments: list[str]) -> int:
    folder, host, node, *keeper = arguments
    _cover(Path(folder))
    _pretend(Path(folder) / "kernel")
    _plug_in(host, node)
    return _look_after(keeper)


def _cover(folder: Path) -> None:
    """What is mounted from here on stays here; pods may share mounts among themselves."""
    _run("mount", "--make-rprivate", "/")
    _run("mount", "--make-rshared", "/")
    for place in COVERED:
        own = folder / "covers" / place.strip("/").replace("/", "-")
        own.mkdir(parents=True)
        _run("mount", "--bind", str(own), place)
    _run("mount", "-t", "tmpfs", "tmpfs", "/run")


def _pretend(folder: Path) -> None:
    folder.mkdir()
    for name, value in KERNEL_SETTINGS.items():
        real = Path("/proc/sys", name)
        if real.exists():
            ours = folder / name.replace("/", "-")
            ours.write_text(f"{value}\n")
            _run("mount", "--bind", str(ours), str(real))


def _plug_in(host: str, node: str) -> None:
    """The cable's other end is plugged in from outside, where our process can be named."""
    _wait_for_link()
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "address", "add", f"{node}/30", "dev", LINK)
    _run("ip", "link", "set", LINK, "up")
    _run("ip", "route", "add", "default", "via", host)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")


def _wait_for_link() -> None:
    deadline = time.monotonic() + LINK_PATIENCE_SECONDS
    while f"{LINK}:" not in Path("/proc/net/dev").read_text():
        if time.monotonic() > deadline:
            raise SystemExit("Nobody plugged in the node's link, so it has no network: look at what `up` said.")
        time.sleep(0.05)


def _look_after(command: list[str]) -> int:
    keeper = os.posix_spawn(command[0], command, os.environ)
    while True:
        pid, status = os.wait()
        if pid == keeper:
            return os.waitstatus_to_exitcode(status)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=60)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
