"""The SoldierPool object: which soldiers there are, how many, and how they are doing."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from mission_contracts.names import DNS_LABEL_PATTERN, MODULE_PATTERN
from mission_contracts.resources.conditions import MAX_CONDITIONS, Condition
from mission_contracts.resources.definition import Column, Resource, Rule, Scale
from mission_contracts.resources.pod import OWN_PREFIX, PodTemplate, Resources
from mission_contracts.spec import DAY_SECONDS, Model

MAX_REPLICAS: Final = 1000


class Autoscaler(StrEnum):
    """Who chooses how many soldiers there are while spec.replicas is unset."""

    BUILT_IN = "BuiltIn"
    KEDA = "KEDA"
    NONE = "None"


class SoldierPoolSpec(Model):
    """Which soldiers there shall be. The operator keeps one Deployment like it."""

    replicas: Annotated[
        int | None,
        Field(
            ge=0,
            le=MAX_REPLICAS,
            description="How many soldiers, exactly: set, it overrides the autoscaler. This is what `kubectl scale` "
            "writes. From 0 to 1000. Default: unset, the autoscaler chooses between minReplicas and maxReplicas. "
            "While it is unset the scale subresource cannot be read; a HorizontalPodAutoscaler needs it set once.",
        ),
    ] = None
    image: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=512,
            description="The container image with your handlers. Default: the installation's own soldier image, "
            "whose handlers are noop and simulate.",
        ),
    ] = None
    handlers: Annotated[
        str | None,
        Field(
            pattern=MODULE_PATTERN,
            max_length=253,
            description="The Python module that defines your handlers, such as shop.missions or "
            "shop.missions:soldier. Default: none, only the built-in handlers.",
        ),
    ] = None
    concurrency: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="How many missions one soldier runs at once. Default 16, from 1 to 1000. Raise it for "
            "handlers that mostly wait, lower it for those that compute.",
        ),
    ] = 16
    min_replicas: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_REPLICAS,
            description="The autoscaler keeps at least this many soldiers. Default 1, from 0 to 1000. With 0 the first "
            "mission after a pause waits for a pod to start.",
        ),
    ] = 1
    max_replicas: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_REPLICAS,
            description="The autoscaler keeps at most this many soldiers. Default 10, from 1 to 1000. Missions that "
            "would need more wait with reason PoolAtMax.",
        ),
    ] = 10
    missions_per_soldier: Annotated[
        int | None,
        Field(
            ge=1,
            le=100_000,
            description="The autoscaler's target: waiting and running missions per soldier. From 1 to 100000. "
            "Default: the value of concurrency. Lower starts soldiers sooner.",
        ),
    ] = None
    idle_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=DAY_SECONDS,
            description="How long fewer soldiers must have been enough before some leave, in seconds. Default 60, "
            "from 0 to 86400; at least 5 count. Only idle soldiers leave.",
        ),
    ] = 60
    autoscaler: Annotated[
        Autoscaler,
        Field(
            description="Who chooses the number of soldiers while replicas is unset. BuiltIn: the operator, from the "
            "missions that wait and run. None: nobody; a new pool has minReplicas, and the number of its Deployment is "
            "then left as it is. KEDA: a KEDA ScaledObject of yours; not served yet, it is as None. Default: BuiltIn."
        ),
    ] = Autoscaler.BUILT_IN
    paused: Annotated[
        bool,
        Field(
            description="true hands out none of this pool's missions: those that run go on, the others wait. "
            "Default: false."
        ),
    ] = False
    drain_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=DAY_SECONDS,
            description="How long a soldier that is told to leave may finish what it runs, in seconds. Default 30, "
            "from 0 to 86400. What it cannot finish it gives back: another soldier runs it from the start, uncharged.",
        ),
    ] = 30
    resources: Annotated[
        Resources | None, Field(description="What each soldier's container asks for and may use. Default: unset.")
    ] = None
    template: Annotated[
        PodTemplate | None,
        Field(
            description="What soldiers' pods have beyond what the operator gives them. Whoever may write a "
            "SoldierPool may run any image of their choice in its namespace. Default: nothing."
        ),
    ] = None


class SoldierPoolStatus(Model):
    """How the pool is doing. Only the operator writes it."""

    replicas: Annotated[int | None, Field(ge=0, description="How many soldiers' pods exist.")] = None
    ready: Annotated[int | None, Field(ge=0, description="How many soldiers take missions.")] = None
    busy: Annotated[int | None, Field(ge=0, description="How many soldiers run at least one mission.")] = None
    queued: Annotated[
        int | None, Field(ge=0, description="How many missions could run now and wait for a soldier.")
    ] = None
    in_flight: Annotated[int | None, Field(ge=0, description="How many missions run.")] = None
    desired: Annotated[int | None, Field(ge=0, description="How many soldiers are wanted now.")] = None
    selector: Annotated[
        str | None,
        Field(max_length=1024, description="The label selector of the soldiers' pods, for the scale subresource."),
    ] = None
    observed_generation: Annotated[
        int | None, Field(ge=0, description="The metadata.generation of the spec that this status answers to.")
    ] = None
    conditions: Annotated[
        tuple[Condition, ...],
        Field(
            max_length=MAX_CONDITIONS,
            description="Declared: the Commander knows the pool. Deployed: its Deployment is as the spec asks. "
            "Ready: as many soldiers take missions as are wanted. Active: there are missions to run. ScalingLimited: "
            "there would be more soldiers if the spec allowed it. MetricsStale: the numbers are missing or old, and "
            "nothing scales in.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()


_RULES: Final = (
    Rule(
        holds=f"self.metadata.name.matches(r'{DNS_LABEL_PATTERN}')",
        message="a SoldierPool's name must be a DNS label: lower-case letters, digits and -, at most 63 characters, "
        "a letter or digit at both ends; missions name it in spec.pool",
    ),
    Rule(
        at=("spec",),
        field="minReplicas",
        holds="self.minReplicas <= self.maxReplicas",
        message="exceeds maxReplicas (which is 10 unless set): lower the one or raise the other",
    ),
    *(
        Rule(
            at=("spec", "template", field),
            holds=f"self.all(key, !key.startsWith('{OWN_PREFIX}'))",
            message=f"those under {OWN_PREFIX} are the operator's: use a prefix of your own",
        )
        for field in ("labels", "annotations")
    ),
    Rule(
        at=("spec", "template", "env", "*"),
        holds="!(has(self.value) && has(self.valueFrom))",
        message="a variable has either value or valueFrom, not both",
    ),
    Rule(
        at=("spec", "template", "env", "*", "valueFrom"),
        holds="[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef)].exists_one(given, given)",
        message="valueFrom names exactly one of secretKeyRef, configMapKeyRef and fieldRef",
    ),
    Rule(
        at=("spec", "template", "envFrom", "*"),
        holds="has(self.secretRef) != has(self.configMapRef)",
        message="an entry of envFrom names exactly one of secretRef and configMapRef",
    ),
    Rule(
        at=("spec", "template", "volumes", "*"),
        holds="[has(self.secret), has(self.configMap), has(self.emptyDir), has(self.persistentVolumeClaim)]"
        ".exists_one(given, given)",
        message="a volume is exactly one of secret, configMap, emptyDir and persistentVolumeClaim",
    ),
)

SOLDIER_POOL: Final = Resource(
    kind="SoldierPool",
    singular="soldierpool",
    plural="soldierpools",
    short_name="pool",
    description="A SoldierPool is a set of warm soldiers with the same handlers, and the queue they take missions "
    "from. Missions name it in spec.pool; the operator keeps a Deployment for it.",
    spec=SoldierPoolSpec,
    status=SoldierPoolStatus,
    rules=_RULES,
    scale=Scale(wanted=".spec.replicas", current=".status.replicas", selector=".status.selector"),
    columns=(
        Column(name="Ready", path=".status.ready", kind="integer", description="Soldiers that take missions."),
        Column(name="Desired", path=".status.desired", kind="integer", description="Soldiers that are wanted now."),
        Column(name="Busy", path=".status.busy", kind="integer", description="Soldiers that run something."),
        Column(name="Queued", path=".status.queued", kind="integer", description="Missions that wait for a soldier."),
        Column(name="In-Flight", path=".status.inFlight", kind="integer", description="Missions that run."),
        Column(name="Paused", path=".spec.paused", kind="boolean", description="Whether it hands out nothing."),
        Column(name="Age", path=".metadata.creationTimestamp", kind="date", description="Since it was created."),
        Column(name="Min", path=".spec.minReplicas", kind="integer", description="Fewest soldiers.", wide=True),
        Column(name="Max", path=".spec.maxReplicas", kind="integer", description="Most soldiers.", wide=True),
        Column(name="Autoscaler", path=".spec.autoscaler", description="Who chooses their number.", wide=True),
        Column(name="Image", path=".spec.image", description="The image with the handlers.", wide=True),
        Column(
            name="Message",
            path='.status.conditions[?(@.type=="Ready")].message',
            description="What keeps it from being ready.",
            wide=True,
        ),
    ),
)
