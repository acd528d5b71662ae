"""What the routes under /missions promise."""

from collections.abc import Iterable, Mapping
from typing import Final

from mission_commander.api import bodies
from mission_commander.api.described import examples, parameters
from mission_commander.api.described.operation import Answer, Body, Operation
from mission_commander.api.doors import PEOPLE, SUBMITTERS
from mission_contracts.rest import (
    AcknowledgedRequest,
    BatchAnswer,
    BatchRequest,
    CancelRequest,
    LookupAnswer,
    LookupRequest,
    MissionChange,
    MissionHistory,
    MissionPage,
    MissionView,
    Submission,
)
from mission_contracts.tokens import Role

GROUP: Final = "Missions"
UNKNOWN: Final = {404: "`UnknownMission`: there is none of this id, or none that you may see."}
MAY_NOT_SUBMIT: Final = {
    403: "`NoRight`: the caller may not submit such a mission any more.",
    422: "`NamespaceNotServed`: this installation does not serve the mission's namespace any more.",
}
FROM_HERE: Final[Mapping[str, str]] = dict.fromkeys(
    ("getMission", "getHistory", "changeMission", "cancelMission", "retryMission"), "mission_id"
)


def operations() -> Iterable[Operation]:
    yield from _submitting()
    yield from _looking()
    yield from _wishing()


def _submitting() -> Iterable[Operation]:
    yield Operation(
        method="POST",
        path="/missions",
        name="submitMission",
        group=GROUP,
        roles=SUBMITTERS,
        summary="Submit a mission",
        text="202 says that it is recorded durably: it reaches exactly one final state, whatever dies meanwhile. "
        "`mission_id`, `door` and `floor` are the operator's alone.",
        parameters=(parameters.IDEMPOTENCY_KEY,),
        body=Body(kind=Submission, limit=bodies.ONE_MISSION_BYTES, example=examples.SUBMISSION),
        answers=(
            Answer(
                status=202,
                text="Accepted; the same submission again is answered with the same mission.",
                kind=MissionView,
                example=examples.QUEUED,
                headers=("Location", "Ledger"),
                links=FROM_HERE,
            ),
        ),
        problems={
            403: "`OperatorOnly`: a field that the operator alone may set. "
            "`NoRight`: the caller's rights do not include the namespace, the pool, the type or the priority.",
            413: "`PayloadTooLarge`: the payload exceeds 256 KiB.",
            422: "`Refused`: it could never run. `NamespaceNotServed`: this installation serves others. "
            "`IdempotencyKeyReused`: the key belongs to another body. "
            "`LaneMixed`, `NumberTaken`: its place in the lane is not free.",
        },
    )
    yield Operation(
        method="POST",
        path="/missions/batch",
        name="submitBatch",
        group=GROUP,
        roles=SUBMITTERS,
        summary="Submit up to 1,000 missions",
        text="An answer for each, in the order of the request: a bad one refuses only itself. "
        "A batch has no key of its own; each mission may have its `idempotency_key`.",
        body=Body(kind=BatchRequest, limit=bodies.MANY_BYTES, example={"missions": [examples.SUBMISSION, {}]}),
        answers=(
            Answer(
                status=200,
                text="What became of each.",
                kind=BatchAnswer,
                headers=("Ledger",),
                example={
                    "results": [
                        {"status": 202, "mission": examples.QUEUED},
                        {"status": 422, "problem": examples.REFUSED},
                    ]
                },
            ),
        ),
        problems={422: "`BatchTooLarge`: more than 1,000."},
    )


