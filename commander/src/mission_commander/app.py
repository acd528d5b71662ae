"""The Commander over HTTP: routes, request ids, errors, and the life of the services behind them."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mission_broker.port import Broker
from mission_commander.api import (
    answers,
    dead_letters,
    events,
    health,
    metrics,
    missions,
    pools,
    reference,
    rejected,
    scheduler,
    sockets,
    soldiers,
    tokens,
)
from mission_commander.api.answers import ProblemError, problem, problem_answer
from mission_commander.api.bodies import PARTS_BYTES, RoomForBodies, Uploads
from mission_commander.api.counted import Answers
from mission_commander.api.paths import methods_at
from mission_commander.api.users import routes as user_routes
from mission_commander.commander import Commander
from mission_commander.identity import Identity, Service
from mission_commander.ports import Ledger, LedgerAwayError
from mission_commander.services.broker_users import UserDesk
from mission_commander.services.limiting import Alone, Tally
from mission_commander.services.user_store import UserStore
from mission_commander.services.workloads import Cluster
from mission_commander.settings import CommanderSettings
from mission_contracts import telemetry
from mission_contracts.clock import Clock, SystemClock
from mission_contracts.rest import IDEMPOTENCY_KEY_HEADER, REQUEST_ID_HEADER
from mission_contracts.text import printable, truncate

_ANSWER_BEGINS: Final = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})
MAX_ASKED_BYTES: Final = 256
"""Of a path that an error repeats."""
_ONCE: Final = frozenset(
    name.lower().encode()
    for name in (
        "Authorization",
        "Content-Encoding",
        "Content-Length",
        "Content-Type",
        "Host",
        IDEMPOTENCY_KEY_HEADER,
        "Last-Event-ID",
        REQUEST_ID_HEADER,
    )
)
"""Headers that have one value. Of two, each reader on the way might believe another one."""
_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")


def create_app(
    settings: CommanderSettings,
    *,
    ledger: Ledger,
    broker: Broker,
    users: UserStore,
    tally: Tally | None = None,
    clock: Clock | None = None,
    desk: UserDesk | None = None,
    cluster: Cluster | None = None,
    on_failure: Callable[[], None] = lambda: None,
) -> FastAPI:
    """Put a Commander behind HTTP. Its services run while the app's lifespan lasts.

    `tally` is how this Commander hears what others beside it let through; without one it is alone.
    `on_failure` is called when a service ends in an unexpected way: the process should then end too.
    """
    clock = clock or SystemClock()
    commander = Commander(settings, ledger, broker, clock, tally or Alone(), desk)
    identity = Identity(commander, users, settings, clock, cluster)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        run = asyncio.create_task(_run((commander.run, *identity.services()), on_failure))
        yield
        run.cancel()
        with suppress(asyncio.CancelledError):
            await run

    # The description is ours (api/described): FastAPI's page would be loaded from elsewhere.
    app = FastAPI(lifespan=lifespan, redirect_slashes=False, openapi_url=None, docs_url=None, redoc_url=None)
    app.state.commander = commander
    app.state.uploads = Uploads(settings.http_bodies_bytes)
    app.state.uploads_of_parts = Uploads(PARTS_BYTES)
    doors = identity.doors
    app.router.routes.extend(metrics.routes(doors, CollectorRegistry()))
    for group in (missions, dead_letters, rejected, events, soldiers, pools, scheduler, tokens, health):
        app.router.routes.extend(group.routes(doors))
    of_users = user_routes(doors, registration=settings.registration, first_admin=settings.first_admin)
    app.router.routes.extend((*of_users, *sockets.routes(doors), *reference.routes()))
    _answer_errors(app)
    app.add_middleware(RoomForBodies, people=app.state.uploads, parts=app.state.uploads_of_parts)
    app.add_middleware(RequestIds, answers=Answers(commander.counts, app.router.routes))
    return app


async def _run(services: Sequence[Service], on_failure: Callable[[], None]) -> None:
    try:
        async with asyncio.TaskGroup() as tasks:
            for service in services:
                tasks.create_task(_ends_never(service))
    except asyncio.CancelledError:
        raise
    except Exception:  # noqa: BLE001  # whatever it was, the process has to end and say so
        structlog.get_logger("commander").exception("a service ended; this Commander has to end too")
        on_failure()


async def _ends_never(service: Service) -> None:
    await service()
    raise RuntimeError(f"{service} ended, and must not")


class RequestIds:
    """Takes the caller's Request-Id or makes one; echoes it, and puts it on every log line. Counts the answer.

    Plain ASGI: a wrapper around each response would cost more than the request itself on the busy routes.
    """

    def __init__(self, app: ASGIApp, answers: Answers) -> None:
        self._app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] in _ANSWER_BEGINS:
                message["headers"] = [*message.get("headers", ()), (b"request-id", request_id.encode())]
                self._answers.note(scope, message.get("status", 101))
            await send(message)

        with structlog.contextvars.bound_contextvars(**{telemetry.REQUEST_ID: request_id}):
            repeated = _repeated_header(scope)
            answer = self._app if repeated is None else _refusal_of(repeated, request_id)
            await answer(scope, receive, send_with_id)


def _repeated_header(scope: Scope) -> str | None:
    """Return the name of a header that may be there once, and is there again."""
    names = [name for name, _ in scope["headers"] if name in _ONCE]
    if len(names) == len(set(names)):
        return None
    return str(next(name.decode() for name in names if names.count(name) > 1))


def _refusal_of(header: str, request_id: str) -> Response:
    detail = f"the header {header} is there more than once, and it has one value: send it once"
    return problem_answer(problem(400, "RepeatedHeader", detail, field=header), request_id)


def _request_id(scope: Scope) -> str:
    wanted = REQUEST_ID_HEADER.lower().encode()
    given = next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


Handler = Callable[[Request, Any], Awaitable[Response]]


def _answer_errors(app: FastAPI) -> None:
    async def known(request: Request, error: ProblemError) -> Response:
        answer = problem_answer(error.problem, request.state.request_id)
        answer.headers.update(error.headers)
        return answer

    async def ledger_away(request: Request, error: LedgerAwayError) -> Response:
        return problem_answer(answers.ledger_away(error), request.state.request_id)

    async def framework(request: Request, error: HTTPException) -> Response:
        code = "MethodNotAllowed" if error.status_code == 405 else "NoSuchRoute"
        asked = truncate(printable(f"{request.method} {request.url.path}"), MAX_ASKED_BYTES)
        detail = f"{asked}: {error.detail}; see the API's list of routes at /docs"
        answer = problem_answer(problem(error.status_code, code, detail), request.state.request_id)
        if error.status_code == 405:
            answer.headers["Allow"] = ", ".join(methods_at(app.routes, request.scope))
        return answer

    async def hung_up(_: Request, __: Exception) -> Response:
        return Response(
            status_code=499
        )  # nobody reads it: the caller left, or was killed, in the middle of its request

    async def unexpected(request: Request, error: Exception) -> Response:
        request_id = getattr(request.state, "request_id", None)
        # Its context is over, and with it the id that every line within has.
        about = {telemetry.REQUEST_ID: request_id, "path": request.url.path, "method": request.method}
        structlog.get_logger("api").error("a request failed", exc_info=error, **about)
        answer = problem_answer(problem(500, "Unexpected", answers.UNEXPECTED), request_id)
        if request_id is not None:  # this answer is made outside of RequestIds
            answer.headers[REQUEST_ID_HEADER] = request_id
        return answer

    handlers: list[tuple[type[Exception], Handler]] = [
        (ProblemError, known),
        (LedgerAwayError, ledger_away),
        (HTTPException, framework),
        (ClientDisconnect, hung_up),
        (Exception, unexpected),
    ]
    for kind, handler in handlers:
        app.add_exception_handler(kind, handler)
