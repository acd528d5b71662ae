"""The Deployment of a pool: pure, from the pool's spec and a few settings of the installation.

The pool's template adds to what stands here and replaces none of it: soldiers run without root, without privileges
and without a token of the cluster, whatever a pool says.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from mission_contracts.resources import API_VERSION, SOLDIER_POOL, PodTemplate
from mission_contracts.soldiering import LEAVING_SECONDS
from mission_operator.pools.observing import Pool
from mission_operator.pools.pods import CONTAINER
from mission_operator.pools.references import Allowance

POOL_LABEL: Final = "missioncontrol.dev/pool"
DIGEST_ANNOTATION: Final = "missioncontrol.dev/digest"
_PROBE_PORT: Final = 8081
_EVICTABLE_VOLUMES: Final = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
"""Without it an idle soldier would keep its node for ever: it has a local folder."""

_AUDIENCE: Final = "mission-control"
_IDENTITY: Final = "identity"
_IDENTITY_FOLDER: Final = "/var/run/secrets/mission-control"
_IDENTITY_SECONDS: Final = 3600
_AUTHORITY: Final = "authority"
_AUTHORITY_FOLDER: Final = "/etc/mission-control/authority"
_AUTHORITY_KEY: Final = "ca.crt"

CLIENT_SECRET_KEY: Final = "client-secret"  # noqa: S105 - a key of a Secret, not its content
RABBITMQ_URLS_KEY: Final = "rabbitmq-urls"

Manifest = dict[str, Any]


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """What all soldiers of this installation share."""

    image: str
    commander_url: str
    client_id: str
    secret_name: str | None
    """None: soldiers log in with their pods' ServiceAccount token."""
    rabbitmq_secret_name: str | None
    """None: the Commander tells soldiers where RabbitMQ is."""
    service_account: str
    authority_config_map: str | None = None
    """None: soldiers believe what their image believes."""
    allowance: Allowance = Allowance()
    """What else pools' templates may name."""


def name_of(pool: str) -> str:
    return f"soldier-{pool}"


def labels_of(pool: str) -> dict[str, str]:
    """The labels that select a pool's pods."""
    return {"app.kubernetes.io/name": "soldier", POOL_LABEL: pool}


def selector_text(pool: str) -> str:
    return ",".join(f"{name}={value}" for name, value in labels_of(pool).items())


def deployment_of(pool: Pool, installation: Installation, replicas: int) -> Manifest:
    """Render the whole Deployment, with a digest of all but its size to tell whether a stored one is like it."""
    manifest: Manifest = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name_of(pool.name),
            "namespace": pool.namespace,
            "labels": labels_of(pool.name) | {"app.kubernetes.io/managed-by": "mission-operator"},
            "ownerReferences": [_owner(pool)],
        },
        "spec": {
            "selector": {"matchLabels": labels_of(pool.name)},
            # A new version takes missions before an old one is told to leave, and that one has its whole grace.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
            "revisionHistoryLimit": 2,
            "template": _pod(pool, installation),
        },
    }
    manifest["metadata"]["annotations"] = {DIGEST_ANNOTATION: _digest(manifest)}
    manifest["spec"]["replicas"] = replicas
    return manifest


def is_like(stored: Mapping[str, Any], wanted: Manifest) -> bool:
    """Tell whether a stored Deployment was last applied like this, and has the size it should have."""
    annotations = stored["metadata"].get("annotations") or {}
    is_same = annotations.get(DIGEST_ANNOTATION) == wanted["metadata"]["annotations"][DIGEST_ANNOTATION]
    return bool(is_same and stored["spec"].get("replicas") == wanted["spec"]["replicas"])


def size_of(stored: Mapping[str, Any]) -> int:
    """How many pods a stored Deployment asks for."""
    return int(stored["spec"].get("replicas", 1))


def is_of_earlier(stored: Mapping[str, Any], pool: Pool) -> bool:
    """Tell whether a stored Deployment belonged to a deleted pool of the same name: the cluster will remove it."""
    owners = stored["metadata"].get("ownerReferences") or ()
    return any(
        owner.get("kind") == SOLDIER_POOL.kind and owner.get("name") == pool.name and owner.get("uid") != pool.uid
        for owner in owners
    )


def belongs_to(stored: Mapping[str, Any], pool: Pool) -> bool:
    """Tell whether a stored Deployment is this pool's."""
    return any(owner.get("uid") == pool.uid for owner in stored["metadata"].get("ownerReferences") or ())


def _owner(pool: Pool) -> Manifest:
    return {
        "apiVersion": API_VERSION,
        "kind": SOLDIER_POOL.kind,
        "name": pool.name,
        "uid": pool.uid,
        "controller": True,
        "blockOwnerDeletion": False,  # it would need the right to set finalizers on pools
    }


def _digest(manifest: Manifest) -> str:
    return hashlib.blake2b(msgspec.json.encode(manifest, order="sorted"), digest_size=16).hexdigest()


def _pod(pool: Pool, installation: Installation) -> Manifest:
    template = pool.spec.template or PodTemplate()
    given = template.model_dump(mode="json", by_alias=True, exclude_none=True)
    metadata = {
        "labels": given.get("labels", {}) | labels_of(pool.name),
        "annotations": {_EVICTABLE_VOLUMES: "tmp"} | given.get("annotations", {}),
    }
    return {"metadata": metadata, "spec": _pod_spec(pool, installation, given)}


