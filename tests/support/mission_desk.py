"""A reconciler of Missions at work between a Commander and a cluster that tests control."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from support.operator_builders import NAME, NAMESPACE, a_view
from support.patience import until

from mission_contracts.envelope import Door
from mission_contracts.errors import Problem
from mission_contracts.mission import MissionId
from mission_contracts.rest import BatchItem, MissionView
from mission_contracts.testing import FakeClock
from mission_operator.announcing import Announcer
from mission_operator.canary import Echoes
from mission_operator.commander.client import CommanderAwayError
from mission_operator.commander.reachability import Reachability
from mission_operator.kube import Answer, Listing
from mission_operator.missions.observing import shows_end
from mission_operator.missions.reconciling import MissionReconciler
from mission_operator.missions.resyncing import Resync

NOT_FOUND = Answer(404, b'{"details": {"name": "resize"}}')


class FakeCommander:
    """A Commander of a dictionary."""

    def __init__(self) -> None:
        self.missions: dict[MissionId, MissionView] = {}
        self.submitted: Counter[str] = Counter()
        self.cancelled: list[tuple[str, bool]] = []
        self.suspended: list[tuple[str, bool]] = []
        self.acknowledged: set[str] = set()
        self.refuses = False
        self.is_full = False
        self.is_away = False

    async def submit(self, bodies: Sequence[bytes]) -> Sequence[BatchItem]:
        self._answering()
        return [self._accept(msgspec.json.decode(body)) for body in bodies]

    def _accept(self, body: dict[str, Any]) -> BatchItem:
        mission_id = MissionId(body["mission_id"])
        self.submitted[mission_id] += 1
        if self.refuses:
            return BatchItem(status=422, problem=Problem(title="No", status=422, detail="not so", code="Refused"))
        if self.is_full:
            problem = Problem(title="Not now", status=503, detail="no room", code="LedgerFull", retry_after_seconds=1)
            return BatchItem(status=503, problem=problem)
        floor = body.get("floor", {}).get("sequence", 0)
        view = a_view(mission_id=mission_id, sequence=floor + 1, name=body["name"], door=Door.CLUSTER)
        return BatchItem(status=202, mission=self.missions.setdefault(mission_id, view))

    async def acknowledge(self, ids: Sequence[MissionId]) -> None:
        self._answering()
        self.acknowledged.update(ids)

    async def set_suspend(self, mission_id: MissionId, suspend: bool) -> MissionView | None:
        self._answering()
        self.suspended.append((mission_id, suspend))
        return self.missions.get(mission_id)

    async def cancel(self, mission_id: MissionId, *, deleted: bool) -> MissionView | None:
        self._answering()
        self.cancelled.append((mission_id, deleted))
        return self.missions.get(mission_id)

    async def lookup(self, ids: Sequence[MissionId]) -> Sequence[MissionView | None]:
        self._answering()
        return [self.missions.get(one) for one in ids]

    async def live_missions(self, namespace: str) -> AsyncIterator[tuple[MissionView, ...]]:
        self._answering()
        yield tuple(one for one in self.missions.values() if not one.state.is_final)

    async def unacknowledged_missions(self, namespace: str) -> AsyncIterator[tuple[MissionView, ...]]:
        self._answering()
        yield tuple(
            one for one in self.missions.values() if one.state.is_final and one.mission_id not in self.acknowledged
        )

    def _answering(self) -> None:
        if self.is_away:
            raise CommanderAwayError("away")


class FakeCluster:
    """Mission objects in a dictionary; patches are taken and kept."""

    def __init__(self, *, leaves_out_ended: bool = False) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.statuses: dict[str, list[dict[str, Any]]] = {}
        self.version = 100
        self.deleted: list[str] = []
        self.faults: list[Answer | Exception] = []
        """What comes in place of the next answers to a read."""
        self._leaves_out_ended = leaves_out_ended
        self._before_writing, self._answers = asyncio.Event(), asyncio.Event()
        self._before_writing.set()
        self._answers.set()

    def hold_answers(self, *, before_writing: bool = False) -> None:
        """Write statuses, but do not answer; or do not write them either."""
        (self._before_writing if before_writing else self._answers).clear()

    def release_answers(self) -> None:
        self._answers.set()

    def put(self, body: dict[str, Any]) -> dict[str, Any]:
        self.objects[body["metadata"]["name"]] = body
        return body

    async def patch_status(self, view: MissionView, patch: bytes) -> Answer:
        await self._before_writing.wait()
        test, add = msgspec.json.decode(patch)
        body = self.objects.get(view.name)
        if body is None:
            return NOT_FOUND
        if body["metadata"]["uid"] != test["value"]:
            return Answer(422, b"{}")
        self.version += 1
        body["status"] = add["value"]
        body["metadata"]["resourceVersion"] = str(self.version)
        self.statuses.setdefault(view.name, []).append(add["value"])
        answer = Answer(200, msgspec.json.encode({"metadata": body["metadata"]}))
        await self._answers.wait()
        return answer

    async def get(self, view: MissionView) -> Answer:
        return await self.read(view.namespace, view.name)

    async def read(self, namespace: str, name: str) -> Answer:
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            return fault
        return Answer(200, msgspec.json.encode(self.objects[name])) if name in self.objects else NOT_FOUND

    async def delete(self, namespace: str, name: str, mission_id: MissionId) -> Answer:
        self.deleted.append(name)
        return Answer(200, b"{}")

    async def pages(self) -> AsyncIterator[tuple[dict[str, Any], ...]]:
        yield self._listed()

    async def listing(self) -> Listing:
        return Listing(frozenset(one["metadata"]["uid"] for one in self._listed()), self.version)

    def _listed(self) -> tuple[dict[str, Any], ...]:
        every = tuple(self.objects.values())
        return tuple(one for one in every if not shows_end(one)) if self._leaves_out_ended else every

    async def request(self, method: str, path: str, body: bytes | None = None) -> Answer:
        return Answer(201, b"{}")


class Desk:
    """A reconciler at work between a fake Commander and a fake cluster."""

    def __init__(self, *, leaves_out_ended: bool = False) -> None:
        clock = FakeClock()
        self.commander = FakeCommander()
        self.cluster = FakeCluster(leaves_out_ended=leaves_out_ended)
        self.missions = MissionReconciler(
            self.commander,
            self.cluster,
            Reachability(clock),
            Announcer(self.cluster, clock, "me"),
            Echoes(clock),
            clock,
            on_room=lambda: None,
            hold_seconds=0.01,
            leaves_out_ended=leaves_out_ended,
        )
        self.resync = Resync(self.missions, self.commander, self.cluster, NAMESPACE, every_seconds=300)

    def look(self, body: dict[str, Any], *, is_gone: bool = False) -> None:
        self.missions.look(body, is_gone=is_gone)

    def leave(self, before: dict[str, Any]) -> None:
        """Show an object as a watch of what lives does when it leaves it: as it was, with a new version."""
        metadata = before["metadata"] | {"resourceVersion": str(self.cluster.version + 1)}
        without_end = {name: value for name, value in before.items() if name != "status"}
        self.missions.look(without_end | {"metadata": metadata}, is_gone=True)

    @asynccontextmanager
    async def working(self) -> AsyncIterator["Desk"]:
        """Work while the context is open."""
        work = asyncio.create_task(self.missions.run())
        yield self
        work.cancel()
        await asyncio.wait([work])

    def status(self, name: str = NAME) -> dict[str, Any]:
        return dict(self.cluster.objects[name].get("status", {}))


async def accepted(desk: Desk, body: dict[str, Any]) -> None:
    """Let a mission come to the Commander and its status to the object."""
    desk.cluster.put(body)
    desk.look(body)
    name = body["metadata"]["name"]
    await until(lambda: bool(desk.status(name)), f"{name} has a status")
    desk.look(desk.cluster.objects[name])
