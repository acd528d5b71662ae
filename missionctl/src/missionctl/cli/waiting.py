"""`missionctl wait` and `missionctl cancel`: what one does to missions by their names."""

from collections.abc import Sequence

from mission_contracts.resources import duration_text
from missionctl.cli import connecting, naming
from missionctl.cli.exits import CommandError, Exit
from missionctl.cli.places import Flags
from missionctl.cli.screen import Screen
from missionctl.cli.tables import name_of
from missionctl.client import Filter, MissionControlSync, MissionId, MissionState, MissionView


def wait(flags: Flags, words: Sequence[str], *, every: bool, namespace: str | None, timeout_seconds: float) -> None:
    """Wait until all are final, whichever way."""
    if bool(words) == every:
        raise CommandError("say which missions: their names or ids, or --all, and not both", Exit.USAGE)
    to = connecting.place(flags)
    with connecting.connect(to, patiently=True) as control:
        ids = _chosen(control, words, namespace or to.namespace)
        missions = control.wait_all(ids, timeout_seconds=timeout_seconds) if ids else []
    _print(missions)


def _chosen(control: MissionControlSync, words: Sequence[str], namespace: str | None) -> list[MissionId]:
    if words:
        return naming.ids_of(control, words, namespace)
    return [mission.mission_id for mission in control.missions(Filter(namespace=namespace))]


def _print(missions: Sequence[MissionView]) -> None:
    screen = Screen()
    for mission in missions:
        screen.mission(mission, "" if mission.state is MissionState.COMPLETED else mission.message)
    failed = [mission for mission in missions if mission.state is not MissionState.COMPLETED]
    if failed:
        raise CommandError(f"{len(failed)} of {len(missions)} missions did not complete", Exit.NOT_COMPLETED)


def cancel(flags: Flags, words: Sequence[str], *, namespace: str | None, message: str) -> None:
    """Cancel each; what is final already stays as it is."""
    screen = Screen()
    to = connecting.place(flags)
    with connecting.connect(to) as control:
        for mission_id in naming.ids_of(control, words, namespace or to.namespace):
            mission = control.cancel(mission_id, message=message)
            screen.mission(mission, "" if mission.state.is_final else "will stop: cancellation is on its way")


def outcome(mission: MissionView) -> str:
    """How it ended, in one line."""
    took = f" after {duration_text(mission.duration_seconds)}" if mission.duration_seconds is not None else ""
    why = f": {mission.message}" if mission.message else ""
    return f"mission/{name_of(mission)} {mission.state.camel} ({mission.reason}){took}{why}"
