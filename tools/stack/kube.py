"""A real Kubernetes API server with etcd, and nothing else of a cluster.

No controller manager and no kubelet run here: Deployments make no pods, owned objects are not collected, and a
deleted namespace stays in Terminating (so tests use a new name each time).
"""

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.stack import audit, binaries, certificates, probes
from tools.stack.binaries import Binaries
from tools.stack.certificates import Certificates
from tools.stack.errors import StackError
from tools.stack.folder import own_folder
from tools.stack.kubeconfig import kubeconfig
from tools.stack.ports import LOOPBACK, free_port
from tools.stack.process import Launch, Process
from tools.stack.server import Server


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Everything that sets one API server apart from any other on this machine."""

    folder: Path
    port: int
    etcd_port: int
    etcd_peer_port: int
    token: str

    @property
    def url(self) -> str:
        return f"https://{LOOPBACK}:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig.json"

    @property
    def etcd_url(self) -> str:
        return f"http://{LOOPBACK}:{self.etcd_port}"


@dataclass(frozen=True, kw_only=True)
class KubeAccess:
    """How to speak to some API server, ours or one that the user named."""

    kubeconfig: Path
    kubectl_binary: Path
    cache: Path
    """Where kubectl may remember what it discovered; never in the user's home."""

    def environment(self) -> dict[str, str]:
        """Return the variables that point kubectl and client libraries there."""
        return {"KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": str(self.cache)}

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl, and return what it prints."""
        done = subprocess.run(
            [str(self.kubectl_binary), *arguments],
            input=stdin,
            env={**os.environ, **self.environment()},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            raise StackError(f"`kubectl {' '.join(arguments)}` failed: {done.stderr.strip()}")
        return done.stdout


class ApiServer(Server):
    """A running API server; its kubeconfig names an administrator."""

    def __init__(self, processes: list[Process], cluster: Cluster, kubectl: Path) -> None:
        super().__init__(processes)
        self.cluster = cluster
        self.access = KubeAccess(kubeconfig=cluster.kubeconfig, kubectl_binary=kubectl, cache=cluster.folder / "cache")

    @property
    def url(self) -> str:
        return self.cluster.url

    @property
    def token(self) -> str:
        """The administrator's bearer token."""
        return self.cluster.token

    @property
    def certificate(self) -> Path:
        """The authority that clients trust."""
        return self.cluster.folder / "serving.crt"

    @property
    def audit_log(self) -> Path:
        """What service accounts asked for; only an audited server writes it."""
        return audit.log_in(self.cluster.folder)

    @property
    def kubeconfig(self) -> Path:
        """A file of ours; the user's own is never read nor written."""
        return self.access.kubeconfig

    def environment(self) -> dict[str, str]:
        """Return the variables that point kubectl and client libraries here."""
        return self.access.environment()

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as the administrator, and return what it prints."""
        return self.access.kubectl(*arguments, stdin=stdin)


@contextlib.contextmanager
def api_server(state: Path, *, audited: bool = False) -> Iterator[ApiServer]:
    """Run etcd and kube-apiserver of our own in `<state>/kube`, on free ports, until the block ends.

    An audited one notes what service accounts ask for (`tools.stack.audit`).
    """
    found = binaries.found()
    with own_folder(state, "kube") as folder:
        files = certificates.write(folder)
        cluster = _new_cluster(folder, files)
        processes = [Process(launch) for launch in _launches(found, cluster, files, audited=audited)]
        with ApiServer(processes, cluster, found.kubectl).running() as server:
            yield server


def _new_cluster(folder: Path, files: Certificates) -> Cluster:
    cluster = Cluster(
        folder=folder,
        port=free_port(),
        etcd_port=free_port(),
        etcd_peer_port=free_port(),
        token=secrets.token_hex(16),
    )
    _write_private(folder / "tokens.csv", f"{cluster.token},admin,admin,system:masters\n")
    user = {"token": cluster.token}
    text = kubeconfig(name="mission-control-stack", url=cluster.url, authority=files.serving, user=user)
    _write_private(cluster.kubeconfig, text)
    return cluster


def _write_private(path: Path, content: str) -> None:
    path.touch(mode=0o600)
    path.write_text(content)


def _launches(found: Binaries, cluster: Cluster, files: Certificates, *, audited: bool) -> list[Launch]:
    return [
        etcd(found.etcd, cluster.folder, cluster.etcd_port, cluster.etcd_peer_port),
        _api(found.kube_apiserver, cluster, files, audit.flags(cluster.folder) if audited else ()),
    ]


def etcd(binary: Path, folder: Path, port: int, peer_port: int) -> Launch:
    """Its data live for minutes and need no durable disk."""
    clients, peers = f"http://{LOOPBACK}:{port}", f"http://{LOOPBACK}:{peer_port}"
    command = (
        str(binary),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    )
    return Launch(name="etcd", command=command, is_ready=lambda: probes.accepts(port), log=folder / "etcd.log")


def _api(binary: Path, cluster: Cluster, files: Certificates, more: tuple[str, ...]) -> Launch:
    command = (
        str(binary),
        f"--etcd-servers={cluster.etcd_url}",
        *("--bind-address", LOOPBACK, "--advertise-address", LOOPBACK, "--secure-port", str(cluster.port)),
        "--endpoint-reconciler-type=none",  # it refuses to publish a loopback address
        "--service-cluster-ip-range=10.0.0.0/24",
        f"--cert-dir={cluster.folder}",
        f"--tls-cert-file={files.serving}",
        f"--tls-private-key-file={files.serving_key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={files.accounts_key}",
        f"--service-account-signing-key-file={files.accounts_key}",
        f"--token-auth-file={cluster.folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",  # nobody here makes the accounts it asks for
        "--profiling=false",
        *more,
    )
    return Launch(
        name="kube-apiserver",
        command=command,
        is_ready=lambda: probes.https_is_ok(f"{cluster.url}/readyz", files.serving),
        log=cluster.folder / "kube-apiserver.log",
        patience_seconds=120,
    )
