"""What the routes that watch over the Commander promise."""

from collections.abc import Iterable
from typing import Final

from mission_commander.api.described import examples, parameters
from mission_commander.api.described.operation import Answer, Operation
from mission_commander.api.doors import PEOPLE
from mission_contracts.rest import Health, RejectedPage, SchedulerView, StatusView
from mission_contracts.tokens import Role

GROUP: Final = "Service"
TEXT: Final = "text/plain"


def operations() -> Iterable[Operation]:
    yield from _probes()
    yield from _numbers()
    yield from _rejected()
    yield from _scheduler()
    yield from _description()


def _probes() -> Iterable[Operation]:
    parts = {"ledger": "ok", "broker": "ok"}
    yield Operation(
        method="GET",
        path="/health",
        name="health",
        group=GROUP,
        summary="Tell which part is away, and what that means",
        needs_ledger=False,
        is_limited=False,
        answers=(
            Answer(
                status=200,
                text="`ok`, or `degraded`: one of both is away, and what does not need it goes on.",
                kind=Health,
                example={"status": "ok", "parts": parts, "durability": "strong"},
            ),
            Answer(
                status=503,
                text="`down`: both are away.",
                kind=Health,
                example={"status": "down", "parts": {"ledger": "away", "broker": "away"}, "durability": "strong"},
            ),
        ),
    )
    yield Operation(
        method="GET",
        path="/livez",
        name="alive",
        group=GROUP,
        summary="Tell that the process answers",
        needs_ledger=False,
        is_limited=False,
        answers=(Answer(status=200, text="It does.", media=TEXT, example="alive"),),
    )
    yield Operation(
        method="GET",
        path="/readyz",
        name="ready",
        group=GROUP,
        summary="Tell whether requests should come here",
        needs_ledger=False,
        is_limited=False,
        answers=(
            Answer(status=200, text="They should.", media=TEXT, example="ready"),
            Answer(status=503, text="Not yet, or not now.", media=TEXT, example="not ready"),
        ),
    )


def _numbers() -> Iterable[Operation]:
    yield Operation(
        method="GET",
        path="/status",
        name="status",
        group=GROUP,
        roles=PEOPLE,
        summary="Tell how much there is of everything",
        needs_ledger=False,
        answers=(Answer(status=200, text="Numbers.", kind=StatusView, example=examples.STATUS),),
    )
    yield Operation(
        method="GET",
        path="/metrics",
        name="metrics",
        group=GROUP,
        summary="Give the numbers that Prometheus gathers",
        text="Without a token, unless `COMMANDER_METRICS_ACCESS` is `token`. "
        "OpenMetrics where the `Accept` header asks for it.",
        needs_ledger=False,
        is_limited=False,
        problems={
            401: "`NoToken`, `BadToken`: where `COMMANDER_METRICS_ACCESS` is `token`.",
            403: "`WrongRole`: the same.",
        },
        answers=(
            Answer(status=200, text="Numbers.", media=TEXT, example="# TYPE missions_live gauge\nmissions_live 3.0\n"),
        ),
    )


def _rejected() -> Iterable[Operation]:
    yield Operation(
        method="GET",
        path="/rejected",
        name="listRejected",
        group=GROUP,
        roles=(Role.ADMIN,),
        summary="Show the messages that nobody could use, newest first",
        text="They are read from `missions.rejected` and stay there: the first 1,000 at most. `count` is how "
        "many there are.",
        needs_ledger=False,
        parameters=(parameters.LIMIT,),
        answers=(Answer(status=200, text="Messages.", kind=RejectedPage, example=examples.REJECTED),),
        problems={503: "`BrokerAway`: RabbitMQ keeps them, and cannot be reached now."},
    )


def _scheduler() -> Iterable[Operation]:
    for verb, text in (
        ("stop", "Stop handing out orders, for every Commander of the installation"),
        ("start", "Let the orders go out again"),
    ):
        yield Operation(
            method="POST",
            path=f"/scheduler/{verb}",
            name=f"{verb}Scheduler",
            group=GROUP,
            roles=(Role.ADMIN, Role.OPERATOR),
            summary=text,
            answers=(
                Answer(
                    status=200,
                    text="The outbox relay as it is now.",
                    kind=SchedulerView,
                    example={"stopped": verb == "stop", "outbox": 12 if verb == "stop" else 0},
                ),
            ),
            problems={422: "`BadField`: there are no parameters here."},
        )


def _description() -> Iterable[Operation]:
    yield Operation(
        method="GET",
        path="/openapi.json",
        name="openapi",
        group=GROUP,
        summary="This description, for programs",
        needs_ledger=False,
        answers=(Answer(status=200, text="OpenAPI 3.1.", kind=dict, example={"openapi": "3.1.0"}),),
    )
    yield Operation(
        method="GET",
        path="/docs",
        name="docs",
        group=GROUP,
        summary="This description, for people",
        needs_ledger=False,
        answers=(Answer(status=200, text="One page, which loads nothing.", media="text/html"),),
    )
