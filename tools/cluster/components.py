"""The commands of a node's programs, in the order in which they start."""

from pathlib import Path

from tools.cluster.addresses import Addresses
from tools.cluster.credentials import API_PORT, Credentials, api_url
from tools.cluster.layout import Layout
from tools.cluster.settings import Settings
from tools.stack import audit, probes
from tools.stack.binaries import required
from tools.stack.kube import etcd
from tools.stack.process import Launch

ETCD_PORT, ETCD_PEER_PORT = 2379, 2380
CONTROLLER_MANAGER_PORT, SCHEDULER_PORT, KUBELET_PORT, PROXY_PORT = 10257, 10259, 10248, 10256
"""All on the loopback address of the node, which is not this machine's."""
PATIENCE_SECONDS = 180.0


def containerd(layout: Layout, settings: Path) -> Launch:
    return Launch(
        name="containerd",
        command=("containerd", "--config", str(settings)),
        is_ready=lambda: _serves(layout),
        log=layout.logs / "containerd.log",
    )


def control_plane(layout: Layout, addresses: Addresses, credentials: Credentials) -> list[Launch]:
    """What decides."""
    return [
        etcd(required("etcd"), layout.node, ETCD_PORT, ETCD_PEER_PORT),
        _api_server(layout, addresses, credentials),
        _controller_manager(layout, credentials),
        _scheduler(layout, credentials),
    ]


def node(layout: Layout, addresses: Addresses, credentials: Credentials, settings: Settings) -> list[Launch]:
    """What runs pods, and lets them find each other."""
    return [
        containerd(layout, settings.containerd),
        _kubelet(layout, addresses, credentials, settings),
        _proxy(layout, addresses, credentials),
        _dns(layout, addresses, settings),
    ]


def _serves(layout: Layout) -> bool:
    return probes.accepts_unix(layout.containerd_socket)


def _launch(layout: Layout, name: str, *arguments: str, port: int) -> Launch:
    return Launch(
        name=name,
        command=(str(required(name)), *arguments),
        is_ready=lambda: probes.accepts(port),
        log=layout.logs / f"{name}.log",
        patience_seconds=PATIENCE_SECONDS,
    )


def _api_server(layout: Layout, addresses: Addresses, credentials: Credentials) -> Launch:
    command = (
        str(required("kube-apiserver")),
        f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
        f"--advertise-address={addresses.node}",
        f"--secure-port={API_PORT}",
        f"--service-cluster-ip-range={addresses.services}",
        f"--client-ca-file={credentials.authority}",
        f"--tls-cert-file={credentials.api_server.certificate}",
        f"--tls-private-key-file={credentials.api_server.key}",
        f"--cert-dir={layout.node}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={credentials.accounts_key}",
        f"--service-account-signing-key-file={credentials.accounts_key}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={credentials.authority}",
        f"--kubelet-client-certificate={credentials.kubelet_client.certificate}",
        f"--kubelet-client-key={credentials.kubelet_client.key}",
        *_aggregation(credentials),
        *audit.flags(layout.node),
        "--profiling=false",
    )
    return Launch(
        name="kube-apiserver",
        command=command,
        is_ready=lambda: probes.https_is_ok(f"{api_url(addresses)}/readyz", credentials.authority),
        log=layout.logs / "kube-apiserver.log",
        patience_seconds=PATIENCE_SECONDS,
    )


def _aggregation(credentials: Credentials) -> tuple[str, ...]:
    """Let other API servers (metrics) be reached through this one."""
    return (
        "--enable-aggregator-routing",
        f"--requestheader-client-ca-file={credentials.front_authority}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={credentials.front_proxy.certificate}",
        f"--proxy-client-key-file={credentials.front_proxy.key}",
    )


def _controller_manager(layout: Layout, credentials: Credentials) -> Launch:
    return _launch(
        layout,
        "kube-controller-manager",
        *_as(credentials, "kube-controller-manager"),
        f"--root-ca-file={credentials.authority}",
        f"--service-account-private-key-file={credentials.accounts_key}",
        "--use-service-account-credentials",
        f"--cert-dir={layout.node}",
        "--profiling=false",
        port=CONTROLLER_MANAGER_PORT,
    )


def _scheduler(layout: Layout, credentials: Credentials) -> Launch:
    arguments = (*_as(credentials, "kube-scheduler"), f"--cert-dir={layout.node}", "--profiling=false")
    return _launch(layout, "kube-scheduler", *arguments, port=SCHEDULER_PORT)


def _as(credentials: Credentials, program: str) -> tuple[str, ...]:
    """Leading, speaking and being asked, as the only one of its kind."""
    kubeconfig = credentials.kubeconfigs[program]
    return (
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    )


def _kubelet(layout: Layout, addresses: Addresses, credentials: Credentials, settings: Settings) -> Launch:
    return _launch(
        layout,
        "kubelet",
        f"--config={settings.kubelet}",
        f"--kubeconfig={credentials.kubeconfigs['kubelet']}",
        f"--root-dir={layout.node / 'kubelet'}",
        f"--cert-dir={layout.node / 'kubelet'}",
        f"--node-ip={addresses.node}",
        f"--hostname-override={layout.node_name}",
        f"--containerd={layout.containerd_socket}",  # its statistics look elsewhere by default
        port=KUBELET_PORT,
    )


def _proxy(layout: Layout, addresses: Addresses, credentials: Credentials) -> Launch:
    return _launch(
        layout,
        "kube-proxy",
        f"--kubeconfig={credentials.kubeconfigs['kube-proxy']}",
        "--proxy-mode=iptables",
        f"--cluster-cidr={addresses.pods}",
        f"--hostname-override={layout.node_name}",
        # What these would set is often not ours to set.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
        f"--healthz-bind-address=127.0.0.1:{PROXY_PORT}",
        port=PROXY_PORT,
    )


def _dns(layout: Layout, addresses: Addresses, settings: Settings) -> Launch:
    return Launch(
        name="coredns",
        command=(str(required("coredns")), "-conf", str(settings.corefile)),
        is_ready=lambda: probes.accepts(53, str(addresses.node)),
        log=layout.logs / "coredns.log",
    )
