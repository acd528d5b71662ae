"""People say names, the Commander speaks of ids."""

import uuid
from collections.abc import Sequence

from missionctl.cli.exits import CommandError, Exit
from missionctl.client import Filter, MissionControlSync, MissionId


def ids_of(control: MissionControlSync, words: Sequence[str], namespace: str | None) -> list[MissionId]:
    """Give the id for each id or name; a name means the newest mission that has it."""
    wanted = {_bare(word) for word in words if not is_id(_bare(word))}
    known = _named(control, wanted, namespace) if wanted else {}
    return [MissionId(_bare(word)) if is_id(_bare(word)) else known[_bare(word)] for word in words]


def is_id(word: str) -> bool:
    """Tell an id from a name; a name that looks like a UUID cannot be told apart, and is taken for an id."""
    try:
        uuid.UUID(word)
    except ValueError:
        return False
    return True


def _bare(word: str) -> str:
    return word.removeprefix("mission/")


def _named(control: MissionControlSync, wanted: set[str], namespace: str | None) -> dict[str, MissionId]:
    known: dict[str, MissionId] = {}
    for mission in control.missions(Filter(namespace=namespace)):
        if mission.name in wanted:
            known.setdefault(mission.name, mission.mission_id)
        if len(known) == len(wanted):
            return known
    missing = ", ".join(sorted(wanted - known.keys()))
    raise CommandError(f"there is no mission {missing}: `missionctl get` lists what there is", Exit.REFUSED)
