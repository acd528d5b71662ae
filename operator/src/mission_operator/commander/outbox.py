"""Submissions on their way: what arrives while a request is under way goes together with the next one.

Nothing here needs to outlive the process. A Mission object that was not handed over is handed over again by the next
operator that looks at it.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import msgspec
import structlog

from mission_contracts.errors import Problem
from mission_contracts.mission import MissionId
from mission_contracts.rest import BatchItem, MissionView
from mission_operator.backoff import Backoff
from mission_operator.commander.client import CommanderAwayError, CommanderRefusedError
from mission_operator.commander.reachability import Reachability

_log: Final = structlog.get_logger()

_LATER: Final = frozenset({429, 503})
"""Answers that are about the moment: a quota is reached, or the ledger is full."""
_REFUSALS: Final = frozenset({400, 409, 413, 422})
"""Answers that blame the mission. Any other (403: our role is wrong) says nothing about it, and it waits."""

MAX_ITEMS: Final = 500
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
MAX_WAITING_BYTES: Final = 64 * 1024 * 1024
SHARE_OF_FREE: Final = 4
"""Bytes that one namespace may have waiting for each byte that is free: it never takes the last one."""
MAX_HELD_UP_SECONDS: Final = 10.0


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A submission on its way: its encoded body, and whose it is."""

    mission_id: MissionId
    namespace: str
    name: str
    body: bytes
    is_ordered: bool = False
    """It has a lane, in which the order of arrival may count: no later one of its lane overtakes it."""


class _HeldUp(msgspec.Struct, frozen=True):
    """A submission that was answered, and not for good."""

    pending: Pending
    retry_after_seconds: float


class Submitting(Protocol):
    """The Commander, as far as submissions go."""

    async def submit(self, bodies: Sequence[bytes]) -> Sequence[BatchItem]: ...


OnAccepted = Callable[[Pending, MissionView], None]
OnRefused = Callable[[Pending, Problem], None]
OnHeldUp = Callable[[Pending, Problem], None]


