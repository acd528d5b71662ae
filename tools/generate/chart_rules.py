"""What the chart's values may be where neither their default nor a service's setting says it."""

from collections.abc import Mapping
from typing import Any, Final

from mission_contracts.names import DNS_LABEL_PATTERN
from mission_contracts.resources.pool import SoldierPoolSpec
from tools.generate.structural import Schema, structural

QUANTITY: Final = r"^[0-9]+(\.[0-9]+)?(m|[kMGTPE]i?)?$"
BYTES: Final = r"^[0-9]+([kKMGT]i?B)?$"
OBJECT_PATTERN: Final = r"^([a-z0-9][a-z0-9.-]*\*?|\*)$"
REDIS_BYTES: Final = r"^[0-9]+([kmg]b?)?$"


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def _matching(pattern: str) -> Schema:
    return {"type": "string", "pattern": pattern}


_STRING: Final[Schema] = {"type": "string"}
_STRINGS: Final[Schema] = {"type": "object", "additionalProperties": _STRING}
_INTEGER: Final[Schema] = {"type": "integer"}
_QUANTITIES: Final[Schema] = {
    "type": "object",
    "additionalProperties": {"anyOf": [_matching(QUANTITY), {"type": "number", "minimum": 0}]},
}
_COUNT_OR_SHARE: Final[Schema] = {
    "anyOf": [{"type": "integer", "minimum": 0}, _matching("^[0-9]{1,3}%$"), {"type": "null"}]
}
_SELECTOR: Final[Schema] = _object(
    matchLabels=_STRINGS,
    matchExpressions=_list(_object(key=_STRING, operator=_STRING, values=_list(_STRING))),
)
_LEFT_TO_KUBERNETES: Final[Schema] = {"type": "object"}

_SPREADING: Final[Schema] = _object(
    maxSkew={"type": "integer", "minimum": 1},
    minDomains={"type": "integer", "minimum": 1},
    topologyKey=_STRING,
    whenUnsatisfiable=_one_of("DoNotSchedule", "ScheduleAnyway"),
    labelSelector=_SELECTOR,
    matchLabelKeys=_list(_STRING),
    nodeAffinityPolicy=_one_of("Honor", "Ignore"),
    nodeTaintsPolicy=_one_of("Honor", "Ignore"),
)
_TOLERATION: Final[Schema] = _object(
    key=_STRING,
    operator=_one_of("Exists", "Equal"),
    value=_STRING,
    effect=_one_of("NoSchedule", "PreferNoSchedule", "NoExecute"),
    tolerationSeconds=_INTEGER,
)


def _pool_spec() -> Schema:
    """The SoldierPool's own schema, so that a bad default pool is refused at installation and not by the operator."""
    closed: Schema = _closed(structural(SoldierPoolSpec))
    return closed


def _closed(schema: Any) -> Any:
    """From what a CRD takes to plain JSON Schema, with every object closed whose fields are known."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _closed(one) for key, one in schema.items() if key != "default" and not key.startswith("x-")}
    for bound in ("minimum", "maximum"):
        if plain.pop(f"exclusive{bound.capitalize()}", False):
            plain[f"exclusive{bound.capitalize()}"] = plain.pop(bound)
    if isinstance(plain.get("properties"), dict) and plain.get("type") == "object":
        plain["additionalProperties"] = False
    return plain


RULES: Final[Mapping[str, Schema]] = {
    "fullnameOverride": _matching(rf"{DNS_LABEL_PATTERN}|^$") | {"maxLength": 40},
    "namespaces": _list(_matching(DNS_LABEL_PATTERN) | {"maxLength": 63}) | {"uniqueItems": True},
    "image.pullPolicy": _one_of("Always", "IfNotPresent", "Never"),
    "image.pullSecrets": _list(_object(name=_STRING) | {"required": ["name"]}),
    "image.repository": {"type": "string", "minLength": 1},
    "image.digest": _matching("^(sha256:[0-9a-f]{64})?$"),
    "replicas": {"type": "integer", "minimum": 1, "maximum": 100},
    "operator.logLevel": _one_of("DEBUG", "INFO", "WARNING", "ERROR"),
    "resources": _object(requests=_QUANTITIES, limits=_QUANTITIES),
    "minAvailable": _COUNT_OR_SHARE,
    "maxUnavailable": _COUNT_OR_SHARE,
    "podAnnotations": _STRINGS,
    "podLabels": _STRINGS,
    "nodeSelector": _STRINGS,
    "tolerations": _list(_TOLERATION),
    "affinity": _object(
        nodeAffinity=_LEFT_TO_KUBERNETES, podAffinity=_LEFT_TO_KUBERNETES, podAntiAffinity=_LEFT_TO_KUBERNETES
    ),
    "topologySpreadConstraints": _list(_SPREADING),
    "service.type": _one_of("ClusterIP", "NodePort", "LoadBalancer"),
    "service.port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "service.annotations": _STRINGS,
    "leavingSeconds": {"type": "integer", "minimum": 0, "maximum": 86400},
    "tls.certificates": _one_of("Generated", "CertManager", "Secret"),
    "tls.days": {"type": "integer", "minimum": 1, "maximum": 36500},
    "tls.issuer.kind": _one_of("Issuer", "ClusterIssuer"),
    "tls.authority": _matching(r"^(\s*-----BEGIN CERTIFICATE-----[\s\S]+-----END CERTIFICATE-----\s*)?$"),
    "pools.secrets": _list(_matching(OBJECT_PATTERN)),
    "pools.configMaps": _list(_matching(OBJECT_PATTERN)),
    "pools.persistentVolumeClaims": _list(_matching(OBJECT_PATTERN)),
    "pools.serviceAccounts": _list(_matching(OBJECT_PATTERN)),
    "defaultPool.name": _matching(DNS_LABEL_PATTERN),
    "defaultPool.spec": _pool_spec(),
    "plugins": _list(_matching("^[a-z][a-z0-9_]*$")),
    "memoryHighWatermark": _matching(BYTES),
    "diskFreeLimit": _matching(BYTES),
    "maxMemory": _matching(REDIS_BYTES),
    "persistence.size": _matching(QUANTITY),
    "rabbitmq.external.urls": _list(_matching("^amqps?://[^,]+$")),
    "rabbitmq.external.managementUrl": _matching("^(https?://[^,]+)?$"),
    "networkPolicy.apiFrom": _list(_LEFT_TO_KUBERNETES),
    "networkPolicy.soldiersTo": _list(_LEFT_TO_KUBERNETES),
    "networkPolicy.apiServerPorts": _list({"type": "integer", "minimum": 1, "maximum": 65535}),
    "redis.external.url": _matching("^(rediss?://.+)?$"),
}
