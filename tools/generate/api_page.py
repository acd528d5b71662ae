"""docs/reference/openapi.json: the API as the Commander itself describes it."""

import json

from mission_commander.api import described


def openapi(notice: str) -> str:
    """Give the document's text, as a person reads it and a diff shows it; its first line says where it is from."""
    text = json.dumps(described.document(), indent=2, ensure_ascii=False)
    return f'{{ "x-generated": {json.dumps(notice)},\n' + text.removeprefix("{\n") + "\n"
