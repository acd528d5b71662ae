"""The OpenAPI document: all operations, and what they refer to."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from itertools import chain
from typing import Any, Final

from mission_commander.api.described import (
    access,
    dead_letters,
    events,
    missions,
    pools,
    schemas,
    service,
    soldiers,
)
from mission_commander.api.described.operation import Answer, Body, Operation, Parameter
from mission_contracts.errors import PROBLEM_CONTENT_TYPE, Problem

_PARTS: Final = (missions, dead_letters, events, pools, soldiers, access, service)
_SCHEME: Final = "accessToken"
_TITLE: Final = "Mission Control"
_TEXT: Final = (
    "Durable background work, run by warm soldiers: the REST door of the Commander. "
    "Bodies are JSON in snake_case, moments RFC 3339 in UTC. Every refusal is a problem (RFC 9457) with a stable "
    "`code` and one sentence that helps. Send a `Request-Id`, or get one: it is in every answer, on every log line, "
    "and in the missions that the request made (`trace_id`)."
)

Json = dict[str, Any]


def operations() -> Sequence[Operation]:
    """Everything that the Commander answers."""
    return tuple(chain.from_iterable(part.operations() for part in _PARTS))


def document() -> Json:
    """Describe everything, in the words of OpenAPI 3.1."""
    described = operations()
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": version("mission-commander"), "description": _TEXT},
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "servers": [{"url": "/"}],
        "tags": [{"name": group} for group in dict.fromkeys(one.group for one in described)],
        "paths": _paths(described),
        "components": {
            "securitySchemes": {_SCHEME: _scheme()},
            "headers": _HEADERS,
            "schemas": schemas.components([Problem, *_kinds(described)]),
        },
    }


def _kinds(described: Sequence[Operation]) -> list[Any]:
    bodies = [one.body.kind for one in described if one.body]
    return bodies + [answer.kind for one in described for answer in one.answers if answer.kind]


def _paths(described: Sequence[Operation]) -> Json:
    paths: Json = {}
    for one in described:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    return paths


def _operation(one: Operation) -> Json:
    told: Json = {"operationId": one.name, "tags": [one.group], "summary": one.summary}
    if one.text or one.roles:
        told["description"] = " ".join(filter(None, (one.text, _roles(one))))
    if one.parameters:
        told["parameters"] = [_parameter(each) for each in one.parameters]
    if one.body:
        told["requestBody"] = _body(one.body)
    told["responses"] = {**_answers(one), **_problems(one)}
    told["security"] = [] if one.roles is None else [{_SCHEME: []}]
    return told


def _roles(one: Operation) -> str:
    return f"Roles: {', '.join(role.value for role in one.roles)}." if one.roles else ""


def _parameter(one: Parameter) -> Json:
    told: Json = {"name": one.name, "in": one.place, "description": one.text, "schema": dict(one.schema)}
    if one.place == "path":
        told["required"] = True
    if one.example is not None:
        told["example"] = one.example
    return told


def _body(body: Body) -> Json:
    content = {"application/json": {"schema": schemas.reference(body.kind), "example": body.example}}
    return {"required": body.is_required, "description": f"At most {body.limit} bytes.", "content": content}


def _answers(one: Operation) -> Json:
    return {str(answer.status): _answer(answer) for answer in one.answers}


def _answer(answer: Answer) -> Json:
    told: Json = {"description": answer.text, "headers": _headers(answer.headers)}
    if answer.status != 204:
        told["content"] = {answer.media: _content(answer)}
    if answer.links:
        told["links"] = {
            name: {"operationId": name, "parameters": {"id": f"$response.body#/{field}"}}
            for name, field in answer.links.items()
        }
    return told


def _content(answer: Answer) -> Json:
    told: Json = {"schema": schemas.reference(answer.kind) if answer.kind else {"type": "string"}}
    if answer.example is not None:
        told["example"] = answer.example
    return told


def _problems(one: Operation) -> Json:
    own = {answer.status for answer in one.answers}
    return {str(status): _problem(status, text) for status, text in one.all_problems().items() if status not in own}


def _problem(status: int, text: str) -> Json:
    headers = {
        401: ("WWW-Authenticate",),
        429: ("Retry-After", "RateLimit", "RateLimit-Policy"),
        503: ("Retry-After",),
    }.get(status, ())
    content = {PROBLEM_CONTENT_TYPE: {"schema": schemas.reference(Problem)}}
    return {"description": text, "headers": _headers(headers), "content": content}


def _headers(names: Sequence[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("Request-Id", *names)}


def _header(text: str, **schema: Any) -> Json:
    return {"description": text, "schema": {"type": "string"} | schema}


_HEADERS: Final[Mapping[str, Json]] = {
    "Request-Id": _header("The request's own, or one that was made for it."),
    "Location": _header("Where the mission is."),
    "Ledger": _header("`degraded`: told from this Commander's memory, since the ledger is away.", enum=["degraded"]),
    "Retry-After": _header("Seconds.", type="integer", minimum=1),
    "RateLimit": _header("What is left of the limit, and in how many seconds there is more."),
    "RateLimit-Policy": _header("The limit: how many in how many seconds."),
    "WWW-Authenticate": _header("The scheme that is asked for."),
}


def _scheme() -> Json:
    return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "From `POST /token`."}
