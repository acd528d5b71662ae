"""What a watcher of Missions saw: every version of every object, in the order of the API server."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from support.operator_stage import Object, Objects

from mission_contracts.mission import TRANSITIONS, MissionState

PATIENCE_SECONDS: Final = 20.0
_ORDER: Final = {MissionState.QUEUED: 0, MissionState.IN_PROGRESS: 1}


class History:
    """The statuses that each Mission showed, oldest first, by the object's name."""

    def __init__(self) -> None:
        self._seen: defaultdict[str, list[Object]] = defaultdict(list)
        self.recording: asyncio.Task[None] | None = None

    def add(self, mission: Object) -> None:
        """Keep a version's status, if it has one that was not the last one's."""
        status, seen = mission.get("status"), self._seen[mission["metadata"]["name"]]
        if status and (not seen or seen[-1] != status):
            seen.append(status)

    async def until_it_shows(self, missions: Mapping[str, Object]) -> None:
        """Wait until the watch has come as far as these objects."""

        def behind() -> list[str]:
            return [name for name, one in missions.items() if one["status"] not in self._seen[name]]

        deadline = time.monotonic() + PATIENCE_SECONDS
        while names := behind():
            seen = {name: (missions[name]["status"], self._seen[name][-1:]) for name in names[:1]}
            assert time.monotonic() < deadline, f"{len(names)} were not seen as they are, for example {seen}"
            assert self.recording is None or not self.recording.done(), f"the watch ended: {self.recording}"
            await asyncio.sleep(0.05)

    def assert_numbers_never_fall(self) -> None:
        """Sequence and epoch of one object only grow, and a new status has a new sequence."""
        for name, statuses in self._seen.items():
            sequences = [one["sequence"] for one in statuses]
            assert sequences == sorted(set(sequences)), f"{name}: {statuses}"
            epochs = [one.get("epoch", 0) for one in statuses]
            assert epochs == sorted(epochs), f"{name}: {epochs}"

    def assert_ends_are_written_once(self) -> None:
        """Each write costs the API server as much as the mission's own creation."""
        for name, states in self._states():
            assert sum(state.is_final for state in states) == 1, f"{name}: {self._seen[name]}"

    def assert_states_only_move_on(self) -> None:
        """A state follows an earlier one as the transition table allows, and nothing follows a final one."""
        for name, states in self._states():
            for before, after in pairwise(states):
                assert _can_follow(before, after), f"{name} went from {before} to {after}: {states}"

    def assert_states_never_go_back(self) -> None:
        """As above, and none is queued again: nothing went wrong on the way."""
        self.assert_states_only_move_on()
        for name, states in self._states():
            order = [_ORDER.get(state, 2) for state in states]
            assert order == sorted(order), f"{name} went back: {states}"

    def _states(self) -> Sequence[tuple[str, Sequence[MissionState]]]:
        return [
            (name, [MissionState.from_camel(one["state"]) for one in statuses]) for name, statuses in self._seen.items()
        ]


def _can_follow(before: MissionState, after: MissionState) -> bool:
    """Statuses are written coalesced, so a watcher may miss states in between."""
    if before is after:
        return True
    return after in TRANSITIONS[before] or any(after in TRANSITIONS[between] for between in TRANSITIONS[before])


@contextlib.asynccontextmanager
async def watched(objects: Objects) -> AsyncIterator[History]:
    """Record all Missions from now on; the watch must live until the block ends."""
    history = History()
    task = history.recording = asyncio.create_task(_record(objects, history))
    try:
        yield history
        assert not task.done(), f"the watch ended early, so that the history has a gap: {task.exception()!r}"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _record(objects: Objects, history: History) -> None:
    listed = await objects.request("GET", objects.path("missions"))
    for mission in listed["items"]:
        history.add(mission)
    version = listed["metadata"]["resourceVersion"]
    while True:  # an API server may end a watch at any time; from where it ended nothing is missed
        async for event in objects.watch("missions", after=version):
            history.add(event["object"])
            version = event["object"]["metadata"]["resourceVersion"]
