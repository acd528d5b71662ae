"""Connections that break at chosen moments, hang, or are slow."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Final

from chaos import sink
from chaos.errors import ChaosError
from chaos.faults.base import Clock, Fault, Stuck
from chaos.ground import (
    API_SERVER,
    COMMANDER,
    COMMANDERS,
    OPERATOR,
    RABBITMQ,
    REDIS,
    SLOTS,
    SOLDIERS,
    Ground,
    until,
    within,
)
from chaos.sink import Deed

BASIC_ACK: Final = b"\x00\x3c\x00\x50"
"""Class and method as AMQP writes them: from the broker a confirm, from a consumer an acknowledgement."""
GRANTED: Final = b'"verdict":"RUN"'
STRIKES: Final = 2
"""Connections of each process that a chosen moment breaks, one after the other."""
STRIKE_SECONDS: Final = 20.0
WATCH_QUIET_SECONDS: Final = 1.5
LONGEST_SHORT_SECONDS: Final = 1.0


class Cut(Fault):
    """Breaks links whenever certain bytes pass, a few times each."""

    clock = Clock.STRIKE
    lasts_seconds = (0.2, 0.5)
    near: ClassVar[Sequence[str]] = SOLDIERS
    far: ClassVar[str] = RABBITMQ
    pattern: ClassVar[bytes] = BASIC_ACK
    in_answers: ClassVar[bool]
    after: ClassVar[bool] = False
    _struck: asyncio.Event | None = None

    async def strike(self, ground: Ground) -> None:
        self._struck = asyncio.Event()
        for near in self.near:
            ground.link(near, self.far).cut_when(
                self.pattern, in_answers=self.in_answers, after=self.after, times=STRIKES, struck=self._struck
            )

    async def end(self, ground: Ground) -> None:  # noqa: ARG002  # its links mend themselves
        if self._struck is None:
            raise ChaosError(f"{self.name} was never armed")
        await within(STRIKE_SECONDS, self._struck.wait(), f"somebody is cut off from {self.far} ({self.name})")


class ConfirmLost(Cut):
    name = "confirm-lost"
    sentence = "a Commander's connection is cut before the broker's confirm of an order arrives"
    near = COMMANDERS
    in_answers = True


class CutAfterConfirm(ConfirmLost):
    name = "cut-after-confirm"
    sentence = "a Commander's connection is cut right after the broker's confirm of an order arrived"
    after = True


class ReportConfirmLost(Cut):
    name = "report-confirm-lost"
    sentence = "a soldier's connection is cut before the broker's confirm of a report arrives"
    in_answers = True


class AcknowledgementLost(Cut):
    name = "acknowledgement-lost"
    sentence = "a soldier's connection is cut after its report was published, before the order's acknowledgement"
    in_answers = False


class GrantLost(Cut):
    name = "grant-lost"
    sentence = "a claim is granted, and the connection is cut before the answer reaches the soldier"
    pattern = GRANTED
    far = COMMANDER
    in_answers = True


class EverythingCut(Fault):
    name = "everything-cut"
    sentence = "every connection between all processes breaks at once"
    clock = Clock.STRIKE

    async def strike(self, ground: Ground) -> None:
        for link in ground.links.values():
            link.cut()


class HalfOpen(Fault):
    name = "half-open"
    sentence = "the connections of a Commander and a soldier to RabbitMQ stay open and carry nothing any more"
    clock = Clock.STRIKE
    stuck = Stuck.HELD

    async def strike(self, ground: Ground) -> None:
        for near in (self.commander, self.soldier):
            ground.link(near, RABBITMQ).strand()

    # Nobody mends those connections: who holds them has to notice.


class LedgerHalfOpen(Fault):
    name = "ledger-half-open"
    sentence = "connections of both Commanders to Redis stay open and carry nothing any more"
    clock = Clock.STRIKE

    async def strike(self, ground: Ground) -> None:
        for near in COMMANDERS:
            ground.link(near, REDIS).strand()


class CommanderWithoutRedis(Fault):
    name = "commander-without-redis"
    sentence = "one of two Commanders cannot reach Redis for two leases; the other one can"
    brings_long = True

    async def strike(self, ground: Ground) -> None:
        await ground.link(self.commander, REDIS).refuse()
        await asyncio.sleep(2 * self.lease_seconds)

    async def end(self, ground: Ground) -> None:
        await ground.link(self.commander, REDIS).restore()


class SoldierCutOff(Fault):
    name = "soldier-cut-off"
    sentence = "a soldier cannot reach any Commander for longer than its lease, and works on"
    clock = Clock.STRIKE
    stuck = Stuck.HELD
    repeats = SLOTS
    brings_long = True
    _before = 0
    _held: Mapping[str, Deed] = MappingProxyType({})

    async def prepare(self, ground: Ground) -> None:
        self._before = ground.noted_bytes

    async def strike(self, ground: Ground) -> None:
        await until(lambda: bool(self._long_ones(ground)), f"{self.soldier} runs something long", STRIKE_SECONDS)
        self._held = self._long_ones(ground)
        await ground.link(self.soldier, COMMANDER).refuse()

    async def end(self, ground: Ground) -> None:
        """Not before somebody else has begun what the victim still runs: else nothing was put to the test."""
        patience = self.lease_seconds * 2 + STRIKE_SECONDS
        await until(lambda: self._is_run_elsewhere(ground), f"what {self.soldier} runs begins elsewhere", patience)
        await ground.link(self.soldier, COMMANDER).restore()

    def _long_ones(self, ground: Ground) -> Mapping[str, Deed]:
        """What it has had in its hands for longer than any short mission lasts."""
        now = time.time()
        running = ground.running(self.soldier, noted_after=self._before)
        return {one: deed for one, deed in running.items() if now - deed.at > LONGEST_SHORT_SECONDS}

    def _is_run_elsewhere(self, ground: Ground) -> bool:
        begun = (deed for deed in sink.deeds_in(ground.notes, after=self._before) if deed.deed == sink.BEGAN)
        return any(deed.epoch > held.epoch for deed in begun if (held := self._held.get(deed.mission_id)))


class SlowLink(Fault):
    name = "slow-link"
    sentence = "everything between the Commanders, RabbitMQ and Redis, and from the soldiers to RabbitMQ, is slow"
    lasts_seconds = (2.0, 3.0)

    async def strike(self, ground: Ground) -> None:
        for link in (*ground.links_to(RABBITMQ), *ground.links_to(REDIS)):
            link.delay_seconds = 0.05

    async def end(self, ground: Ground) -> None:
        for link in (*ground.links_to(RABBITMQ), *ground.links_to(REDIS)):
            link.delay_seconds = 0.0


class WatchStalled(Fault):
    name = "watch-stalled"
    sentence = "the operator's watches stay open and show nothing any more"
    clock = Clock.STRIKE
    stuck = Stuck.OBJECTS

    async def strike(self, ground: Ground) -> None:
        link = ground.link(OPERATOR, API_SERVER)
        await until(
            lambda: link.strand(quiet_seconds=WATCH_QUIET_SECONDS) > 0,
            "the operator has watches that can be stalled",
            STRIKE_SECONDS,
        )


class ApiServerHalfOpen(Fault):
    name = "api-server-half-open"
    sentence = "all of the operator's connections to the API server stay open and carry nothing any more; new ones do"
    clock = Clock.STRIKE
    stuck = Stuck.OBJECTS

    async def strike(self, ground: Ground) -> None:
        ground.link(OPERATOR, API_SERVER).strand()


NETWORK: Final = (
    ConfirmLost,
    CutAfterConfirm,
    ReportConfirmLost,
    AcknowledgementLost,
    GrantLost,
    EverythingCut,
    HalfOpen,
    LedgerHalfOpen,
    CommanderWithoutRedis,
    SoldierCutOff,
    SlowLink,
    WatchStalled,
    ApiServerHalfOpen,
)
