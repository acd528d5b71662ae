"""An object that cannot be read as it is: it is known by its metadata, and nothing else suffers."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import hostile

from mission_contracts.strict_json import is_deeper_than
from mission_operator import screening
from mission_operator.screening import MAX_READ_DEPTH, UNREADABLE


def an_object(payload: bytes, name: str = "odd") -> bytes:
    metadata = f'{{"name":"{name}","namespace":"shop","uid":"uid-of-{name}","resourceVersion":"7"}}'.encode()
    status = b'{"state":"Queued","sequence":3}'
    return b'{"kind":"Mission","metadata":%s,"spec":{"payload":{"v":%s}},"status":%s}' % (metadata, payload, status)


def an_event(payload: bytes, kind: str = "ADDED") -> bytes:
    return b'{"type":"%s","object":%s}' % (kind.encode(), an_object(payload))


def a_list(*items: bytes) -> bytes:
    return b'{"kind":"MissionList","apiVersion":"x/v1","metadata":{"continue":"next"},"items":[%s]}' % b",".join(items)


DEEP = [
    hostile.nested(1_000),
    hostile.nested(100_000),
    hostile.nested(1_000, '{"v":', "}", "1"),
    b'[[],"]]]",' * 1_000 + b"1" + b"]" * 1_000,
    b'["\\"[",' * 1_000 + b"1" + b"]" * 1_000,
]
NO_NUMBERS = [b"NaN", b"-Infinity", b"1e400", b"1" + b"0" * 5_000]
NO_TEXTS = [b'"\\ud83d"', b'"\\\\\\ude00"', b'"caf\xe9"', b'"\xed\xa0\x80"', b'"a\x00b"']


@pytest.mark.parametrize("payload", DEEP, ids=range(len(DEEP)))
def test_what_is_too_deep_is_cut_and_the_rest_stays(payload: bytes) -> None:
    found = screening.read_event(an_event(payload))
    assert found is not None
    assert not is_deeper_than(found, MAX_READ_DEPTH)
    body = json.loads(found)["object"]
    assert (body["metadata"]["uid"], body["status"]["sequence"]) == ("uid-of-odd", 3)
    assert is_deeper_than(msgspec.json.encode(body["spec"]["payload"]), 64), "it is still known to be too deep"


@pytest.mark.parametrize("payload", NO_NUMBERS, ids=range(len(NO_NUMBERS)))
def test_an_object_with_a_number_that_is_none_comes_without_its_spec(payload: bytes) -> None:
    found = screening.read_event(an_event(payload))
    assert found is not None
    body = json.loads(found)["object"]
    assert "spec" not in body
    assert body[UNREADABLE]
    assert (body["metadata"]["uid"], body["status"]) == ("uid-of-odd", {"state": "Queued", "sequence": 3})


@pytest.mark.parametrize("payload", NO_TEXTS, ids=range(len(NO_TEXTS)))
def test_text_that_is_none_is_replaced_as_the_api_server_replaces_it(payload: bytes) -> None:
    found = screening.read_event(an_event(payload))
    assert found is not None
    json.loads(found)["object"]["metadata"]["uid"].encode()
    found.decode()


@pytest.mark.parametrize("payload", [*DEEP, *NO_NUMBERS, *NO_TEXTS], ids=str)
def test_a_page_keeps_the_neighbours_of_what_cannot_be_read(payload: bytes) -> None:
    page = screening.read_list(a_list(an_object(b"1", "before"), an_object(payload), an_object(b"2", "after")))
    assert [one["metadata"]["name"] for one in page["items"]] == ["before", "odd", "after"]
    assert [page["items"][place]["spec"]["payload"] for place in (0, 2)] == [{"v": 1}, {"v": 2}]
    assert page["metadata"] == {"continue": "next"}


def test_what_can_be_read_is_passed_on_byte_for_byte() -> None:
    line = an_event(b'{"text": "[[[", "deep": ' + hostile.nested(100) + b"}")
    assert screening.read_event(line) == line


def test_the_greatest_depth_allowed_leaves_an_object_whole() -> None:
    fields = hostile.nested(72, '{"f:v":', "}", "{}")
    line = an_event(hostile.nested(64)).replace(b'"name"', b'"managedFields":[{"fieldsV1":%s}],"name"' % fields)
    assert screening.read_event(line) == line


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"type":"ADDED"}',
        b'{"type":"ADDED","object":null}',
        b'{"type":"ADDED","object":{"metadata":{}}}',
        b'{"type":"ADDED","object":{"metadata":{"uid":5}}}',
    ],
)
def test_a_line_that_names_no_object_is_passed_over(line: bytes) -> None:
    assert screening.read_event(line) is None


@pytest.mark.parametrize("document", hostile.params(hostile.DOCUMENTS))
def test_no_document_ends_the_reading(document: hostile.Hostile[bytes]) -> None:
    made = document.make()
    for line in (made, an_event(made)):
        found = screening.read_event(line)
        assert found is None or json.loads(found)["object"]["metadata"]["uid"] == "uid-of-odd"
    screening.read_object(made)


@settings(deadline=None)
@given(st.recursive(st.none() | st.text() | st.integers() | st.floats(allow_nan=False), st.lists, max_leaves=20))
def test_any_json_is_cut_to_json(value: Any) -> None:
    document = json.dumps([[value] * 3] * 3).encode()
    assert screening.shallow(document) == document
    deeper = b"[" * MAX_READ_DEPTH + document + b"]" * MAX_READ_DEPTH
    json.loads(screening.shallow(deeper))


@pytest.mark.parametrize(("code", "ends"), [(410, False), (500, True), (504, True)])
def test_only_an_error_that_kopf_does_not_survive_ends_the_watch(code: int, ends: bool) -> None:
    line = b'{"type":"ERROR","object":{"kind":"Status","message":"no","code":%d}}' % code
    assert screening.read_event(line) == line
    assert screening.ends_the_watch(line) is ends
