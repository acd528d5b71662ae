"""Statuses into objects: only the newest of each, few at a time, and never backwards.

A status that is not final is written once it held for 100 ms, a final one at once; so a short mission costs one
write. What waits, and says so already, is told why anew once that held for half a second: after a fault the reason
changes for all that waits at once, and little of it waits for long. Within one object there is never more than one
write under way. Between objects, ends go first where the API server is slow: people and pipelines wait for them, and
what is not final is often overtaken by its own end meanwhile.
"""

import asyncio
import itertools
from collections.abc import Callable
from enum import StrEnum
from typing import Final, Protocol

import structlog

from mission_contracts.mission import MissionId, MissionState
from mission_contracts.rest import MissionView
from mission_operator.backoff import Backoff, Pause
from mission_operator.kube import Answer, KubeAwayError
from mission_operator.missions.observing import sequence_shown

_log: Final = structlog.get_logger()

_TICK_SECONDS: Final = 0.001
"""The event loop counts in milliseconds: a timer that rings this early is on time."""
_MOST_SECONDS_BETWEEN_TRIES: Final = 0.5
"""While the API server is away. What waits is written within that time of its return."""
_HEAD_START_SECONDS: Final = 2.0
"""So much longer than an end does any other status wait at most, so that no flood of ends hides what runs."""
_NOT_FOUND: Final = 404
_SERVER_FAULT: Final = 500
_AGAIN: Final = frozenset({401, 403, 408, 409, 429, _SERVER_FAULT, 502, 503, 504})
MAX_SERVER_FAULTS: Final = 8
"""After so many in a row for one object the fault is this status: the API server says 500 also where it cannot store
an object at all."""
_TOO_LARGE: Final = "too large"
"""What etcd says, as the API server passes it on with 500."""


class StatusApi(Protocol):
    """The API server, as far as statuses go."""

    async def patch_status(self, view: MissionView, patch: bytes) -> Answer: ...
    async def get(self, view: MissionView) -> Answer: ...


class Rendering(Protocol):
    """Makes the patch for a view."""

    def full(self, view: MissionView) -> bytes: ...
    def minimal(self, view: MissionView) -> bytes: ...
    def bare(self, view: MissionView) -> bytes: ...


class Fate(StrEnum):
    """What became of a status."""

    WRITTEN = "written"
    STALE = "stale"  # the object shows this sequence or a later one
    GONE = "gone"  # the object is no more, or another one has its name
    REFUSED = "refused"  # no status was taken, not the barest either


_Turn = tuple[float, int, MissionId]
"""When it became ready, with a head start for ends; its ticket; whose it is."""


class _Slot:
    """The statuses of one object: the newest that waits, and the one being written."""

    __slots__ = (
        "backoff", "changed_at", "faults", "first_at", "flying", "is_ahead", "newest", "not_before", "ticket", "timer",
    )  # fmt: skip

    def __init__(self) -> None:
        self.newest: MissionView | None = None
        self.flying: MissionView | None = None
        self.first_at = self.changed_at = self.not_before = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.ticket = 0
        """Its place in the queue of those that are written next; 0 while it has none."""
        self.is_ahead = False
        """That is an end's place."""
        self.backoff = Backoff()
        self.faults = 0
        """Answers of 500 in a row."""

    @property
    def sequence(self) -> int:
        view = self.newest or self.flying
        return view.sequence if view else -1

    def keep(self, view: MissionView, now: float) -> None:
        if self.newest is None:
            self.first_at = now
        self.newest, self.changed_at = view, now


