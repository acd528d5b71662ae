"""The cluster door, as a test uses it: kubectl to ask for things, the API server to look at what became of them."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from support.operator_stage import Object, Objects

from mission_contracts.resources import API_VERSION

PATIENCE_SECONDS: Final = 30.0


def a_mission(name: str, mission_type: str = "noop", **spec: Any) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "Mission",
        "metadata": {"name": name},
        "spec": {"type": mission_type, "payload": {}} | spec,
    }


def noted(name: str, seconds: float = 60, *, up_to: float = 0, **spec: Any) -> Object:
    """A mission that writes down what it does, and takes its time."""
    payload = {"min_seconds": seconds, "max_seconds": max(seconds, up_to), "success_rate": 1}
    return a_mission(name, "noted", payload=payload, **spec)


def a_pool(name: str, **spec: Any) -> Object:
    return {"apiVersion": API_VERSION, "kind": "SoldierPool", "metadata": {"name": name}, "spec": spec}


def file_of(objects: Iterable[Object]) -> str:
    """All in one file: a List, because some kubectls refuse JSON documents separated by `---`."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def conditions_of(status: Mapping[str, Any]) -> dict[str, Object]:
    """The conditions of a status by their type."""
    return {one["type"]: one for one in status["conditions"]}


def verdicts_of(status: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """What each condition says, and its reason."""
    return {kind: (one["status"], one["reason"]) for kind, one in conditions_of(status).items()}


def is_finished(mission: Object) -> bool:
    return "status" in mission and bool(conditions_of(mission["status"])["Finished"]["status"] == "True")


class Administrated(Protocol):
    """A namespace in which kubectl can be run as the administrator."""

    def kubectl(self, *arguments: str, stdin: str = "") -> str: ...


class ClusterDoor:
    """One namespace of one cluster."""

    def __init__(self, cluster: Administrated, objects: Objects) -> None:
        self._cluster = cluster
        self.objects = objects

    async def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as the administrator; StackError with what it says when it fails."""
        return await asyncio.to_thread(self._cluster.kubectl, *arguments, stdin=stdin)

    async def apply(self, *objects: Object) -> dict[str, str]:
        """Apply all in one file; gives their uids by name."""
        said = await self.kubectl("apply", "-f", "-", "-o", "json", stdin=file_of(objects))
        made = json.loads(said)
        items = made["items"] if made["kind"] == "List" else [made]
        return {one["metadata"]["name"]: one["metadata"]["uid"] for one in items}

    async def patch(self, name: str, change: Object, *options: str) -> None:
        await self.kubectl("patch", "mission", name, "--type=merge", f"--patch={json.dumps(change)}", *options)

    async def status(self, name: str) -> Object:
        status: Object = (await self.objects.get("missions", name)).get("status", {})
        return status

    async def until(
        self, name: str, holds: Callable[[Object], bool], what: str, *, seconds: float = PATIENCE_SECONDS
    ) -> Object:
        """Wait until a Mission's status is so; gives the status."""
        return await self.objects.until_status("missions", name, holds, f"{name} {what}", seconds=seconds)

    async def until_it_is(self, name: str, state: str, reason: str = "") -> Object:
        def holds(status: Object) -> bool:
            return status.get("state") == state and reason in {"", status.get("reason")}

        return await self.until(name, holds, f"is {state} {reason}".rstrip())

    async def until_pool(self, name: str, **numbers: int) -> Object:
        """Wait until a SoldierPool's status says these numbers; gives the status."""

        def holds(status: Object) -> bool:
            return all(status.get(name) == number for name, number in numbers.items())

        return await self.objects.until_status("soldierpools", name, holds, f"pool {name} says {numbers}")

    async def until_finished(self, names: Iterable[str], *, seconds: float = PATIENCE_SECONDS) -> dict[str, Object]:
        """Wait until these Missions have condition Finished; gives the objects by name."""
        wanted = set(names)
        deadline = time.monotonic() + seconds
        while True:
            found = {name: one for name, one in (await self.objects.all("missions")).items() if name in wanted}
            finished = sum(map(is_finished, found.values()))
            if finished == len(wanted):
                return found
            shown = Counter(f"{_of(one, 'state')} {_of(one, 'reason')}" for one in found.values())
            assert time.monotonic() < deadline, f"after {seconds:g} s {finished} of {len(wanted)}: {dict(shown)}"
            await asyncio.sleep(0.2)


def _of(mission: Object, field: str) -> str:
    return str(mission.get("status", {}).get(field, "-"))
