"""Comparing everything with the Commander: after each gap in its event stream, and now and then without one.

What the Commander does not know (its ledger was wiped) is submitted again, with the object's status as floor. What it
keeps alive for an object that is gone is cancelled. What it knows better is written. What it keeps only for want of an
acknowledgement is acknowledged.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final, Protocol

import structlog

from mission_contracts.mission import MissionId
from mission_contracts.rest import MAX_BATCH, MissionView
from mission_operator.backoff import Backoff
from mission_operator.commander.client import CommanderAwayError, CommanderRefusedError
from mission_operator.kube import Answer, KubeAwayError, Listing, Partial
from mission_operator.missions.reconciling import MissionReconciler

_log: Final = structlog.get_logger()
_FEW: Final = 100
"""Up to so many objects are read one by one; more are faster found in a list of all."""


_LEFTOVERS_EVERY: Final = 12
"""The first comparison and every twelfth look for ends to acknowledge: the Commander reads all its records for that."""


class Looking(Protocol):
    """The Commander, as far as comparing goes."""

    async def lookup(self, ids: Sequence[MissionId]) -> Sequence[MissionView | None]: ...
    def live_missions(self, namespace: str) -> AsyncIterator[tuple[MissionView, ...]]: ...
    def unacknowledged_missions(self, namespace: str) -> AsyncIterator[tuple[MissionView, ...]]: ...


class Reading(Protocol):
    """The API server, as far as reading Missions goes."""

    async def read(self, namespace: str, name: str) -> Answer: ...
    def pages(self) -> AsyncIterator[tuple[dict[str, Any], ...]]: ...
    async def listing(self) -> Listing: ...


class Resync:
    """Compares when asked to, and every so often."""

    def __init__(
        self, missions: MissionReconciler, commander: Looking, objects: Reading, namespace: str, *, every_seconds: float
    ) -> None:
        self._missions = missions
        self._commander = commander
        self._objects = objects
        self._namespace = namespace
        self._every_seconds = every_seconds
        self._asked = asyncio.Event()
        self._compared = 0

    def ask(self, why: str) -> None:
        """Compare soon; asking twice before it began is asking once."""
        _log.info("comparing with the Commander", why=why)
        self._asked.set()

    async def run(self) -> None:
        """Compare until cancelled."""
        backoff = Backoff(first=0.5, last=10)
        while True:
            await self._wait()
            self._asked.clear()
            try:
                await self.compare()
            except (CommanderAwayError, KubeAwayError) as error:
                _log.warning("the comparison was cut short and starts again", why=str(error))
                await asyncio.sleep(backoff.next())
                self._asked.set()
            else:
                backoff.reset()

    async def _wait(self) -> None:
        spread = random.uniform(0.9, 1.1)  # noqa: S311 - spread, not secrecy
        try:
            async with asyncio.timeout(self._every_seconds * spread):
                await self._asked.wait()
        except TimeoutError:
            pass

    async def compare(self) -> None:
        """Compare once, both ways."""
        await self._submit_the_unknown()
        await self._cancel_the_orphans()
        if self._compared % _LEFTOVERS_EVERY == 0:
            await self._acknowledge_the_leftovers()
        self._compared += 1

    async def _submit_the_unknown(self) -> None:
        unknown = set(self._missions.index.unsubmitted())
        for ids in _batches(tuple(self._missions.index.unfinished())):
            views = await self._commander.lookup(ids)
            for mission_id, view in zip(ids, views, strict=True):
                if view is not None:
                    self._missions.take_view(view)
                elif not self._missions.index.of(mission_id).is_gone:
                    unknown.add(mission_id)
                else:
                    self._missions.index.forget(mission_id)
        if unknown:
            _log.warning("the Commander does not know some missions; they are submitted again", count=len(unknown))
            async for body in self._bodies(unknown):
                self._missions.look_again(body)

    async def _bodies(self, ids: set[MissionId]) -> AsyncIterator[dict[str, Any]]:
        if len(ids) > _FEW:
            async for page in self._objects.pages():
                for body in page:
                    if body["metadata"]["uid"] in ids:
                        yield body
            return
        for mission_id in ids:
            known = self._missions.index.of(mission_id)
            answer = await self._objects.read(known.namespace, known.name)
            found = answer.object() if answer.is_ok else None
            if found is not None and found["metadata"]["uid"] == mission_id:
                yield found

    async def _cancel_the_orphans(self) -> None:
        # First the Commander, then the cluster: an object always exists before its mission does.
        alive = [one async for page in self._live() for one in page]
        unseen = self._missions.unseen()
        listing = await self._objects.listing()
        for view in alive:
            if view.mission_id not in listing.uids and await self._is_gone(view):
                self._missions.found_gone(view.mission_id)
        gone = (mission_id for mission_id in unseen if mission_id not in listing.uids)
        for mission_id in (*gone, *self._missed_deletions(listing)):
            self._missions.found_gone(mission_id)

    async def _live(self) -> AsyncIterator[tuple[MissionView, ...]]:
        try:
            async for page in self._commander.live_missions(self._namespace):
                yield page
        except CommanderRefusedError as error:
            _log.error("the Commander does not list its live missions; deleted ones may live on", why=str(error))

    async def _acknowledge_the_leftovers(self) -> None:
        """An end that nobody acknowledges (no operator lived when its object went) would be kept for ever."""
        # First the Commander, then the cluster, as above.
        over = [one.mission_id async for page in self._leftovers() for one in page]
        if not over:
            return
        listing = await self._objects.listing()
        for mission_id in over:
            if mission_id not in listing.uids or self._missions.index.of(mission_id).is_final:
                self._missions.found_told(mission_id)

    async def _leftovers(self) -> AsyncIterator[tuple[MissionView, ...]]:
        try:
            async for page in self._commander.unacknowledged_missions(self._namespace):
                yield page
        except CommanderRefusedError as error:
            _log.error("the Commander does not list what was not acknowledged; it keeps it", why=str(error))

    async def _is_gone(self, view: MissionView) -> bool:
        answer = await self._objects.read(view.namespace, view.name)
        if answer.is_ok:
            return answer.read(Partial).metadata.uid != view.mission_id
        return answer.names_no_object

    def _missed_deletions(self, listing: Listing) -> Iterable[MissionId]:
        seen = tuple(self._missions.index.seen_before(listing.resource_version))
        return (mission_id for mission_id in seen if mission_id not in listing.uids)


def _batches(ids: Sequence[MissionId]) -> Iterable[Sequence[MissionId]]:
    return (ids[start : start + MAX_BATCH] for start in range(0, len(ids), MAX_BATCH))
