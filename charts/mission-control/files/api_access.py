"""JSON over HTTP, to the Kubernetes API as the pod's own account or to anybody else; for programs that hooks run.

Nothing but Python is needed, so they run in any of our images.
"""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

Json = dict[str, Any]
Send = Callable[..., Json]


def http(base: str = "", token: Callable[[], str] | None = None, trust: ssl.SSLContext | None = None) -> Send:
    """Give a function that sends JSON and reads JSON."""

    def send(method: str, where: str, body: Json | None = None, headers: Mapping[str, str] | None = None) -> Json:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(base + where, data=data, method=method)
        for name, value in ({"Content-Type": "application/json"} | dict(headers or {})).items():
            request.add_header(name, value)
        if token is not None:
            request.add_header("Authorization", f"Bearer {token()}")
        with urllib.request.urlopen(request, timeout=30, context=trust) as answer:
            read: Json = json.load(answer)
        return read

    return send


def kubernetes(environment: Mapping[str, str], account: Path = ACCOUNT) -> Send:
    """Speak to the cluster as this pod's own account."""
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
    return http(
        f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        token=lambda: (account / "token").read_text().strip(),
        trust=ssl.create_default_context(cafile=str(account / "ca.crt")),
    )


def trusting(environment: Mapping[str, str]) -> ssl.SSLContext | None:
    """Believe the installation's own authority, where it has one."""
    file = environment.get("AUTHORITY_FILE")
    return ssl.create_default_context(cafile=file) if file else None


def readable(error: Exception) -> str:
    """Say what a server said, or why there was none."""
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code}: {error.read(500).decode(errors='replace')}"
    return str(error)
