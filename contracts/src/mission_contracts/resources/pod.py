"""What a SoldierPool may say of its pods: an allow-list, so that a pool cannot undo how soldiers are secured.

Fields mean what they mean in a pod. Left out on purpose: host namespaces and paths, security contexts, commands,
further containers, and the grace period (drainSeconds rules it).
"""

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field, WithJsonSchema

from mission_contracts.names import DNS_LABEL_PATTERN, ENVIRONMENT_NAME_PATTERN, OBJECT_NAME_PATTERN
from mission_contracts.spec import Model

OWN_PREFIX: Final = "missioncontrol.dev/"
"""Labels and annotations under it are the operator's."""

_QUANTITY: Final = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(([KMGTPE]i?)|[numk]|([eE][-+]?[0-9]+))?$"

Quantity = Annotated[
    str | int,
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "maxLength": 64,
            "pattern": _QUANTITY,
        }
    ),
]
"""An amount as Kubernetes writes it: 500m, 2, 256Mi."""

_Text = Annotated[str, Field(max_length=253)]
_Value = Annotated[str, Field(max_length=4096)]
_Name = Annotated[str, Field(max_length=253, pattern=OBJECT_NAME_PATTERN)]
_Strings = dict[str, _Value]
_FreeForm = dict[str, Any]


class Resources(Model):
    """What one soldier's container asks for and may use."""

    requests: Annotated[
        dict[str, Quantity] | None,
        Field(max_length=16, description="Set aside for each soldier, such as cpu: 500m, memory: 256Mi."),
    ] = None
    limits: Annotated[
        dict[str, Quantity] | None,
        Field(
            max_length=16,
            description="The most that each soldier gets. A soldier over its memory limit is killed; its missions are "
            "handed out again.",
        ),
    ] = None


class KeyOf(Model):
    """One key of a Secret or ConfigMap of the same namespace."""

    name: Annotated[_Name, Field(description="The object's name, in the pool's namespace.")]
    key: Annotated[_Text, Field(description="The key in it.")]
    optional: Annotated[bool | None, Field(description="true: start without it when it is missing.")] = None


class WholeObject(Model):
    """A Secret or ConfigMap of the same namespace."""

    name: Annotated[_Name, Field(description="The object's name, in the pool's namespace.")]
    optional: Annotated[bool | None, Field(description="true: start without it when it is missing.")] = None


class FieldOf(Model):
    """A field of the pod."""

    field_path: Annotated[_Text, Field(description="Such as metadata.name or spec.nodeName.")]


class EnvironmentSource(Model):
    """Where a variable's value comes from. The kubelet reads it: the operator never sees a secret."""

    secret_key_ref: Annotated[KeyOf | None, Field(description="A key of a Secret.")] = None
    config_map_key_ref: Annotated[KeyOf | None, Field(description="A key of a ConfigMap.")] = None
    field_ref: Annotated[FieldOf | None, Field(description="A field of the pod.")] = None


class EnvironmentVariable(Model):
    """A variable that handlers see."""

    name: Annotated[
        str, Field(pattern=ENVIRONMENT_NAME_PATTERN, max_length=253, description="The variable's name, unique here.")
    ]
    value: Annotated[str | None, Field(max_length=32768, description="Its text. Either this or valueFrom.")] = None
    value_from: Annotated[EnvironmentSource | None, Field(description="Where its text comes from instead.")] = None


class EnvironmentObject(Model):
    """All keys of a Secret or ConfigMap as variables."""

    prefix: Annotated[str | None, Field(max_length=128, description="Put before each name. Default: nothing.")] = None
    secret_ref: Annotated[WholeObject | None, Field(description="A Secret.")] = None
    config_map_ref: Annotated[WholeObject | None, Field(description="A ConfigMap.")] = None


class TolerationOperator(StrEnum):
    """How a toleration compares."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """What a taint does to pods that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Model):
    """A taint of nodes that soldiers may run on all the same."""

    key: Annotated[_Text | None, Field(description="The taint's key. Default: every key, with Exists.")] = None
    operator: Annotated[TolerationOperator | None, Field(description="Exists, or Equal to value. Default: Equal.")] = (
        None
    )
    value: Annotated[_Text | None, Field(description="The taint's value.")] = None
    effect: Annotated[TaintEffect | None, Field(description="Which effect. Default: all.")] = None
    toleration_seconds: Annotated[
        int | None, Field(ge=0, description="How long a NoExecute taint is borne, in seconds. Default: for good.")
    ] = None


class PathOfKey(Model):
    """A key of a Secret or ConfigMap as a file."""

    key: Annotated[_Text, Field(description="The key.")]
    path: Annotated[str, Field(max_length=1024, description="The file's path in the volume.")]
    mode: Annotated[int | None, Field(ge=0, le=0o777, description="The file's mode. Default: the volume's.")] = None


_Items = Annotated[
    tuple[PathOfKey, ...] | None, Field(max_length=64, description="Which keys, as which files. Default: all.")
]
_Mode = Annotated[int | None, Field(ge=0, le=0o777, description="The files' mode. Default: 420, which is 0644.")]
_Optional = Annotated[bool | None, Field(description="true: start without it when it is missing.")]


class SecretVolume(Model):
    """A Secret of the same namespace as files."""

    secret_name: Annotated[_Name, Field(description="The Secret's name.")]
    items: _Items = None
    default_mode: _Mode = None
    optional: _Optional = None