class Outbox:
    """Hands submissions over, in the order of their arrival, one batch at a time.

    Those with a lane wait in a queue of their own: when they are held up they keep their places. What is held up is
    submitted again after the time that its answer names, and nobody else waits for it.
    """

    def __init__(
        self,
        commander: Submitting,
        reachability: Reachability,
        *,
        on_accepted: OnAccepted,
        on_refused: OnRefused,
        on_held_up: OnHeldUp = lambda _, __: None,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._commander = commander
        self._reachability = reachability
        self._on_accepted = on_accepted
        self._on_refused = on_refused
        self._on_held_up = on_held_up
        self._waiting_bytes: Counter[str] = Counter()
        self._held_up: dict[MissionId, Pending] = {}
        self._told: set[MissionId] = set()
        """Whose being held up was told: once is enough, since the numbers in the sentence change all the time."""
        self._ordered_are_held_up = False
        self._later = Backoff(last=MAX_HELD_UP_SECONDS)
        self._room = max_waiting_bytes
        self._waiting: deque[Pending] = deque()
        self._ordered: deque[Pending] = deque()
        self._unsettled: dict[MissionId, asyncio.Event] = {}
        self._withdrawn: set[MissionId] = set()
        self._arrived = asyncio.Event()

    def offer(self, pending: Pending) -> bool:
        """Take a submission; False when there is no room for its body (look at the object again later)."""
        if pending.mission_id in self._unsettled:
            return True
        size, namespace = len(pending.body), pending.namespace
        if size > self._room or self._waiting_bytes[namespace] + size > SHARE_OF_FREE * self._room:
            return False
        self._room -= size
        self._waiting_bytes[namespace] += size
        self._queue_of(pending).append(pending)
        self._unsettled[pending.mission_id] = asyncio.Event()
        self._arrived.set()
        return True

    def withdraw(self, mission_id: MissionId) -> None:
        """Do not submit it after all. What a request carries already arrives nevertheless."""
        if mission_id in self._unsettled:
            self._withdrawn.add(mission_id)
            self._go_on([mission_id])

    @property
    def is_empty(self) -> bool:
        return not self._unsettled

    def waiting(self) -> Iterator[Pending]:
        """Submissions that no request carries at this moment."""
        return iter((*self._ordered, *self._waiting, *self._held_up.values()))

    async def settled(self, mission_id: MissionId) -> None:
        """Wait until this submission was answered, so that what is said next about it comes after it."""
        if event := self._unsettled.get(mission_id):
            await event.wait()

    async def run(self) -> None:
        """Submit until cancelled."""
        backoff = Backoff(last=2.0)
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            try:
                self._hold_up(await self._send(batch))
            except CommanderAwayError as error:
                self._put_back(batch)
                self._reachability.failed()
                _log.warning("submissions wait: the Commander is away", waiting=len(self._unsettled), why=str(error))
                await asyncio.sleep(backoff.next(error.retry_after_seconds))
                continue
            backoff.reset()

    def _next_batch(self) -> list[Pending]:
        batch: list[Pending] = []
        # Half for each, so that neither queue keeps the other waiting.
        if not self._ordered_are_held_up:
            self._fill(batch, self._ordered, MAX_ITEMS // 2, MAX_BATCH_BYTES // 2)
        self._fill(batch, self._waiting, MAX_ITEMS, MAX_BATCH_BYTES)
        if not self._waiting and (not self._ordered or self._ordered_are_held_up):
            self._arrived.clear()
        return batch

    def _fill(self, batch: list[Pending], queue: deque[Pending], most: int, most_bytes: int) -> None:
        size = sum(len(one.body) for one in batch)
        while queue and len(batch) < most:
            size += len(queue[0].body)
            if batch and size > most_bytes:
                break
            one = queue.popleft()
            if one.mission_id in self._withdrawn:
                self._settle(one)
            else:
                batch.append(one)

    def _queue_of(self, pending: Pending) -> deque[Pending]:
        return self._ordered if pending.is_ordered else self._waiting

    def _put_back(self, batch: Sequence[Pending]) -> None:
        for one in reversed([one for one in batch if one.mission_id in self._unsettled]):
            self._queue_of(one).appendleft(one)
        self._arrived.set()

    def _hold_up(self, held_up: Sequence["_HeldUp"]) -> None:
        """Put these aside for as long as their answers say; only lanes keep their places."""
        if not held_up:
            return
        seconds = min(MAX_HELD_UP_SECONDS, self._later.next(max(one.retry_after_seconds for one in held_up)))
        _log.warning("the Commander cannot take some missions now", count=len(held_up), again_in_seconds=seconds)
        ordered = [one.pending for one in held_up if one.pending.is_ordered]
        others = {one.pending.mission_id: one.pending for one in held_up if not one.pending.is_ordered}
        self._ordered.extendleft(reversed(ordered))
        self._ordered_are_held_up = self._ordered_are_held_up or bool(ordered)
        self._held_up |= others
        call_later = asyncio.get_running_loop().call_later
        call_later(seconds, self._go_on, list(others))
        if ordered:
            call_later(seconds, self._go_on_with_lanes)

    def _go_on(self, ids: Sequence[MissionId]) -> None:
        self._waiting.extend(one for one in (self._held_up.pop(i, None) for i in ids) if one is not None)
        self._arrived.set()

    def _go_on_with_lanes(self) -> None:
        self._ordered_are_held_up = False
        self._arrived.set()

    async def _send(self, batch: Sequence[Pending]) -> list["_HeldUp"]:
        """Submit these together; gives those that have to be submitted again."""
        if not batch:
            return []
        try:
            answers = await self._commander.submit([one.body for one in batch])
        except CommanderRefusedError as error:
            return await self._send_apart(batch, error.problem)
        self._reachability.answered()
        taken = [self._take(one, answer) for one, answer in zip(batch, answers, strict=True)]
        held_up = [one for one in taken if one is not None]
        if not held_up and not self._held_up and not self._ordered_are_held_up:
            self._later.reset()
        return held_up

    async def _send_apart(self, batch: Sequence[Pending], problem: Problem) -> list["_HeldUp"]:
        """Find the one that spoils the batch: the whole was refused, which says nothing about its neighbours."""
        if len(batch) == 1:
            self._settle(batch[0])
            self._on_refused(batch[0], problem)
            return []
        middle = len(batch) // 2
        return [*await self._send(batch[:middle]), *await self._send(batch[middle:])]

    def _take(self, pending: Pending, answer: BatchItem) -> "_HeldUp | None":
        """Settle one answer; give what has to be submitted again."""
        problem = answer.problem
        if answer.mission is not None:
            self._settle(pending)
            self._on_accepted(pending, answer.mission)
        elif problem is not None and answer.status in _REFUSALS:
            self._settle(pending)
            self._on_refused(pending, problem)
        if pending.mission_id not in self._unsettled:
            return None
        if problem is not None and answer.status in _LATER and pending.mission_id not in self._told:
            self._told.add(pending.mission_id)
            self._on_held_up(pending, problem)
        return _HeldUp(pending, (problem.retry_after_seconds if problem else None) or 0)

    def _settle(self, pending: Pending) -> None:
        self._room += len(pending.body)
        self._waiting_bytes[pending.namespace] -= len(pending.body)
        if not self._waiting_bytes[pending.namespace]:
            del self._waiting_bytes[pending.namespace]
        self._withdrawn.discard(pending.mission_id)
        self._told.discard(pending.mission_id)
        self._unsettled.pop(pending.mission_id).set()
