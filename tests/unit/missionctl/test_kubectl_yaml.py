"""Files mean what they mean to kubectl; where kubectl would change a value without a word, they are refused."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support import yaml_table

from missionctl.cli.documents import parse
from missionctl.cli.exits import CommandError
from missionctl.kubectl_yaml import ManifestError, manifests


def read(text: str) -> Any:
    [manifest] = manifests(f"v: {text}\n")
    return manifest.value["v"]


def same(value: object, expected: object) -> bool:
    """Equal, and of equal types: 1 is neither 1.0 nor true."""
    return json.dumps(value, sort_keys=True) == json.dumps(expected, sort_keys=True)


@pytest.mark.parametrize(("text", "expected"), [*yaml_table.READ.items(), *yaml_table.READ_HERE.items()])
def test_a_value_is_the_one_that_kubectl_reads(text: str, expected: object) -> None:
    assert same(read(text), expected)


@pytest.mark.parametrize("text", [*yaml_table.REFUSED, *yaml_table.CHANGED_BY_KUBECTL, *yaml_table.LOST_BY_KUBECTL])
def test_what_kubectl_refuses_or_changes_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(ManifestError) as refused:
        read(text)
    assert str(refused.value)
    assert refused.value.line in range(1, 8)


@pytest.mark.parametrize("text", yaml_table.EXACT)
def test_a_large_integer_stays_exact(text: str) -> None:
    assert read(text) == int(text)


ONE = "kind: Mission\nmetadata: {name: one}\n"
TWO = ONE.replace("one", "two")
JSON_ONE = '{"kind": "Mission", "metadata": {"name": "one"}}'
JSON_TWO = JSON_ONE.replace("one", "two")


def names(text: str | bytes) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return [document.content["metadata"]["name"] for document in parse("file", data)]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"{ONE}---\n{TWO}", id="documents between separators"),
        pytest.param(f"---\n---\n{ONE}---\n# only a comment\n---\n\n---\n{TWO}---\n", id="empty documents"),
        pytest.param(f"--- # a comment\n{ONE}...\n---   \n{TWO}", id="comments and ends of documents"),
        pytest.param(f"{ONE}---\n{TWO}".replace("\n", "\r\n"), id="line ends of Windows"),
        pytest.param(f"\ufeff{ONE}---\n{TWO}", id="a byte order mark"),
        pytest.param(f"{ONE}---\n{TWO}".encode("utf-16"), id="UTF-16 with its mark"),
        pytest.param(JSON_ONE + JSON_TWO, id="JSON after JSON"),
        pytest.param(f"\n \t{JSON_ONE}\n{JSON_TWO}\n\n", id="JSON in lines"),
        pytest.param(f"{JSON_ONE}\n---\n{JSON_TWO}\n---\n", id="JSON between separators"),
        pytest.param(f"{JSON_ONE}\n---\n{TWO}", id="JSON, then YAML"),
        pytest.param(f"{ONE}---\n{JSON_TWO}", id="YAML, then JSON"),
        pytest.param(f"{JSON_ONE}\n{TWO}", id="JSON, then YAML without a separator"),
        pytest.param(f'{{"kind": "List", "items": [{JSON_ONE}, {JSON_TWO}]}}', id="a List in JSON"),
        pytest.param("kind: List\nitems:\n- metadata: {name: one}\n- metadata: {name: two}\n", id="a List in YAML"),
        pytest.param("kind: AList\nitems: [{metadata: {name: one}}, {metadata: {name: two}}]\n", id="a typed List"),
        pytest.param("kind: List\nitems: []\n---\n" + ONE + "---\n" + TWO, id="an empty List"),
    ],
)
def test_one_file_holds_many_documents(text: str | bytes) -> None:
    assert names(text) == ["one", "two"]


def test_an_item_of_a_list_gets_the_kind_of_its_list() -> None:
    [document] = parse("file", b"apiVersion: v\nkind: MissionList\nitems: [{metadata: {name: one}}]\n")
    assert document.content == {"apiVersion": "v", "kind": "Mission", "metadata": {"name": "one"}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param('{"v": "\\ud83d\\ude00"}', "\U0001f600", id="an escaped emoji"),
        pytest.param('{\n\t"v":\t1\n}', 1, id="tabs"),
        pytest.param('{"v": 1.0}', 1, id="Go writes 1 for 1.0"),
        pytest.param('{"v": 12345678901234567890123}', 12345678901234567890123, id="an exact integer"),
        pytest.param('{"v": "yes"}', "yes", id="text stays text"),
        pytest.param('{"v": 1,}', 1, id="what is no JSON may be YAML"),
        pytest.param("{v: yes}", True, id="braces of YAML"),
    ],
)
def test_json_is_read_as_json(text: str, value: object) -> None:
    [manifest] = manifests(text)
    assert same(manifest.value["v"], value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param('{"v": NaN}', "line 1: v: NaN is not a JSON number", id="NaN in JSON"),
        pytest.param('{"v": 1e400}', "line 1: v: 1e400 is beyond", id="a number too large in JSON"),
        pytest.param('{"v": 1, "v": 2}', "line 1: v: this key is there twice", id="a key twice in JSON"),
        pytest.param('{"v": "\\ud800"}', "line 1: v: the text has half of a surrogate", id="half a pair in JSON"),
        pytest.param("\n" + '{"v": ' + "[" * 3_000, "line 2: objects and arrays are nested", id="JSON too deep"),
        pytest.param('{"v": 1}\n\n{"v": 2 "x": 3}', "line 3: not JSON: Expecting ',' delimiter", id="no JSON"),
        pytest.param('{"v": 1} x', "line 1: something follows the JSON", id="text behind JSON"),
        pytest.param("v: .inf\n", "line 1: .inf is not a JSON number", id="infinity"),
        pytest.param("a: 1\nv: -.INF\n", "line 2: -.inf is not a JSON number", id="minus infinity"),
        pytest.param("v: .nan\n", "line 1: .nan is not a JSON number", id="not a number"),
        pytest.param("v: 1e400\n", "line 1: 1e400 is beyond the largest number", id="a number too large"),
        pytest.param("v: " + "9" * 5_000 + "\n", "line 1: an integer of 5,000 digits", id="a number too long"),
        pytest.param("v: " + "[" * 100 + "]" * 100, "line 1: objects and arrays are nested", id="YAML too deep"),
        pytest.param("v: " + "[" * 100_000, "line 1: objects and arrays are nested", id="YAML without an end"),
        pytest.param("a: &a [*a]\n", "line 1: *a lies within &a", id="a value in itself"),
        pytest.param("--- {a: 1}\n", "line 1: --- stands alone", id="a document on the separator's line"),
        pytest.param("a: 1\n...\nb: 1\n", "line ", id="a document without a separator"),
        pytest.param("a: \x01\n", "line 1: unacceptable character", id="a control character"),
        pytest.param("kind: List\nitems: [5]\n", "line 2: an item of a List is an object", id="a List of numbers"),
        pytest.param("kind: List\nitems: 5\n", "line 1: items of a List is a list", id="a List without a list"),
        pytest.param("kind: List\nitems: [{kind: List}]\n", "an item of a List is an object", id="a List in a List"),
        pytest.param("5\n", "line 1: this is no object", id="a number"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(CommandError) as refused:
        list(parse("file", text.encode()))
    assert str(refused.value).startswith("file, document ")
    assert sentence in str(refused.value)


def test_a_file_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(CommandError, match="byte 3 cannot be read"):
        list(parse("file", b"a: \xe9\n"))


def bomb(levels: int) -> Iterator[str]:
    yield "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, levels):
        yield f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n"


@pytest.mark.parametrize("levels", [8, 40])
def test_aliases_that_stand_for_too_much_are_refused_before_they_are_written_out(levels: int) -> None:
    with pytest.raises(ManifestError, match="stand for too much text"):
        list(manifests("".join(bomb(levels))))


def test_a_large_text_in_many_aliases_is_refused() -> None:
    with pytest.raises(ManifestError, match="stand for too much text"):
        list(manifests(f"a: &a {'x' * 1_000_000}\nb: [{', '.join(['*a'] * 100)}]\n"))


def test_a_few_aliases_are_fine() -> None:
    [manifest] = manifests("".join(bomb(3)))
    assert len(manifest.value["a2"][8][8]) == 9


def test_a_long_file_takes_time_in_proportion() -> None:
    def seconds(count: int) -> float:
        began = time.process_time()
        assert len(list(manifests("---\n".join([ONE] * count)))) == count
        return time.process_time() - began

    few = min(seconds(500) for _ in range(3))
    assert min(seconds(4_000) for _ in range(3)) < 8 * few * 4