class ConfigMapVolume(Model):
    """A ConfigMap of the same namespace as files."""

    name: Annotated[_Name, Field(description="The ConfigMap's name.")]
    items: _Items = None
    default_mode: _Mode = None
    optional: _Optional = None


class Medium(StrEnum):
    """Where an empty folder lives."""

    MEMORY = "Memory"


class EmptyFolder(Model):
    """An empty folder that lives as long as the pod."""

    medium: Annotated[Medium | None, Field(description="Memory keeps it in memory. Default: on disk.")] = None
    size_limit: Annotated[Quantity | None, Field(description="The most it may hold, such as 1Gi.")] = None


class ClaimVolume(Model):
    """A PersistentVolumeClaim of the same namespace; soldiers share it, so it must allow many readers or writers."""

    claim_name: Annotated[_Name, Field(description="The claim's name.")]
    read_only: Annotated[bool | None, Field(description="true: mounted for reading only. Default: false.")] = None


class Volume(Model):
    """A volume of each soldier's pod: exactly one of the four kinds."""

    name: Annotated[str, Field(max_length=63, pattern=DNS_LABEL_PATTERN, description="The volume's name, unique here.")]
    secret: Annotated[SecretVolume | None, Field(description="A Secret as files.")] = None
    config_map: Annotated[ConfigMapVolume | None, Field(description="A ConfigMap as files.")] = None
    empty_dir: Annotated[EmptyFolder | None, Field(description="An empty folder.")] = None
    persistent_volume_claim: Annotated[ClaimVolume | None, Field(description="A PersistentVolumeClaim.")] = None


class VolumeMount(Model):
    """Where a volume appears in the soldier's container."""

    name: Annotated[str, Field(max_length=63, description="The volume's name.")]
    mount_path: Annotated[str, Field(min_length=1, max_length=1024, description="The folder it appears at.")]
    sub_path: Annotated[str | None, Field(max_length=1024, description="A path in the volume. Default: its root.")] = (
        None
    )
    read_only: Annotated[bool | None, Field(description="true: for reading only. Default: false.")] = None


class PullSecret(Model):
    """A Secret with credentials of an image registry."""

    name: Annotated[_Name, Field(description="The Secret's name, in the pool's namespace.")]


class PullPolicy(StrEnum):
    """When a node fetches the image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class PodTemplate(Model):
    """What soldiers' pods have beyond what the operator gives them."""

    labels: Annotated[
        dict[str, Annotated[str, Field(max_length=63)]] | None,
        Field(max_length=32, description="Further labels. Those under missioncontrol.dev/ are the operator's."),
    ] = None
    annotations: Annotated[
        _Strings | None,
        Field(max_length=32, description="Further annotations. Those under missioncontrol.dev/ are the operator's."),
    ] = None
    node_selector: Annotated[
        _Strings | None, Field(max_length=32, description="Labels that a node must have. Default: any node.")
    ] = None
    tolerations: Annotated[
        tuple[Toleration, ...] | None, Field(max_length=32, description="Taints of nodes to run on all the same.")
    ] = None
    affinity: Annotated[
        _FreeForm | None,
        Field(
            description="Node and pod affinity, as in a pod. The API server checks it when the Deployment is written; "
            "what it refuses appears in condition Deployed."
        ),
    ] = None
    topology_spread_constraints: Annotated[
        tuple[_FreeForm, ...] | None,
        Field(max_length=16, description="How soldiers spread over zones and nodes, as in a pod. Checked as affinity."),
    ] = None
    service_account_name: Annotated[
        _Name | None,
        Field(
            description="The ServiceAccount of the pool's namespace that soldiers run as. Default: the installation's. "
            "One that was handed to pools: by default its name begins with pool-."
        ),
    ] = None
    env: Annotated[
        tuple[EnvironmentVariable, ...] | None,
        Field(
            max_length=256,
            description="Variables for your handlers. Those that the operator sets itself cannot be replaced.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = None
    env_from: Annotated[
        tuple[EnvironmentObject, ...] | None,
        Field(
            max_length=32,
            description="Secrets and ConfigMaps whose keys become variables. Here, in env and in volumes, pools may "
            "name those that were handed to them: by default those whose names begin with pool-.",
        ),
    ] = None
    volumes: Annotated[
        tuple[Volume, ...] | None,
        Field(
            max_length=32,
            description="Volumes for your handlers: empty folders, and Secrets, ConfigMaps and PersistentVolumeClaims "
            "that were handed to pools: by default those whose names begin with pool-.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = None
    volume_mounts: Annotated[
        tuple[VolumeMount, ...] | None, Field(max_length=32, description="Where the volumes appear.")
    ] = None
    image_pull_policy: Annotated[
        PullPolicy | None, Field(description="When a node fetches the image, as in a pod. Default: by the image's tag.")
    ] = None
    image_pull_secrets: Annotated[
        tuple[PullSecret, ...] | None,
        Field(
            max_length=16,
            description="Credentials for the image's registry: Secrets that were handed to pools, by default those "
            "whose names begin with pool-.",
        ),
    ] = None
    priority_class_name: Annotated[
        _Name | None, Field(description="The pods' PriorityClass. Default: the cluster's default.")
    ] = None
