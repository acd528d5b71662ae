"""The typed client of Mission Control: `MissionControl` with asyncio, `MissionControlSync` without; one surface."""

from mission_contracts.envelope import Door
from mission_contracts.mission import MissionId, MissionState, Priority, Reason
from mission_contracts.rest import (
    BatchItem,
    Health,
    MissionPage,
    MissionView,
    PoolDeclaration,
    PoolView,
    RejectedMessage,
    RejectedPage,
    SoldierView,
    Submission,
)
from mission_contracts.spec import Callback, RetryPolicy
from missionctl.client._asynchronous import MissionControl
from missionctl.client._blocking import MissionControlSync
from missionctl.client._operations import Event, Reset
from missionctl.client._readers import MissionChanged, result_of
from missionctl.client._requests import Filter
from missionctl.client._retries import Retries
from missionctl.client._tokens import ClientSecret, Credentials
from missionctl.client.errors import (
    ConflictError,
    InvalidError,
    MissionControlError,
    NotAllowedError,
    NotFinishedError,
    NotFoundError,
    NotJsonError,
    RefusedError,
    StrangeAnswerError,
    TooManyError,
    UnavailableError,
    UnreachableError,
    UnsendableError,
)

__all__ = [
    "BatchItem",
    "Callback",
    "ClientSecret",
    "ConflictError",
    "Credentials",
    "Door",
    "Event",
    "Filter",
    "Health",
    "InvalidError",
    "MissionChanged",
    "MissionControl",
    "MissionControlError",
    "MissionControlSync",
    "MissionId",
    "MissionPage",
    "MissionState",
    "MissionView",
    "NotAllowedError",
    "NotFinishedError",
    "NotFoundError",
    "NotJsonError",
    "PoolDeclaration",
    "PoolView",
    "Priority",
    "Reason",
    "RefusedError",
    "RejectedMessage",
    "RejectedPage",
    "Reset",
    "Retries",
    "RetryPolicy",
    "SoldierView",
    "StrangeAnswerError",
    "Submission",
    "TooManyError",
    "UnavailableError",
    "UnreachableError",
    "UnsendableError",
    "result_of",
]
