"""What the routes under /dead-letters promise."""

from collections.abc import Iterable
from typing import Final

from mission_commander.api import bodies
from mission_commander.api.described import examples, missions, parameters
from mission_commander.api.described.operation import Answer, Body, Operation
from mission_commander.api.doors import PEOPLE, SUBMITTERS
from mission_contracts.rest import DeadLetterPage, MissionView, RedriveAnswer, RedriveRequest

GROUP: Final = "Dead letters"


def operations() -> Iterable[Operation]:
    yield Operation(
        method="GET",
        path="/dead-letters",
        name="listDeadLetters",
        group=GROUP,
        roles=PEOPLE,
        summary="List missions that gave up, newest end first",
        parameters=(
            parameters.NAMESPACE,
            parameters.TYPE,
            parameters.POOL,
            parameters.REASON,
            parameters.SINCE,
            parameters.LIMIT,
            parameters.CURSOR,
        ),
        answers=(
            Answer(
                status=200,
                text="One page, each with its attempts.",
                kind=DeadLetterPage,
                example={"dead_letters": [examples.DEAD_LETTER]},
            ),
        ),
    )
    yield Operation(
        method="POST",
        path="/dead-letters/{id}/redrive",
        name="redrive",
        group=GROUP,
        roles=SUBMITTERS,
        summary="Try one dead letter again, as a new mission",
        parameters=(parameters.MISSION,),
        answers=(
            Answer(
                status=202,
                text="The new mission.",
                kind=MissionView,
                example=examples.RETRIED,
                headers=("Location",),
                links=missions.FROM_HERE,
            ),
        ),
        problems=missions.UNKNOWN
        | missions.MAY_NOT_SUBMIT
        | {409: "`NotADeadLetter`: it did not give up. `PayloadLost`, `LaneMixed`: it cannot be tried as it was."},
    )
    yield Operation(
        method="POST",
        path="/dead-letters/redrive",
        name="redriveMany",
        group=GROUP,
        roles=SUBMITTERS,
        summary="Try many dead letters again",
        text="Without a body: the newest 100 of the installation's namespace. Only those that you may see.",
        body=Body(
            kind=RedriveRequest,
            limit=bodies.ONE_MISSION_BYTES,
            example={"type": "resize-image", "limit": 500},
            is_required=False,
        ),
        answers=(
            Answer(
                status=200,
                text="The new missions, why some cannot be tried, and where to go on.",
                kind=RedriveAnswer,
                example={"redriven": 1, "more": False, "missions": [examples.RETRIED], "refused": [], "cursor": None},
            ),
        ),
    )
