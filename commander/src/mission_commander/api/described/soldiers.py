"""What the routes under /soldiers promise."""

from collections.abc import Iterable
from typing import Any, Final

from mission_commander.api import bodies
from mission_commander.api.described import examples, parameters
from mission_commander.api.described.operation import Answer, Body, Operation
from mission_commander.api.soldiers import HEARTBEAT_BYTES, REGISTRATION_BYTES
from mission_contracts.soldiering import (
    ClaimAnswers,
    ClaimRequest,
    Heartbeat,
    HeartbeatAnswer,
    Registered,
    Registration,
)
from mission_contracts.tokens import Role

GROUP: Final = "Soldiers"
_HELD: Final[dict[str, Any]] = {"mission_id": examples.MISSION_ID, "epoch": examples.ERA * 1_000_000 + 1}
_NOT_ITS_OWN: Final = (
    "`WrongPool`: the token is good for another pool. `WrongInstance`: the instance is another pod's or process's."
)
_UNKNOWN: Final = "`UnknownSoldier`: register, then go on."


def operations() -> Iterable[Operation]:
    yield Operation(
        method="POST",
        path="/soldiers",
        name="registerSoldier",
        group=GROUP,
        roles=(Role.SOLDIER,),
        summary="Register an instance with the types that it handles",
        body=Body(
            kind=Registration,
            limit=REGISTRATION_BYTES,
            example={
                "instance": examples.INSTANCE,
                "namespace": "default",
                "pool": "default",
                "types": [{"name": "resize-image"}],
                "concurrency": 16,
            },
        ),
        answers=(
            Answer(
                status=200,
                text="The times that both must agree on.",
                kind=Registered,
                example={"heartbeat_seconds": 1.5, "lease_seconds": 6.0, "era": examples.ERA},
            ),
        ),
        problems={
            403: _NOT_ITS_OWN,
            413: "`RegistrationTooLarge`: a schema exceeds 64 KiB, or all of it 256 KiB; register without schemas.",
            429: "`TooManySoldiers`: its pod, its pool or all pools have as many instances, or bytes, as they may.",
        },
    )
    yield Operation(
        method="POST",
        path="/soldiers/{instance}/claims",
        name="claim",
        group=GROUP,
        roles=(Role.SOLDIER,),
        summary="Ask whether orders may run",
        parameters=(parameters.SOLDIER,),
        body=Body(
            kind=ClaimRequest,
            limit=bodies.MANY_BYTES,
            example={"claims": [_HELD | {"era": examples.ERA, "accepted_at": 1788086400.12}]},
        ),
        answers=(
            Answer(
                status=200,
                text="In the order of the claims.",
                kind=ClaimAnswers,
                example={
                    "answers": [{"verdict": "RUN", "secret": "GmuXJfS0…", "attempt": 1, "timeout_seconds": 3600.0}]
                },
            ),
        ),
        problems={
            403: _NOT_ITS_OWN,
            404: _UNKNOWN,
            422: "`BatchTooLarge`: more than 256 claims.",
        },
    )
    yield Operation(
        method="POST",
        path="/soldiers/{instance}/heartbeat",
        name="beat",
        group=GROUP,
        roles=(Role.SOLDIER,),
        summary="Keep the leases of what the instance holds",
        parameters=(parameters.SOLDIER,),
        body=Body(
            kind=Heartbeat,
            limit=HEARTBEAT_BYTES,
            example={
                "beat": 7,
                "after": 1788086400.5,
                "era": examples.ERA,
                "held": [_HELD | {"secret": "GmuXJfS0…"}],
                "unclaimed": [],
                "slots": 16,
                "taking": True,
            },
        ),
        answers=(
            Answer(
                status=200,
                text="What to stop, to forget, or to report again.",
                kind=HeartbeatAnswer,
                example={"now": 1788086402.0, "era": examples.ERA, "applied": [_HELD]},
            ),
        ),
        problems={
            403: _NOT_ITS_OWN,
            404: _UNKNOWN,
            429: "`TooManyHeld`: all soldiers together list more missions than a Commander holds.",
        },
    )
