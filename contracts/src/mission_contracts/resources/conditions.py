"""Conditions: the part of a status that tools wait for, and every type and reason they can have."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mission_contracts.spec import Model

MAX_CONDITIONS = 8


class ConditionStatus(StrEnum):
    """Kubernetes' own three answers."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class MissionCondition(StrEnum):
    """What `kubectl wait --for=condition=…` can wait for on a Mission."""

    ACCEPTED = "Accepted"  # True: it will reach exactly one final state. False: it was refused, the message says why
    FINISHED = "Finished"  # True: the state is final, whichever it is
    SUCCEEDED = "Succeeded"  # True: Completed. False: Failed or Cancelled


class PoolCondition(StrEnum):
    """What `kubectl wait --for=condition=…` can wait for on a SoldierPool."""

    DECLARED = "Declared"  # True: the Commander knows the pool and its queues exist
    DEPLOYED = "Deployed"  # True: the Deployment is as the spec asks. False: the message says who refused it
    READY = "Ready"  # True: at least as many soldiers take missions as are wanted
    ACTIVE = "Active"  # True: missions wait, run or are due soon. The message says how many soldiers that is worth
    SCALING_LIMITED = "ScalingLimited"  # True: there would be more soldiers if the spec allowed it
    METRICS_STALE = "MetricsStale"  # True: the numbers are missing or old, and nothing scales in


class PoolReason(StrEnum):
    """Why a pool's condition is what it is."""

    DECLARED = "Declared"
    COMMANDER_UNREACHABLE = "CommanderUnreachable"
    REFUSED = "Refused"  # the Commander or the API server said no; the message repeats what it said
    DEPLOYED = "Deployed"
    NOT_OWNED = "NotOwned"  # a Deployment of that name exists and belongs to somebody else
    REFERENCE_REFUSED = "ReferenceRefused"  # the template names an object that pools of this installation may not use
    SOLDIERS_READY = "SoldiersReady"
    SOLDIERS_STARTING = "SoldiersStarting"
    SCALED_TO_ZERO = "ScaledToZero"
    PAUSED = "Paused"
    # Ready=False: what the cluster says of the pods.
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    CONTAINER_REFUSED = "ContainerRefused"
    SOLDIERS_CRASHING = "SoldiersCrashing"
    UNSCHEDULABLE = "Unschedulable"
    PODS_REFUSED = "PodsRefused"  # a quota or a policy lets no pod be made
    REPLACING = "Replacing"  # the Deployment of an earlier pool of this name is being removed
    # Active, ScalingLimited and MetricsStale.
    MISSIONS_TO_RUN = "MissionsToRun"
    NOTHING_TO_DO = "NothingToDo"
    WITHIN_BOUNDS = "WithinBounds"
    AT_MAXIMUM = "AtMaximum"
    PINNED = "Pinned"  # spec.replicas is less than the missions are worth
    NOT_AUTOMATIC = "NotAutomatic"  # autoscaler None or KEDA: the number of the Deployment is left as it is
    NUMBERS_FRESH = "NumbersFresh"
    NUMBERS_OLD = "NumbersOld"
    LEDGER_AWAY = "LedgerAway"
    BROKER_AWAY = "BrokerAway"


class Condition(Model):
    """One aspect of the object's state, in the form that Kubernetes tools know."""

    type: Annotated[str, Field(max_length=64, description="Which aspect it speaks of.")]
    status: Annotated[ConditionStatus, Field(description="Whether it holds: True, False or Unknown.")]
    reason: Annotated[
        str, Field(max_length=128, description="One word for programs that says why. It is never empty.", min_length=1)
    ]
    message: Annotated[
        str, Field(max_length=32768, description="One sentence for people, at most 32768 characters.")
    ] = ""
    last_transition_time: Annotated[
        datetime, Field(description="When status last changed; a new reason or message does not move it.")
    ]
    observed_generation: Annotated[
        int | None,
        Field(ge=0, description="The metadata.generation that this condition was computed from."),
    ] = None
