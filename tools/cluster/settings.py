"""The configuration files of a node's programs."""

import json
from dataclasses import dataclass
from pathlib import Path

from tools.cluster.addresses import Addresses
from tools.cluster.credentials import Credentials
from tools.cluster.layout import Layout

PAUSE_IMAGE = "missioncontrol.dev/pause:1"
DNS_DOMAIN = "cluster.local"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the files are."""

    containerd: Path
    containerd_without_pods: Path
    """For the minute in which images are loaded and an earlier node's containers are removed."""
    kubelet: Path
    corefile: Path


def write(layout: Layout, addresses: Addresses, credentials: Credentials, plugins: Path) -> Settings:
    """Write all of them into the node's folder."""
    folder = layout.node / "settings"
    networks = folder / "networks"
    networks.mkdir(parents=True)
    _write(networks / "10-pods.conflist", json.dumps(_network(layout, addresses), indent=2))
    kubelet = json.dumps(_kubelet(layout, addresses, credentials), indent=2)
    return Settings(
        containerd=_write(folder / "containerd.toml", _containerd(layout, plugins, networks)),
        containerd_without_pods=_write(folder / "containerd-without-pods.toml", _containerd_without_pods(layout)),
        kubelet=_write(folder / "kubelet.json", kubelet),
        corefile=_write(folder / "Corefile", _corefile(addresses, credentials)),
    )


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _network(layout: Layout, addresses: Addresses) -> dict[str, object]:
    """Pods are at the end of a cable each, and the node routes between them.

    A bridge would carry a Service's answer past the address translation on machines whose bridges do not call iptables.
    """
    ranges = [[{"subnet": str(addresses.pods)}]]
    routes = [{"dst": "0.0.0.0/0"}]
    ipam = {"type": "host-local", "dataDir": str(layout.node / "addresses"), "ranges": ranges, "routes": routes}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": False, "ipam": ipam}]}


def _containerd_without_pods(layout: Layout) -> str:
    return f"""version = 2
root = "{layout.images}"
state = "/run/containerd-node"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{layout.containerd_socket}"
"""


def _containerd(layout: Layout, plugins: Path, networks: Path) -> str:
    """`restrict_oom_score_adj`: without CAP_SYS_RESOURCE, which containers often lack, no pod could start otherwise."""
    everything = _containerd_without_pods(layout).replace('"io.containerd.grpc.v1.cri"', "")
    return f"""{everything}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
"""


def _kubelet(layout: Layout, addresses: Addresses, credentials: Credentials) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(addresses.node),
        "tlsCertFile": str(credentials.kubelet_server.certificate),
        "tlsPrivateKeyFile": str(credentials.kubelet_server.key),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": str(credentials.authority)},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
        "clusterDomain": DNS_DOMAIN,
        "clusterDNS": [str(addresses.node)],
        "resolvConf": "",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{layout.cgroup}",
        "enforceNodeAllocatable": [],
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "maxPods": 250,
        # A developer's nearly full disk is no reason to evict, and images without a registry must not be collected.
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
    }


def _corefile(addresses: Addresses, credentials: Credentials) -> str:
    """Names outside the cluster do not exist: the node has no way out."""
    return f""".:53 {{
    bind {addresses.node}
    errors
    cache 5
    loadbalance
    kubernetes {DNS_DOMAIN} in-addr.arpa {{
        kubeconfig {credentials.kubeconfigs["coredns"]}
        pods insecure
        ttl 5
    }}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
