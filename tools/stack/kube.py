"""A real Kubernetes API server with etcd, and nothing else of a cluster.

No controller manager and no kubelet run here: Deployments make no pods, owned objects are not collected, and a
deleted namespace stays in Terminating (so tests use a new name each time).
"""

import contextlib
import json
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.stack import binaries, certificates, probes
from tools.stack.binaries import Binaries
from tools.stack.certificates import Certificates
from tools.stack.errors import StackError
from tools.stack.folder import own_folder
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


class ApiServer(Server):
    """A running API server; its kubeconfig names an administrator."""

    def __init__(self, processes: list[Process], cluster: Cluster, kubectl: Path) -> None:
        super().__init__(processes)
        self.cluster = cluster
        self.kubectl_binary = kubectl

    @property
    def url(self) -> str:
        return self.cluster.url

    @property
    def token(self) -> str:
        """The administrator's bearer token."""
        return self.cluster.token

    @property
    def kubeconfig(self) -> Path:
        """A file of ours; the user's own is never read nor written."""
        return self.cluster.kubeconfig

    @property
    def certificate(self) -> Path:
        """The authority that clients trust."""
        return self.cluster.folder / "serving.crt"

    def environment(self) -> dict[str, str]:
        """Return the variables that point kubectl and client libraries here, caches included."""
        return {"KUBECONFIG": str(self.kubeconfig), "KUBECACHEDIR": str(self.cluster.folder / "cache")}

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as the administrator, and return what it prints."""
        return kubectl(self.kubectl_binary, self.kubeconfig, *arguments, stdin=stdin)


def kubectl(binary: Path, kubeconfig: Path, *arguments: str, stdin: str = "") -> str:
    """Run kubectl against this kubeconfig, and return what it prints."""
    cache = kubeconfig.parent / "cache"
    options = ("--kubeconfig", str(kubeconfig), "--cache-dir", str(cache))
    done = subprocess.run(
        [str(binary), *options, *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode:
        raise StackError(f"`kubectl {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout


@contextlib.contextmanager
def api_server(state: Path) -> Iterator[ApiServer]:
    """Run etcd and kube-apiserver of our own in `<state>/kube`, on free ports, until the block ends."""
    found = binaries.found()
    with own_folder(state, "kube") as folder:
        cluster = _new_cluster(folder)
        launches = _launches(found, cluster, certificates.write(folder))
        server = ApiServer([Process(launch) for launch in launches], cluster, found.kubectl)
        with server.running():
            yield server


def _new_cluster(folder: Path) -> Cluster:
    cluster = Cluster(
        folder=folder,
        port=free_port(),
        etcd_port=free_port(),
        etcd_peer_port=free_port(),
        token=secrets.token_hex(16),
    )
    _write_private(folder / "tokens.csv", f"{cluster.token},admin,admin,system:masters\n")
    _write_private(cluster.kubeconfig, json.dumps(_kubeconfig(cluster), indent=2))
    return cluster


def _write_private(path: Path, content: str) -> None:
    path.touch(mode=0o600)
    path.write_text(content)


def _kubeconfig(cluster: Cluster) -> dict[str, object]:
    """JSON is YAML; the certificate stays in its file beside this one."""
    name = "mission-control-stack"
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": cluster.url,
                    "certificate-authority": str(cluster.folder / "serving.crt"),
                },
            }
        ],
        "users": [{"name": name, "user": {"token": cluster.token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        "current-context": name,
    }


def _launches(found: Binaries, cluster: Cluster, files: Certificates) -> list[Launch]:
    return [_etcd(found.etcd, cluster), _api(found.kube_apiserver, cluster, files)]


def _etcd(binary: Path, cluster: Cluster) -> Launch:
    peers = f"http://{LOOPBACK}:{cluster.etcd_peer_port}"
    command = (
        str(binary),
        f"--data-dir={cluster.folder / 'etcd'}",
        f"--listen-client-urls={cluster.etcd_url}",
        f"--advertise-client-urls={cluster.etcd_url}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",  # a state folder that lives for minutes needs no durable disk
        "--log-level=warn",
    )
    return Launch(
        name="etcd",
        command=command,
        is_ready=lambda: probes.accepts(cluster.etcd_port),
        log=cluster.folder / "etcd.log",
    )


def _api(binary: Path, cluster: Cluster, files: Certificates) -> Launch:
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
    )
    return Launch(
        name="kube-apiserver",
        command=command,
        is_ready=lambda: probes.https_is_ok(f"{cluster.url}/readyz", files.serving),
        log=cluster.folder / "kube-apiserver.log",
        patience_seconds=120,
    )