def _looking() -> Iterable[Operation]:
    yield Operation(
        method="GET",
        path="/missions",
        name="listMissions",
        group=GROUP,
        roles=PEOPLE,
        summary="List missions, newest first",
        text="Of the installation's namespace unless another is named. A page may hold fewer than asked for, "
        "even none, and still have a `cursor`: without one it is the last.",
        parameters=(
            parameters.NAMESPACE,
            parameters.STATE,
            parameters.TYPE,
            parameters.POOL,
            parameters.DOOR,
            parameters.LIVE,
            parameters.UNACKNOWLEDGED,
            parameters.LIMIT,
            parameters.CURSOR,
        ),
        answers=(
            Answer(
                status=200,
                text="One page.",
                kind=MissionPage,
                headers=("Ledger",),
                example={"missions": [examples.COMPLETED], "cursor": "MTc4ODA4NjQwMC4xMiA3YjBk"},
            ),
        ),
    )
    yield Operation(
        method="POST",
        path="/missions/lookup",
        name="lookUpMissions",
        group=GROUP,
        roles=PEOPLE,
        summary="Look up to 1,000 missions up by their ids",
        body=Body(
            kind=LookupRequest, limit=bodies.ONE_MISSION_BYTES, example={"ids": [examples.MISSION_ID, "no-such"]}
        ),
        answers=(
            Answer(
                status=200,
                text="In the order of the request; null where there is none that you may see.",
                kind=LookupAnswer,
                headers=("Ledger",),
                example={"missions": [examples.QUEUED, None]},
            ),
        ),
        problems={422: "`BatchTooLarge`: more than 1,000."},
    )
    yield Operation(
        method="GET",
        path="/missions/{id}",
        name="getMission",
        group=GROUP,
        roles=PEOPLE,
        summary="Show a mission, or wait for its end",
        parameters=(parameters.MISSION, parameters.WAIT),
        answers=(
            Answer(
                status=200,
                text="The mission.",
                kind=MissionView,
                example=examples.COMPLETED,
                headers=("Ledger",),
                links=FROM_HERE,
            ),
        ),
        problems=UNKNOWN,
    )
    yield Operation(
        method="GET",
        path="/missions/{id}/history",
        name="getHistory",
        group=GROUP,
        roles=PEOPLE,
        summary="Show a mission with its attempts, and where its time went",
        parameters=(parameters.MISSION,),
        answers=(
            Answer(
                status=200,
                text="The mission, and the attempts that have ended, oldest first.",
                kind=MissionHistory,
                example={"mission": examples.COMPLETED, "attempts": [examples.ATTEMPT], "timings": examples.TIMINGS},
                headers=("Ledger",),
            ),
        ),
        problems=UNKNOWN,
    )


def _wishing() -> Iterable[Operation]:
    yield Operation(
        method="PATCH",
        path="/missions/{id}",
        name="changeMission",
        group=GROUP,
        roles=SUBMITTERS,
        summary="Suspend a mission, or let it go on",
        parameters=(parameters.MISSION,),
        body=Body(kind=MissionChange, limit=bodies.SMALL_BYTES, example={"suspend": True}),
        answers=(
            Answer(
                status=200,
                text="The mission; a final one stays as it is.",
                kind=MissionView,
                links=FROM_HERE,
                example=examples.QUEUED | {"reason": "Suspended", "message": "suspended by its owner"},
            ),
        ),
        problems=UNKNOWN,
    )
    yield Operation(
        method="POST",
        path="/missions/{id}/cancel",
        name="cancelMission",
        group=GROUP,
        roles=SUBMITTERS,
        summary="Cancel a mission",
        text="One that waits is CANCELLED at once. One that runs is told to stop: if it completes first, it stays "
        "COMPLETED. A final one stays as it is, and again is no error.",
        parameters=(parameters.MISSION,),
        body=Body(
            kind=CancelRequest, limit=bodies.SMALL_BYTES, example={"message": "no longer needed"}, is_required=False
        ),
        answers=(
            Answer(status=200, text="The mission.", kind=MissionView, example=examples.CANCELLED, links=FROM_HERE),
        ),
        problems=UNKNOWN | {403: "`OperatorOnly`: `deleted` is the operator's to say."},
    )
    yield Operation(
        method="POST",
        path="/missions/{id}/retry",
        name="retryMission",
        group=GROUP,
        roles=SUBMITTERS,
        summary="Try a final mission again, as a new one",
        text="The new mission has `retry_of`, the old one `retried_as`. Asked again, the same new mission is given.",
        parameters=(parameters.MISSION,),
        answers=(
            Answer(
                status=202,
                text="The new mission.",
                kind=MissionView,
                example=examples.RETRIED,
                headers=("Location",),
                links=FROM_HERE,
            ),
        ),
        problems=UNKNOWN
        | MAY_NOT_SUBMIT
        | {
            409: "`NotFinal`: it has not ended yet. `PayloadLost`: nobody can run it again. "
            "`PayloadDropped`: its payload was too large to be kept after its end; submit it again. "
            "`LaneMixed`: its lane has changed its kind meanwhile.",
        },
    )
    yield Operation(
        method="POST",
        path="/missions/acknowledged",
        name="acknowledgeMissions",
        group="Operator",
        roles=(Role.OPERATOR,),
        summary="Say that objects show the end, or are gone",
        body=Body(kind=AcknowledgedRequest, limit=bodies.ONE_MISSION_BYTES, example={"ids": [examples.MISSION_ID]}),
        answers=(Answer(status=204, text="Their records may be purged in their time."),),
        problems={422: "`BatchTooLarge`: more than 1,000."},
    )
