"""What kubeconform holds manifests against: Kubernetes' own OpenAPI files and our CRDs, as strict JSON Schemas.

Kubernetes' files come with its Go module, so nothing is downloaded but what Go downloads anyway.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tools.stack import binaries
from tools.stack.errors import StackError

TEMPLATE: Final = "{{ .Group }}/{{ .ResourceAPIVersion }}/{{ .ResourceKind }}.json"
"""Where kubeconform finds a kind's schema below a folder; it writes all in small letters."""

Schema = dict[str, Any]
_REFERENCE: Final = "#/components/schemas/"
_KIND: Final = "x-kubernetes-group-version-kind"


def of_kubernetes() -> Path:
    """Give the folder of Kubernetes' schemas, made at the first call."""
    folder = binaries.cache_folder(os.environ).parent / "schemas" / binaries.KUBERNETES
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.unfinished")
        for file in sorted((_kubernetes_source() / "api" / "openapi-spec" / "v3").glob("api*_openapi.json")):
            _write(unfinished, _kinds(json.loads(file.read_text(encoding="utf-8"))["components"]["schemas"]))
        unfinished.rename(folder)
    return folder


def of_ours(definitions: Path, folder: Path) -> Path:
    """Write the schemas of the CRDs in a folder, and give the folder they are in."""
    for file in sorted(definitions.glob("*.yaml")):
        _write(folder, _served(yaml.safe_load(file.read_text(encoding="utf-8"))["spec"]))
    return folder


def strict(schema: Any) -> Any:
    """Close every object whose fields are known: a misspelt field is a mistake, not an extension."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(one) for key, one in schema.items()}
    if isinstance(closed.get("properties"), dict) and not _is_open(closed):
        closed["additionalProperties"] = False
    return closed


def _is_open(schema: Schema) -> bool:
    return "additionalProperties" in schema or bool(schema.get("x-kubernetes-preserve-unknown-fields"))


def _kinds(schemas: Mapping[str, Schema]) -> Iterator[tuple[str, Schema]]:
    """Every kind with all that it refers to, in one schema."""
    closed = {name: strict(schema) for name, schema in schemas.items()}
    for name, schema in schemas.items():
        for kind in schema.get(_KIND, ()):
            if len(schema[_KIND]) == 1:
                yield _path(kind), {"$ref": _REFERENCE + name, "components": {"schemas": closed}}


def _served(spec: Schema) -> Iterator[tuple[str, Schema]]:
    """kubeconform reads schemas as draft 4, whose bounds are written as in a CRD."""
    for version in spec["versions"]:
        kind = {"group": spec["group"], "version": version["name"], "kind": spec["names"]["kind"]}
        schema = version["schema"]["openAPIV3Schema"]
        schema["properties"]["metadata"]["x-kubernetes-preserve-unknown-fields"] = True
        yield _path(kind), strict(schema)


def _path(kind: Mapping[str, str]) -> str:
    # The core group has no name; kubeconform then takes the version for it.
    return f"{kind['group'] or kind['version']}/{kind['version']}/{kind['kind']}.json".lower()


def _write(folder: Path, schemas: Iterator[tuple[str, Schema]]) -> None:
    for path, schema in schemas:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(schema), encoding="utf-8")


def _kubernetes_source() -> Path:
    command = ["go", "mod", "download", "-json", f"k8s.io/kubernetes@{binaries.KUBERNETES}"]
    done = subprocess.run(
        command, cwd=binaries.SOURCES / "kube", capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        raise StackError(
            f"Kubernetes' schemas cannot be had, so manifests go unchecked; Go said:\n{done.stderr[-1000:]}"
        )
    return Path(json.loads(done.stdout)["Dir"])
