"""What the event streams promise."""

from collections.abc import Iterable
from typing import Final

from mission_commander.api.described import examples, parameters
from mission_commander.api.described.operation import Answer, Operation
from mission_commander.api.doors import PEOPLE

GROUP: Final = "Events"
STREAM: Final = "text/event-stream"
"""Answers of this kind do not end by themselves."""


def operations() -> Iterable[Operation]:
    yield Operation(
        method="GET",
        path="/events",
        name="watchMissions",
        group=GROUP,
        roles=PEOPLE,
        summary="Follow every change of the missions that you may see",
        text="Server-sent events `mission`, each with the mission as `GET /missions/{id}` shows it, and a comment each "
        "second while it is quiet. A reader that comes back with the last id it saw misses nothing and gets nothing "
        "twice; `reset` says that this cannot be promised. `WS /ws` tells the same over a WebSocket.",
        parameters=(
            parameters.NAMESPACE,
            parameters.DOOR,
            parameters.TYPE,
            parameters.POOL,
            parameters.ONE_MISSION,
            parameters.LAST_EVENT,
        ),
        answers=(Answer(status=200, text="Events without end.", media=STREAM, example=examples.EVENTS),),
    )
    yield Operation(
        method="GET",
        path="/pools/events",
        name="watchPools",
        group=GROUP,
        roles=PEOPLE,
        summary="Hear when work comes to a pool",
        text="Server-sent events `pool`, each with a pool as `GET /pools` shows it.",
        answers=(
            Answer(
                status=200,
                text="Events without end.",
                media=STREAM,
                example='event: pool\ndata: {"namespace":"default","name":"default","paused":false,"queued":1}\n\n',
            ),
        ),
    )
