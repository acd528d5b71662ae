"""Whatever is typed, or stands in a file, ends in one sentence and an exit code, never in a traceback."""

import json
import re
from collections.abc import Callable
from typing import Final

import pytest
from support import hostile
from support.hostile import Hostile
from typer.testing import Result

from missionctl.testing import FakeCommander

Run = Callable[..., Result]

OBEYED: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
MAX_CHARACTERS: Final = 100_000
"""An argument of the system is at most 128 KiB."""

COMMANDS: Final = (
    ("run", "TEXT"),
    ("run", "noop", "--payload", "TEXT"),
    ("run", "noop", "--payload", "@TEXT"),
    ("run", "noop", "--pool", "TEXT"),
    ("run", "noop", "--namespace", "TEXT"),
    ("get", "TEXT"),
    ("get", "--namespace", "TEXT"),
    ("get", "--state", "TEXT"),
    ("describe", "TEXT"),
    ("cancel", "TEXT"),
    ("wait", "TEXT"),
    ("apply", "-f", "TEXT"),
    ("apply", "-f", "-", "--namespace", "TEXT"),
)
MISSION: Final = """
apiVersion: missioncontrol.dev/v1alpha1
kind: Mission
metadata: {name: one}
spec: {type: noop, payload: %s}
"""

pytestmark = pytest.mark.timeout(120)


def check(result: Result) -> None:
    """The fixture has let no exception pass but the command's own end."""
    assert result.exit_code in range(5)
    if result.exit_code in {3, 4}:
        assert result.stderr.startswith("error: ")
    if "Usage:" not in result.stderr:  # what typer prints itself is typer's
        assert not OBEYED.search(result.stdout + result.stderr)


@pytest.mark.parametrize("text", hostile.params(hostile.TEXTS))
def test_a_hostile_argument_is_refused_or_sent(run: Run, commander: FakeCommander, text: Hostile[str]) -> None:
    made = str.__getitem__(text.make(), slice(MAX_CHARACTERS))
    for words in COMMANDS:
        check(run(*(word.replace("TEXT", made) for word in words), input=MISSION % "{}"))
    assert run("run", "noop").exit_code == 0


@pytest.mark.parametrize("text", hostile.params(hostile.TEXTS))
def test_a_hostile_text_in_a_file_is_refused_or_sent(run: Run, text: Hostile[str]) -> None:
    encoded = str.encode(text.make(), errors="surrogatepass")[:MAX_CHARACTERS]
    in_payload = (MISSION % "").encode() + b"  " + encoded
    in_name = (MISSION % "{}").encode().replace(b"one", encoded)
    for data in (encoded, in_payload, in_name):
        check(run("apply", "-f", "-", input=data))


@pytest.mark.parametrize("document", hostile.params(hostile.DOCUMENTS))
def test_a_hostile_document_is_refused_or_sent(run: Run, document: Hostile[bytes]) -> None:
    made = document.make()
    mission = json.dumps({"apiVersion": "missioncontrol.dev/v1alpha1", "kind": "Mission", "metadata": {"name": "one"}})
    in_json = mission.encode()[:-1] + b', "spec": {"type": "noop", "payload": ' + made + b"}}"
    for data in (made, in_json, *([(MISSION % "").encode()[:-2] + made + b"}\n"] if len(made) < 1_000_000 else [])):
        check(run("apply", "-f", "-", input=data))
    check(run("run", "noop", "--payload", "-", input=made))
