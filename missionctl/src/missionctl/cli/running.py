"""`missionctl run`: one mission from the command line, and its result."""

import os
import sys
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mission_contracts import strict_json
from mission_contracts.strict_json import StrictJsonError
from missionctl.cli import connecting
from missionctl.cli.exits import CommandError, Exit
from missionctl.cli.formats import Format
from missionctl.cli.places import Flags
from missionctl.cli.screen import Screen, structured
from missionctl.cli.waiting import outcome
from missionctl.client import MissionState, MissionView, Submission, result_of


def run(
    flags: Flags, mission_type: str, payload: str, *, wait_seconds: float | None, form: Format, **options: Any
) -> None:
    """Submit, and wait if asked to; `options` are fields of the submission."""
    to = connecting.place(flags)
    options["namespace"] = options.get("namespace") or to.namespace
    given = {name: value for name, value in options.items() if value is not None}
    submission = _submission({"type": mission_type, "payload": _payload(payload), **given})
    screen = Screen()
    with connecting.connect(to, patiently=wait_seconds is not None) as control:
        mission = control.submit(submission)
        if wait_seconds is None:
            _print(mission, form, screen)
            return
        screen.remark(f"mission/{mission.mission_id}   {mission.state.camel}")
        mission = control.wait(mission.mission_id, timeout_seconds=wait_seconds)
    _print_end(mission, form, screen)


def _submission(fields: dict[str, Any]) -> Submission:
    try:
        return Submission.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise CommandError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", Exit.USAGE) from error


def _payload(text: str) -> dict[str, Any]:
    try:
        payload = strict_json.decode(_text(text), name="payload")
    except StrictJsonError as error:
        raise CommandError(str(error), Exit.USAGE) from error
    if not isinstance(payload, dict):
        raise CommandError('the payload must be a JSON object, such as {"width": 3}', Exit.USAGE)
    return payload


def _text(payload: str) -> bytes:
    if payload == "-":
        return sys.stdin.buffer.read()
    if not payload.startswith("@"):
        return os.fsencode(payload)
    try:
        return Path(payload[1:]).read_bytes()
    except (OSError, ValueError) as error:
        raise CommandError(f"the payload cannot be read: {error}", Exit.USAGE) from error


def _print(mission: MissionView, form: Format, screen: Screen) -> None:
    if form is Format.TABLE:
        screen.text(mission.mission_id)
    else:
        screen.document(structured(mission, form))


def _print_end(mission: MissionView, form: Format, screen: Screen) -> None:
    if form is not Format.TABLE:
        screen.document(structured(mission, form))
    elif mission.state is MissionState.COMPLETED:
        screen.document(structured(result_of(mission), Format.JSON))
    if mission.state is not MissionState.COMPLETED:
        raise CommandError(outcome(mission), Exit.NOT_COMPLETED)
    screen.remark(outcome(mission))
