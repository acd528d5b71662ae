"""What one installation is made of: a namespace with our kinds and rights, and processes that are told where all is."""

import json
import secrets
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mission_contracts.resources import API_VERSION, MISSION, SOLDIER_POOL
from tools.stack import KubeAccess
from tools.stack.ports import LOOPBACK, free_port
from tools.stack.process import Launch

ROOT: Final = Path(__file__).parents[1]
MANIFESTS: Final = ROOT / "manifests"
SCRIPTS: Final = Path(sys.executable).parent
OPERATOR_RIGHTS: Final = MANIFESTS / "base" / "operator" / "rbac.yaml"
ROLES: Final = ("operator", "soldier", "user", "admin")
ANSWER_SECONDS: Final = 2.0

# The namespace


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A namespace that serves our kinds, with its administrator's access and the operator's own."""

    kube: KubeAccess
    namespace: str
    operator_kubeconfig: Path

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return self.kube.kubectl("--namespace", self.namespace, *arguments, stdin=stdin)


def a_cluster(kube: KubeAccess, folder: Path) -> Cluster:
    """Make a namespace and all that an installation applies: kinds, admission policy, the operator's rights."""
    namespace = f"world-{secrets.token_hex(4)}"
    kube.kubectl("create", "namespace", namespace)
    kube.kubectl("apply", "-f", str(MANIFESTS / "crds"), "-f", str(MANIFESTS / "base" / "admission-policy.yaml"))
    for resource in (MISSION, SOLDIER_POOL):
        kube.kubectl("wait", "--for=condition=Established", f"crd/{resource.full_name}", "--timeout=30s")
    kubeconfig = grant(kube, namespace, [OPERATOR_RIGHTS], folder)
    return Cluster(kube=kube, namespace=namespace, operator_kubeconfig=kubeconfig)


def grant(kube: KubeAccess, namespace: str, manifests: Sequence[Path], folder: Path) -> Path:
    """Give the operator its own rights in a namespace; returns a kubeconfig that holds these and no others."""
    for manifest in manifests:
        kube.kubectl("--namespace", namespace, "apply", "-f", str(manifest))
    token = kube.kubectl("--namespace", namespace, "create", "token", "mission-operator").strip()
    config = json.loads(kube.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    config["users"][0]["user"] = {"token": token}
    path = folder / "operator-kubeconfig.json"
    path.write_text(json.dumps(config))
    return path


def redirected(kubeconfig: Path, port: int, path: Path) -> Path:
    """Write a kubeconfig that says the same and reaches its server through this port of the loopback address."""
    config = json.loads(kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://{LOOPBACK}:{port}"
    path.write_text(json.dumps(config))
    return path


# The processes


@dataclass(frozen=True, kw_only=True)
class Installation:
    """What all processes of one installation agree on."""

    namespace: str
    state: Path
    """Where each leaves its log."""
    install_key: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    client_secrets: Mapping[str, str] = field(
        default_factory=lambda: {role: secrets.token_hex(32) for role in ROLES}, repr=False
    )
    """Of each client, which is named after its role."""
    prefix: str = field(default_factory=lambda: f"world-{secrets.token_hex(4)}:")
    """What each of its keys in Redis starts with."""

    def commander(
        self, name: str, *, port: int, rabbitmq_url: str, redis_url: str, settings: Mapping[str, str] | None = None
    ) -> Launch:
        """Tell a Commander; settings by their environment variables' names without the prefix."""
        clients = {role: {"secret": secret, "role": role} for role, secret in self.client_secrets.items()}
        known = {
            "install_key": self.install_key,
            "clients": json.dumps(clients),
            "rights": json.dumps({"everything": {"high_priority": True}}),
            "default_rights": "everything",
            "namespace": self.namespace,
            "listen_port": str(port),
            "rabbitmq_urls": rabbitmq_url,
            "redis_url": redis_url,
            "redis_prefix": self.prefix,
            **(settings or {}),
        }
        command = (str(SCRIPTS / "mission-commander"),)
        return self._launch(name, command, f"http://{LOOPBACK}:{port}/readyz", _variables("COMMANDER", known))

    def soldier(
        self,
        name: str,
        *,
        commander_url: str,
        rabbitmq_url: str,
        settings: Mapping[str, str],
        environment: Mapping[str, str],
        probe: str = "readyz",
    ) -> Launch:
        """Tell a soldier; `environment` is for its handlers, `probe` what says that it has started."""
        port = free_port()
        known = {
            "commander_url": commander_url,
            "client_secret": self.client_secrets["soldier"],
            "rabbitmq_urls": rabbitmq_url,
            "namespace": self.namespace,
            "probe_port": str(port),
            **settings,
        }
        told = {**_variables("SOLDIER", known), **environment}
        return self._launch(name, (str(SCRIPTS / "mission-soldier"),), f"http://{LOOPBACK}:{port}/{probe}", told)

    def operator(
        self,
        name: str,
        *,
        kubeconfig: Path,
        commander_url: str,
        default_pool: Mapping[str, object],
        settings: Mapping[str, str] | None = None,
    ) -> Launch:
        """Tell an operator; `default_pool` is the spec of the pool that a chart would bring."""
        port = free_port()
        known = {
            "commander_url": commander_url,
            "client_secret": self.client_secrets["operator"],
            "namespace": self.namespace,
            "default_pool_file": str(self._pool_file(default_pool)),
            "probe_host": LOOPBACK,
            "probe_port": str(port),
            **(settings or {}),
        }
        told = {**_variables("OPERATOR", known), "KUBECONFIG": str(kubeconfig)}
        command = (sys.executable, "-m", "mission_operator")
        return self._launch(name, command, f"http://{LOOPBACK}:{port}/readyz", told)

    def _pool_file(self, spec: Mapping[str, object]) -> Path:
        pool = {"apiVersion": API_VERSION, "kind": SOLDIER_POOL.kind, "metadata": {"name": "default"}, "spec": spec}
        path = self.state / "default-pool.json"
        path.write_text(json.dumps(pool))
        return path

    def _launch(self, name: str, command: tuple[str, ...], probe: str, environment: Mapping[str, str]) -> Launch:
        return Launch(
            name=name,
            command=command,
            is_ready=lambda: answers(probe),
            log=self.state / f"{name}.log",
            environment=environment,
        )


def answers(url: str) -> bool:
    """GET says 200; a proxy that the user set up is not asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=ANSWER_SECONDS):
            return True
    except OSError:
        return False


def _variables(prefix: str, settings: Mapping[str, str]) -> dict[str, str]:
    return {f"{prefix}_{name.upper()}": value for name, value in settings.items()}
