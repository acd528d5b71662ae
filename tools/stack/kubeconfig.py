"""A kubeconfig with everything in it, so that it can be copied elsewhere. The user's own is never read nor written."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path


def kubeconfig(*, name: str, url: str, authority: Path, user: Mapping[str, str]) -> str:
    """Return the file's text (JSON is YAML)."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": url, "certificate-authority-data": encoded(authority)}}],
        "users": [{"name": name, "user": dict(user)}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        "current-context": name,
    }
    return json.dumps(content, indent=2)


def encoded(file: Path) -> str:
    """Return what a file holds as kubeconfigs carry certificates and keys."""
    return base64.b64encode(file.read_bytes()).decode()