class StatusWriter:
    """Takes views as they come, and keeps objects up to date with them."""

    def __init__(
        self,
        api: StatusApi,
        rendering: Rendering,
        *,
        sequence_shown: Callable[[MissionId], int],
        on_fate: Callable[[MissionView, Fate, Answer | None], None],
        in_flight: int = 32,
        hold_seconds: float = 0.1,
        hold_waiting_seconds: float = 0.5,
        hold_at_most_seconds: float = 1.0,
        head_start_seconds: float = _HEAD_START_SECONDS,
        max_server_faults: int = MAX_SERVER_FAULTS,
    ) -> None:
        self._api = api
        self._rendering = rendering
        self._sequence_shown = sequence_shown
        self._on_fate = on_fate
        self._in_flight = in_flight
        self._hold = hold_seconds
        self._hold_waiting = hold_waiting_seconds
        self._hold_at_most = hold_at_most_seconds
        self._slots: dict[MissionId, _Slot] = {}
        self._head_start = head_start_seconds
        self._max_server_faults = max_server_faults
        self._tickets = itertools.count(1)
        self._ready: asyncio.PriorityQueue[_Turn] = asyncio.PriorityQueue()
        self._ends: asyncio.PriorityQueue[_Turn] = asyncio.PriorityQueue()
        self._outage = Pause(Backoff(last=_MOST_SECONDS_BETWEEN_TRIES))
        self.written = 0
        self.minimal_written = 0

    def __len__(self) -> int:
        """Objects whose status waits or is being written."""
        return len(self._slots)

    def offer(self, view: MissionView) -> None:
        """Keep this view, if it is newer than what is kept and what the object shows."""
        slot = self._slots.get(view.mission_id)
        if view.sequence <= max(self._sequence_shown(view.mission_id), slot.sequence if slot else -1):
            return
        slot = slot or self._slots.setdefault(view.mission_id, _Slot())
        slot.keep(view, _now())
        self._schedule(view.mission_id, slot)

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            # Half of the hands take ends only: a slow write that is under way makes room for nobody.
            for number in range(self._in_flight):
                group.create_task(self._work(self._ends if number % 2 else self._ready))

    def _schedule(self, mission_id: MissionId, slot: _Slot) -> None:
        if slot.flying is not None or slot.newest is None:
            return
        if slot.ticket and (slot.is_ahead or not slot.newest.state.is_final):
            return
        due = self._due(slot, slot.newest)
        if due <= _now() + _TICK_SECONDS:
            self._release(mission_id, slot, slot.newest)
        elif slot.timer is None:
            slot.timer = asyncio.get_running_loop().call_at(due, self._ring, mission_id, slot)

    def _due(self, slot: _Slot, newest: MissionView) -> float:
        if newest.state.is_final:
            return slot.not_before
        waits_on = newest.state is MissionState.QUEUED and self._sequence_shown(newest.mission_id) > 0
        hold = self._hold_waiting if waits_on else self._hold
        return max(slot.not_before, min(slot.changed_at + hold, slot.first_at + self._hold_at_most))

    def _ring(self, mission_id: MissionId, slot: _Slot) -> None:
        slot.timer = None
        self._schedule(mission_id, slot)

    def _release(self, mission_id: MissionId, slot: _Slot, newest: MissionView) -> None:
        """Queue it; where it queued before, as what it is no more, that place is void."""
        if slot.timer:
            slot.timer.cancel()
            slot.timer = None
        slot.ticket, slot.is_ahead = next(self._tickets), newest.state.is_final
        if slot.is_ahead:
            turn = (_now() - self._head_start, slot.ticket, mission_id)
            self._ends.put_nowait(turn)  # and below: who comes first takes the ticket, and finds it void otherwise
        else:
            turn = (_now(), slot.ticket, mission_id)
        self._ready.put_nowait(turn)

    async def _work(self, turns: asyncio.PriorityQueue[_Turn]) -> None:
        while True:
            _, ticket, mission_id = await turns.get()
            await self._outage.over()
            slot = self._slots.get(mission_id)
            if slot is not None and slot.ticket == ticket:
                await self._write_newest(mission_id, slot)

    async def _write_newest(self, mission_id: MissionId, slot: _Slot) -> None:
        view = slot.newest
        assert view is not None  # noqa: S101 - a slot is ready only when it has something to write
        slot.ticket, slot.newest, slot.flying = 0, None, view
        try:
            fate, answer = await self._write(view, is_stubborn=slot.faults >= self._max_server_faults)
        except KubeAwayError:
            slot.newest = slot.newest or view
            self._outage.failed()
        except _AgainError as again:
            slot.newest = slot.newest or view
            slot.not_before = _now() + slot.backoff.next(again.after_seconds)
            slot.faults = slot.faults + 1 if again.is_server_fault else 0
        except Exception as error:  # noqa: BLE001 - one status must not end the writing of all others
            _log.error("a status could not be written", mission_id=view.mission_id, name=view.name, why=repr(error))
            self._on_fate(view, Fate.REFUSED, None)
        else:
            slot.not_before, slot.faults = 0.0, 0
            slot.backoff.reset()
            self._on_fate(view, fate, answer)
        finally:
            slot.flying = None
        if slot.newest is None:
            del self._slots[mission_id]
        else:
            self._schedule(mission_id, slot)

    async def _write(self, view: MissionView, *, is_stubborn: bool) -> tuple[Fate, Answer | None]:
        answer = await self._patch(view, self._rendering.full(view), is_stubborn=is_stubborn)
        if answer.is_ok:
            self.written += 1
            return Fate.WRITTEN, answer
        if answer.names_no_object:
            return Fate.GONE, None
        return await self._look_why(view, answer)

    async def _look_why(self, view: MissionView, refusal: Answer) -> tuple[Fate, Answer | None]:
        fate = _fate_by(self._worth_reading(await self._api.get(view)), view)
        if fate is not None:
            return fate, None
        for render in (self._rendering.minimal, self._rendering.bare):
            answer = await self._patch(view, render(view), is_stubborn=True)
            _log.warning(
                "the API server refused a status, a smaller one was tried",
                mission_id=view.mission_id, name=view.name, why=refusal.message, accepted=answer.is_ok,
            )  # fmt: skip
            if answer.is_ok:
                self.minimal_written += 1
                return Fate.WRITTEN, answer
        return Fate.REFUSED, None

    async def _patch(self, view: MissionView, patch: bytes, *, is_stubborn: bool) -> Answer:
        """Try this status; a server's fault is an answer too if it is stubborn, or is about the object's size."""
        answer = await self._api.patch_status(view, patch)
        if answer.status == _SERVER_FAULT and (is_stubborn or _TOO_LARGE in answer.message):
            self._outage.answered()
            return answer
        return self._worth_reading(answer)

    def _worth_reading(self, answer: Answer) -> Answer:
        self._outage.answered()
        # A 404 that names no object says that the API server does not serve Missions at this moment.
        if answer.status in _AGAIN or (answer.status == _NOT_FOUND and not answer.names_no_object):
            raise _AgainError(answer.retry_after_seconds or 0, is_server_fault=answer.status == _SERVER_FAULT)
        return answer


class _AgainError(Exception):
    def __init__(self, after_seconds: float, *, is_server_fault: bool) -> None:
        self.after_seconds = after_seconds
        self.is_server_fault = is_server_fault


def _now() -> float:
    return asyncio.get_running_loop().time()


def _fate_by(answer: Answer, view: MissionView) -> Fate | None:
    """Explain a refusal by what the object is now; None when the object gives no reason for it."""
    if answer.names_no_object:
        return Fate.GONE
    body = answer.object() if answer.is_ok else None
    if body is None:
        return None
    if body["metadata"]["uid"] != view.mission_id:
        return Fate.GONE
    return Fate.STALE if sequence_shown(body) >= view.sequence else None