_OF_THE_POD: Final = (
    "nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "imagePullSecrets", "priorityClassName",
)  # fmt: skip


def _pod_spec(pool: Pool, installation: Installation, given: Manifest) -> Manifest:
    return {field: given[field] for field in _OF_THE_POD if field in given} | {
        "serviceAccountName": given.get("serviceAccountName", installation.service_account),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": pool.spec.drain_seconds + LEAVING_SECONDS,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": _volumes(installation, given),
        "containers": [_container(pool, installation, given)],
    }


def _container(pool: Pool, installation: Installation, given: Manifest) -> Manifest:
    own = _environment(pool, installation)
    container: Manifest = {
        "name": CONTAINER,
        "image": pool.spec.image or installation.image,
        "env": [*_others(given.get("env", ()), *(one["name"] for one in own)), *own],
        "ports": [{"name": "probes", "containerPort": _PROBE_PORT}],
        # Importing handlers may take minutes; the soldier answers once that is done.
        "startupProbe": _probe("/livez", period_seconds=1, failures=300, timeout_seconds=5),
        # No answer at all for a minute: a handler holds the interpreter's lock, and its claims are lost long since.
        "livenessProbe": _probe("/livez", period_seconds=10, failures=6, timeout_seconds=10),
        "readinessProbe": _probe("/readyz", period_seconds=2, failures=2, timeout_seconds=5),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # The last lines of one that failed are then in the pod's status, and from there in the pool's.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": _mounts(installation, given),
    }
    if pool.spec.resources:
        container["resources"] = pool.spec.resources.model_dump(mode="json", by_alias=True, exclude_none=True)
    return container | {field: given[field] for field in ("envFrom", "imagePullPolicy") if field in given}


def _volumes(installation: Installation, given: Manifest) -> list[Manifest]:
    return [
        *_others(given.get("volumes", ()), "tmp", _IDENTITY, _AUTHORITY),
        {"name": "tmp", "emptyDir": {}},
        *([_identity()] if installation.secret_name is None else []),
        *([_authority(installation.authority_config_map)] if installation.authority_config_map else []),
    ]


def _mounts(installation: Installation, given: Manifest) -> list[Manifest]:
    identity = {"name": _IDENTITY, "mountPath": _IDENTITY_FOLDER, "readOnly": True}
    authority = {"name": _AUTHORITY, "mountPath": _AUTHORITY_FOLDER, "readOnly": True}
    return [
        *_others(given.get("volumeMounts", ()), "tmp", _IDENTITY, _AUTHORITY),
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
        *([identity] if installation.secret_name is None else []),
        *([authority] if installation.authority_config_map else []),
    ]


def _identity() -> Manifest:
    """A token that opens the Commander and nothing else: the Kubernetes API refuses its audience."""
    token = {"audience": _AUDIENCE, "expirationSeconds": _IDENTITY_SECONDS, "path": "token"}
    return {"name": _IDENTITY, "projected": {"sources": [{"serviceAccountToken": token}]}}


def _authority(config_map: str) -> Manifest:
    items = [{"key": _AUTHORITY_KEY, "path": _AUTHORITY_KEY}]
    return {"name": _AUTHORITY, "configMap": {"name": config_map, "items": items}}


def _others(given: Any, *own: str) -> list[Manifest]:
    """Leave out what a template names like something of ours."""
    return [one for one in given if one["name"] not in own]


def _environment(pool: Pool, installation: Installation) -> list[Manifest]:
    values = {
        "SOLDIER_NAMESPACE": pool.namespace,
        "SOLDIER_POOL": pool.name,
        "SOLDIER_CONCURRENCY": str(pool.spec.concurrency),
        "SOLDIER_DRAIN_SECONDS": str(pool.spec.drain_seconds),
        "SOLDIER_COMMANDER_URL": installation.commander_url,
        "SOLDIER_CLIENT_ID": installation.client_id,
        "SOLDIER_PROBE_PORT": str(_PROBE_PORT),
    }
    if installation.authority_config_map:
        values["SOLDIER_AUTHORITY_FILE"] = f"{_AUTHORITY_FOLDER}/{_AUTHORITY_KEY}"
    if pool.spec.handlers:
        values["SOLDIER_HANDLERS"] = pool.spec.handlers
    broker = installation.rabbitmq_secret_name
    return [
        *({"name": name, "value": value} for name, value in values.items()),
        {"name": "SOLDIER_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        _credential(installation),
        *([_secret("SOLDIER_RABBITMQ_URLS", broker, RABBITMQ_URLS_KEY)] if broker is not None else []),
    ]


def _credential(installation: Installation) -> Manifest:
    if installation.secret_name is None:
        return {"name": "SOLDIER_TOKEN_FILE", "value": f"{_IDENTITY_FOLDER}/token"}
    return _secret("SOLDIER_CLIENT_SECRET", installation.secret_name, CLIENT_SECRET_KEY)


def _secret(variable: str, name: str, key: str) -> Manifest:
    return {"name": variable, "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}


def _probe(path: str, *, period_seconds: int, failures: int, timeout_seconds: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "probes"},
        "periodSeconds": period_seconds,
        "failureThreshold": failures,
        "timeoutSeconds": timeout_seconds,
    }
