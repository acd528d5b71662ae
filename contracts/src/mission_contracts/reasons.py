"""What each reason means, and what to do about it: one sentence, for the documentation and for every page."""

from collections.abc import Mapping
from typing import Final

from mission_contracts.mission import Reason

MEANINGS: Final[Mapping[Reason, str]] = {
    Reason.WAITING_FOR_SOLDIER: "Handed out a moment ago; a soldier is about to claim it.",
    Reason.NO_POOL: "There is no SoldierPool of this name: create it, or correct `spec.pool`.",
    Reason.NO_HANDLER: "No soldier of the pool handles this type; the message names the types that it handles.",
    Reason.POOL_SCALING_UP: "No soldier of the pool takes missions yet; the pool is starting some.",
    Reason.POOL_AT_MAX: "All slots of the pool are in use, and the pool is at `maxReplicas`.",
    Reason.RETRY_BACKOFF: "An attempt failed; the message says why, and when the next one starts.",
    Reason.SCHEDULED: "`startAfter` lies ahead.",
    Reason.LANE_BUSY: "An earlier mission of its [lane](../concepts/lanes.md) is not final yet.",
    Reason.LANE_GAP: "A number of its lane is missing; the message names it.",
    Reason.SUSPENDED: "`spec.suspend` is true, or the pool is paused: set it to false to continue.",
    Reason.LEASE_LOST: "Its soldier sent no heartbeat for a whole lease; it runs again.",
    Reason.RELEASED: "Its soldier shut down and returned it; it runs again, and no attempt is charged.",
    Reason.COMMANDER_UNREACHABLE: "The operator cannot reach the Commander; only before acceptance.",
    Reason.ADMISSION_PENDING: "Its namespace has reached a quota, or the ledger is full: the message says which; "
    "it is submitted again by itself, and this is only before acceptance.",
    Reason.RUNNING: "A soldier runs it.",
    Reason.CANCEL_REQUESTED: "Its soldier has been asked to stop it.",
    Reason.COMPLETED: "The handler returned.",
    Reason.GAVE_UP: "The handler raised `GiveUp`, or the payload does not fit its type.",
    Reason.ATTEMPTS_EXHAUSTED: "The last of `retry.maxAttempts` attempts failed.",
    Reason.DEADLINE_EXCEEDED: "Not finished within `deadlineSeconds` of its acceptance.",
    Reason.LANE_PASSED: "Its lane has gone past its number; it did not run.",
    Reason.REFUSED: "It can never run as it is; the message says what to change.",
    Reason.STATUS_REFUSED: "The API server refused the complete final status; `missionctl describe` shows the rest.",
    Reason.CANCELLED: "`spec.cancel`, or a cancel request.",
    Reason.DELETED: "Its object was deleted.",
    Reason.ACCEPTED: "The Commander has recorded it durably (condition `Accepted`).",
}
