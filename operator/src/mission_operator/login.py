"""One way into the Kubernetes API, for kopf's watches and for our own requests alike."""

import os

import kopf
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config


class NoClusterError(Exception):
    """There is no Kubernetes API to talk to."""


async def configuration() -> Configuration:
    """Find the cluster: KUBECONFIG if it is set, else the pod's own account, else the user's kubeconfig."""
    found = Configuration()
    try:
        if not os.environ.get("KUBECONFIG") and "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
        else:
            await load_kube_config(client_configuration=found, persist_config=False)  # type: ignore[no-untyped-call]
    except ConfigException as error:
        raise NoClusterError(
            f"no Kubernetes API can be found ({error}): set KUBECONFIG, or run inside a cluster"
        ) from error
    return found


async def connection(found: Configuration) -> kopf.ConnectionInfo:
    """Say the same to kopf. In a cluster the token is read anew from its file when it is older than a minute."""
    return kopf.ConnectionInfo(
        server=found.host,
        ca_path=found.ssl_ca_cert,
        insecure=not found.verify_ssl,
        certificate_path=found.cert_file,
        private_key_path=found.key_file,
        username=found.username or None,
        password=found.password or None,
        token=await token_of(found),
    )


async def token_of(found: Configuration) -> str | None:
    """Read the bearer token without its scheme; None where certificates or a password speak for us."""
    header: str | None = await found.get_api_key_with_prefix("BearerToken")
    return header.split(" ", 1)[-1] if header else None
