"""Who is who in a new cluster: certificates, keys and kubeconfigs of the administrator and of each component."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.cluster.addresses import Addresses
from tools.cluster.authority import Authority, Identity
from tools.cluster.layout import Layout
from tools.stack.certificates import key_pem, new_key, written
from tools.stack.kubeconfig import encoded, kubeconfig

API_PORT = 6443
MASTERS = "system:masters"
COMPONENTS: Mapping[str, str] = {
    "kube-controller-manager": "system:kube-controller-manager",
    "kube-scheduler": "system:kube-scheduler",
    "kube-proxy": "system:kube-proxy",
    "coredns": "system:coredns",
}
"""Programs and the users that RBAC knows them as."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """Files in the node's folder."""

    authority: Path
    api_server: Identity
    kubelet_server: Identity
    kubelet_client: Identity
    """With it the API server speaks to the kubelet."""
    front_authority: Path
    front_proxy: Identity
    accounts_key: Path
    kubeconfigs: Mapping[str, Path]
    administrator: Identity


def write(layout: Layout, addresses: Addresses) -> Credentials:
    """Make new ones; those of an earlier cluster are worth nothing here."""
    folder = layout.node / "credentials"
    folder.mkdir(mode=0o700)
    authority, front = Authority(folder, "mission-control"), Authority(folder, "mission-control-front-proxy")
    administrator = authority.client("mission-control-admin", groups=(MASTERS,))
    kubelet = authority.client(f"system:node:{layout.node_name}", groups=("system:nodes",))
    clients = {program: authority.client(user) for program, user in COMPONENTS.items()} | {"kubelet": kubelet}
    _write_kubeconfig(layout.kubeconfig, layout, addresses, authority, administrator)
    return Credentials(
        authority=authority.certificate,
        api_server=authority.server("kube-apiserver", _api_names(addresses)),
        kubelet_server=authority.server("kubelet", (layout.node_name, str(addresses.node))),
        kubelet_client=authority.client("kube-apiserver-kubelet-client", groups=(MASTERS,)),
        front_authority=front.certificate,
        front_proxy=front.client("front-proxy-client"),
        accounts_key=written(folder / "accounts.key", key_pem(new_key())),
        kubeconfigs={
            program: _write_kubeconfig(folder / f"{program}.kubeconfig", layout, addresses, authority, identity)
            for program, identity in clients.items()
        },
        administrator=administrator,
    )


def api_url(addresses: Addresses) -> str:
    return f"https://{addresses.node}:{API_PORT}"


def _api_names(addresses: Addresses) -> tuple[str, ...]:
    inside = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
    return ("localhost", "127.0.0.1", str(addresses.node), str(addresses.api_service), *inside)


def _write_kubeconfig(
    path: Path, layout: Layout, addresses: Addresses, authority: Authority, identity: Identity
) -> Path:
    user = {
        "client-certificate-data": encoded(identity.certificate),
        "client-key-data": encoded(identity.key),
    }
    text = kubeconfig(name=layout.node_name, url=api_url(addresses), authority=authority.certificate, user=user)
    return written(path, text.encode())
