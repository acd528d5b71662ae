"""The description of the API: it has every route and nothing else, its examples fit, and its page loads nothing."""

import json
import re
from typing import Any

import jsonschema_rs
import msgspec
import pydantic
import pytest
from starlette.routing import Route
from support.commander_api import Api, settings
from support.snippets import ROOT

from mission_broker.memory import MemoryBroker
from mission_commander.adapters.memory_ledger import MemoryLedger, MemoryStore
from mission_commander.adapters.memory_users import MemoryUsers
from mission_commander.api import described
from mission_commander.api.described import Answer, Operation
from mission_commander.app import create_app

OPERATIONS = described.operations()
EACH = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)


def key(operation: Operation) -> tuple[str, str]:
    return operation.method, operation.path


def test_every_route_and_method_is_described_and_nothing_else() -> None:
    app = create_app(settings(), ledger=MemoryLedger(MemoryStore()), broker=MemoryBroker(), users=MemoryUsers())
    registered = {
        (method, route.path)
        for route in app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert registered == {key(one) for one in OPERATIONS}, "describe each route in commander/…/api/described"


def test_operations_are_told_apart() -> None:
    assert len({one.name for one in OPERATIONS}) == len({key(one) for one in OPERATIONS}) == len(OPERATIONS)


@EACH
def test_paths_name_their_parameters(operation: Operation) -> None:
    named = {one.name for one in operation.parameters if one.place == "path"}
    assert named == set(re.findall(r"{(\w+)}", operation.path))


@pytest.mark.parametrize("operation", [one for one in OPERATIONS if one.body], ids=lambda one: one.name)
def test_requests_look_like_their_examples(operation: Operation) -> None:
    assert operation.body
    fits(operation.body.kind, operation.body.example)
    pointer = (
        f"/paths/{escaped(operation.path)}/{operation.method.lower()}/requestBody/content/application~1json/schema"
    )
    if operation.name != "submitBatch":  # its example shows what becomes of an item that does not fit
        assert_valid(pointer, operation.body.example)


@pytest.mark.parametrize(
    ("operation", "answer"),
    [
        pytest.param(one, answer, id=f"{one.name}-{answer.status}")
        for one in OPERATIONS
        for answer in one.answers
        if answer.kind not in (None, dict)
    ],
)
def test_answers_look_like_their_examples(operation: Operation, answer: Answer) -> None:
    fits(answer.kind, answer.example)
    where = f"{escaped(operation.path)}/{operation.method.lower()}/responses/{answer.status}"
    assert_valid(f"/paths/{where}/content/application~1json/schema", answer.example)


def fits(kind: Any, example: Any) -> None:
    text = json.dumps(example).encode()
    if issubclass(kind, pydantic.BaseModel):
        kind.model_validate_json(text)
    else:
        msgspec.json.decode(text, type=kind)


def escaped(path: str) -> str:
    return path.replace("/", "~1").replace("{", "%7B").replace("}", "%7D")


def assert_valid(pointer: str, example: Any) -> None:
    document = described.document()
    validator = jsonschema_rs.validator_for({"$schema": DRAFT, "$ref": f"#{pointer}", **document})
    validator.validate(example)


DRAFT = "https://json-schema.org/draft/2020-12/schema"


def test_every_reference_leads_somewhere() -> None:
    document = described.document()
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        found: Any = document
        for part in reference.split("/"):
            found = found[part]


async def test_it_is_served_as_it_is_committed(api: Api) -> None:
    answer = await (await api.stranger()).get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    committed = json.loads((ROOT / "docs/reference/openapi.json").read_text())
    assert "do not edit" in committed.pop("x-generated")
    assert answer.json() == committed


async def test_the_page_for_people_has_all_of_it_and_loads_nothing(api: Api) -> None:
    answer = await (await api.stranger()).get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert not re.search(r"(?:src|href)=\"(?!#|openapi\.json)|<script|<link|@import|url\(|//", answer.text)
    for one in OPERATIONS:
        assert f'<section id="{one.name}"><h3><code>{one.method} {one.path}</code>' in answer.text
