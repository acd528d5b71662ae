"""Who watches which missions: the same for server-sent events and WebSockets."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from starlette.requests import HTTPConnection, Request

from mission_commander.api.answers import ProblemError
from mission_commander.api.authentication import Gate
from mission_commander.api.doors import PEOPLE, may_see
from mission_commander.commander import Commander
from mission_commander.domain.record import Mission
from mission_commander.services.feed import Announced
from mission_contracts.tokens import Claims
from mission_contracts.watching import Subscribe

QUIET_SECONDS: Final = 1.0
"""A sign of life is sent after so long without an event, so that a watcher can soon tell quiet from dead."""

ENDS_WATCHING: Final = frozenset({401, 403})
"""Not 503: while nobody can tell whether a login was ended, no news comes in that could be told either."""

Watch = AsyncIterator[Sequence[Announced] | None]


def watch(commander: Commander, claims: Claims, asked: Subscribe, quiet_seconds: float) -> Watch:
    """Follow what was asked for, as far as they may see it."""
    return commander.feed.watch(
        asked.after, lambda mission: _wants(asked, mission) and may_see(claims, mission), quiet_seconds=quiet_seconds
    )


def _wants(asked: Subscribe, mission: Mission) -> bool:
    envelope = mission.envelope
    return (
        not mission.acknowledged  # the operator's own note: what is shown of the mission stays as it is
        and asked.namespace in (None, envelope.namespace)
        and asked.door in (None, envelope.door)
        and asked.type in (None, envelope.type)
        and asked.pool in (None, envelope.pool)
        and asked.mission_id in (None, mission.id)
    )


def admit(gate: Gate, connection: HTTPConnection) -> Claims:
    """Let somebody in who wants to watch; a WebSocket's handshake counts as the request that it is."""
    asked = {"type": "http", "method": "GET", "path": "/ws", "headers": connection.headers.raw}
    return gate.admit(Request(asked), *PEOPLE)


def recognise(gate: Gate, connection: HTTPConnection) -> Claims:
    """Look at the token of somebody who watches, again and again while they do."""
    return gate.recognise(connection, *PEOPLE)


def is_admitted(gate: Gate, connection: HTTPConnection) -> bool:
    """Whether a stream may go on."""
    try:
        recognise(gate, connection)
    except ProblemError as error:
        return error.problem.status not in ENDS_WATCHING
    return True


def with_token(token: str) -> HTTPConnection:
    """Stand for a connection that brought this token in its header."""
    return HTTPConnection({"type": "http", "headers": [(b"authorization", b"Bearer " + token.encode())]})
