"""Asks the Commander which orders may run, many at a time: each request takes what arrived during the last one."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from mission_contracts.mission import Instance
from mission_contracts.soldiering import Claim, ClaimAnswer, Verdict
from mission_soldier.backoff import Backoff
from mission_soldier.commander import Commander, CommanderAwayError, UnknownSoldierError
from mission_soldier.prefetch import Room
from mission_soldier.registration import Registrar
from mission_soldier.waiting import Received, Waiting

MOST_PER_REQUEST: Final = 256
SHORTEST_WAIT_SECONDS: Final = 0.05

log = structlog.get_logger(__name__)

Granted = Sequence[tuple[Received, ClaimAnswer]]


class Claims:
    """One request at a time. Claimed means may run now: only as many as there are slots, and a few of the fastest."""

    def __init__(
        self,
        *,
        commander: Commander,
        instance: Instance,
        registrar: Registrar,
        waiting: Waiting,
        has_handler: Callable[[str], bool],
        room: Callable[[], Room],
        is_fast: Callable[[str], bool],
        on_granted: Callable[[Granted], None],
    ) -> None:
        self._commander = commander
        self._instance = instance
        self._registrar = registrar
        self._waiting = waiting
        self._has_handler = has_handler
        self._room = room
        self._is_fast = is_fast
        self._on_granted = on_granted
        self._awake = asyncio.Event()
        self._is_closing = False
        self._none_under_way = asyncio.Event()
        self._none_under_way.set()

    def wake(self) -> None:
        """An order arrived, or a slot became free."""
        self._awake.set()

    async def run(self) -> None:
        """Claim until cancelled."""
        while True:
            await self._awake.wait()
            self._awake.clear()
            while batch := self._gather():
                await self._settle(batch)

    async def close(self, timeout_seconds: float) -> None:
        """Start no new request, and wait for the answer of the one under way, but not for ever."""
        self._is_closing = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._none_under_way.wait()

    def _gather(self) -> list[Received]:
        if self._is_closing:
            return []
        slots, ahead = self._room()
        batch = self._waiting.take(min(slots, MOST_PER_REQUEST))
        if ahead and all(self._is_quick(received) for received in batch):
            batch += self._waiting.take(min(ahead, MOST_PER_REQUEST - len(batch)), self._is_quick)
        return batch

    def _is_quick(self, received: Received) -> bool:
        return self._is_fast(received.order.envelope.type)

    async def _settle(self, batch: Sequence[Received]) -> None:
        self._none_under_way.clear()
        self._apply(batch, await self._ask([self._claim(received) for received in batch]))
        self._none_under_way.set()

    async def _ask(self, claims: Sequence[Claim]) -> Sequence[ClaimAnswer]:
        """Ask the same until it is answered: an answer that was lost is given again."""
        backoff = Backoff()
        while True:
            try:
                return await self._commander.claim(self._instance, claims)
            except UnknownSoldierError:
                await self._registrar.register()
            except CommanderAwayError as error:
                log.warning("claims are not answered, asking again", claims=len(claims), error=str(error))
            await asyncio.sleep(backoff.next())

    def _claim(self, received: Received) -> Claim:
        order = received.order
        return Claim(
            mission_id=order.envelope.mission_id,
            epoch=order.epoch,
            era=order.era,
            accepted_at=order.envelope.accepted_at,
            has_handler=self._has_handler(order.envelope.type),
            order=bytes(received.delivery.body) if received.is_told else None,
        )

    def _apply(self, batch: Sequence[Received], answers: Sequence[ClaimAnswer]) -> None:
        granted: list[tuple[Received, ClaimAnswer]] = []
        dropped: list[Received] = []
        again: list[Received] = []
        later: list[tuple[Received, ClaimAnswer]] = []
        for received, answer in zip(batch, answers, strict=True):
            match answer.verdict:
                case Verdict.RUN if self._has_handler(received.order.envelope.type):
                    granted.append((received, answer))
                case Verdict.DROP:
                    dropped.append(received)
                case Verdict.TELL if not received.is_told:
                    received.is_told = True
                    again.append(received)
                case _:  # WAIT, and what no Commander should answer
                    later.append((received, answer))
        self._drop(dropped)
        self._waiting.put_back(again)
        self._put_back_later(later)
        if granted:
            self._waiting.claimed(received for received, _ in granted)
            self._on_granted(granted)

    def _drop(self, dropped: Sequence[Received]) -> None:
        for received in dropped:
            received.delivery.ack()
        if dropped:
            self._waiting.forget(dropped)

    def _put_back_later(self, later: Granted) -> None:
        """The ledger cannot answer on these now. Others may go on meanwhile."""
        by_wait: dict[int, list[Received]] = {}
        for received, answer in later:
            by_wait.setdefault(answer.wait_ms, []).append(received)
        for wait_ms, batch in by_wait.items():
            delay = max(SHORTEST_WAIT_SECONDS, wait_ms / 1000)
            asyncio.get_running_loop().call_later(delay, self._put_back, batch)

    def _put_back(self, batch: Sequence[Received]) -> None:
        self._waiting.put_back(batch)
        self.wake()
