"""A Commander's services on memory ledger and broker, with a clock that tests turn; a test runs those it is about."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from mission_broker.memory import MemoryBroker
from mission_broker.memory_server import MemoryServer
from mission_broker.port import Message
from mission_broker.rejecting import Rejects
from mission_commander.adapters.memory_ledger import MemoryLedger, MemoryStore
from mission_commander.domain import life
from mission_commander.domain.lane import LaneChange
from mission_commander.domain.life import Moment, Surroundings
from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.record import Mission
from mission_commander.domain.retention import Retention
from mission_commander.domain.unrecorded import Unrecorded
from mission_commander.ports import NO_EVENT, Change, Committed, Conflict, EventId, LedgerAwayError, PoolRecord
from mission_commander.services.acceptances import Acceptances
from mission_commander.services.admission import Admission, Bounds
from mission_commander.services.counts import Counts
from mission_commander.services.eras import Eras
from mission_commander.services.feed import Feed
from mission_commander.services.garrison import Garrison
from mission_commander.services.headroom import Headroom
from mission_commander.services.late_records import LateRecords
from mission_commander.services.limiting import Alone, Limit, Limiter
from mission_commander.services.proofs import Proofs
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_commander.services.reporting import Reporter
from mission_commander.services.restoring import RestoreMore, Restorer
from mission_commander.services.submission import Submitter
from mission_commander.services.tombstones import Tombstones
from mission_contracts import messages, metrics, spec, topology
from mission_contracts import mission as m
from mission_contracts.envelope import Envelope
from mission_contracts.errors import Defect
from mission_contracts.install_key import ClaimSecrets, InstallKey, MissionIds, Seals
from mission_contracts.metrics import Rejected
from mission_contracts.order_seals import OrderSeals
from mission_contracts.soldiering import Beat, Registration, TypeInfo
from mission_contracts.testing import ERA, FakeClock, a_mission, an_order

KEY = InstallKey(b"of these tests, and of no installation")
PATIENCE_SECONDS = 10.0
HEARTBEAT_SECONDS = 1.5
LEASE_SECONDS = 6.0
CANCEL_DEADLINE_SECONDS = 30.0
RETENTION_SECONDS = 3_600.0
SOLDIER = m.Instance("soldier-1")


async def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until the condition holds; fail with what was waited for."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110  # a test looks from outside; nobody sets an event for it
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"not within {PATIENCE_SECONDS} s: {what}") from None


async def turns(count: int = 20) -> None:
    """Let everything that is ready go on, so that what should not happen has its chance to."""
    for _ in range(count):
        await asyncio.sleep(0)


@asynccontextmanager
async def running(*services: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run services as a Commander does: one that ends is a failure of the test."""
    tasks = [asyncio.ensure_future(service()) for service in services]
    try:
        yield
        for task in tasks:
            if task.done() and not task.cancelled():
                raise AssertionError("a service ended, and must not") from task.exception()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class GatedLedger(MemoryLedger):
    """Commits wait while the gate is closed; each is remembered. Some do their work, and nobody is told."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.gate = asyncio.Event()
        self.gate.set()
        self.commits: list[Sequence[Change]] = []
        self.under_way = 0
        self.answers_to_lose = 0

    async def commit(
        self,
        era: m.Era,
        changes: Sequence[Change],
        *,
        seen: EventId = NO_EVENT,
        lanes: Sequence[LaneChange] = (),
        floor: int = 0,
        admits: bool = False,
    ) -> Sequence[Committed | Conflict]:
        self.under_way += 1
        try:
            await self.gate.wait()
            self.commits.append(changes)
            answers = await super().commit(era, changes, seen=seen, lanes=lanes, floor=floor, admits=admits)
            if self.answers_to_lose:
                self.answers_to_lose -= 1
                raise LedgerAwayError("the answer was lost")
            return answers
        finally:
            self.under_way -= 1


class Stage:
    """One Commander's parts. `another()` is a second Commander on the same store and broker."""

    def __init__(
        self,
        *,
        clock: FakeClock | None = None,
        store: MemoryStore | None = None,
        server: MemoryServer | None = None,
        events_kept: int = 100_000,
        ledger: Any = None,
    ) -> None:
        """`ledger` is one that the test brings along: nothing is known of its store then."""
        self.clock = clock or FakeClock()
        self.store = store or MemoryStore(self.clock, events_kept=events_kept)
        if self.store.data.era is None:
            self.store.data.era = ERA
        self.ledger: GatedLedger = ledger or GatedLedger(self.store)
        self.broker = MemoryBroker(server)
        retention = Retention(RETENTION_SECONDS)
        self.memory = MissionMemory(cancel_deadline_seconds=CANCEL_DEADLINE_SECONDS, retention=retention)
        self.recorder = Recorder(self.ledger, self.memory, self.clock, ERA)
        self.garrison = Garrison(
            self.ledger, self.clock, heartbeat_seconds=HEARTBEAT_SECONDS, is_whole=self.recorder.check
        )
        self.feed = Feed(self.ledger, self.memory, self.recorder.horizon)
        self.counts = Counts()
        self.eras = Eras(self.ledger, self.recorder, self.clock, lease_seconds=LEASE_SECONDS, counts=self.counts)
        self.tombstones = Tombstones(self.ledger, self.clock, retention)
        self.secrets = ClaimSecrets(KEY)
        self.seals = Seals(KEY)
        self.order_seals = OrderSeals(KEY)
        self.proofs = Proofs(self.order_seals, self.clock, self.counts)
        self.ids = MissionIds(KEY)
        self.unrecorded = Unrecorded(self.memory)
        self.acceptances = Acceptances(self.broker, self.seals, self.unrecorded, self.clock)
        self.headroom = Headroom(self.ledger, self.unrecorded, self.clock, watermark=0.8, ledger_bytes=0)
        unlimited = Limiter(dict.fromkeys(Limit), Alone(), self.clock, share_while_away=1)
        self.admission = Admission(Bounds(), self.headroom, unlimited, self.memory.live_of, self.counts)
        self.is_known_to_be_away = False

    def a_submitter(self, around: Callable[[Envelope], Surroundings] | None = None) -> Submitter:
        """The doors' way in; `around` is what it sees of pools, if not what this Commander sees."""
        return Submitter(
            self.recorder,
            self.eras,
            self.ids,
            self.clock,
            around or self.around,
            self.acceptances,
            self.admission,
            namespace="default",
            refusal=spec.refusal,
            is_away=lambda: self.is_known_to_be_away,
        )

    def late_records(self) -> LateRecords:
        """What records that which was accepted without the ledger."""
        return LateRecords(self.recorder, self.tombstones, self.seals, self.eras, self.around, self.counts)

    def a_reporter(self, rejects: Rejects, on_marker: Callable[[str], None] = lambda _: None) -> Reporter:
        """The consumer of `missions.status`; what it cannot use goes to `rejects`, which has to run too."""
        return Reporter(
            self.recorder,
            self.ledger,
            self.broker,
            self.secrets,
            self.tombstones,
            self.eras,
            rejects,
            self.late_records(),
            self.proofs,
            on_marker=on_marker,
            counts=self.counts,
        )

    def a_restorer(self, *more: RestoreMore) -> Restorer:
        """Notices what the ledger loses; runs when the test runs it."""
        self.feed.on_gap(self.eras.look)
        all_of_it = (self.garrison.restore, *more)
        return Restorer(self.ledger, self.recorder, self.memory, self.eras, self.clock, all_of_it)

    async def begin_new_era(self) -> None:
        """Let the next era begin, as after a loss that was noticed, and nothing be restored."""
        self.eras.enter(await self.ledger.begin_era(m.Era(self.recorder.era + 1), replaces=self.store.data.era))

    def settle(self) -> None:
        """Let a lease pass after an era began."""
        self.clock.turn(LEASE_SECONDS)

    def another(self) -> "Stage":
        return Stage(clock=self.clock, store=self.store, server=self.broker.server)

    def count_rejected(self, queue: topology.Queue, defect: Defect) -> None:
        self.counts.add(metrics.REJECTED, queue.name, Rejected.of(defect).value)

    def around(self, envelope: Envelope) -> Surroundings:
        pool = (envelope.namespace, envelope.pool)
        return Surroundings(
            pool_is_known=self.garrison.knows(pool), handler_is_known=self.garrison.handles(pool, envelope.type)
        )

    # Missions, straight through the recorder, which has to run.

    async def accept(
        self, mission_id: str = "m-1", payload: bytes = b'{"width":640}', *, suspended: bool = False, **fields: Any
    ) -> Mission:
        """A new mission, handed out unless its fields say otherwise."""
        envelope = a_mission(mission_id, **({"accepted_at": self.clock.now()} | fields))

        def decide(_: Mission | None, moment: Moment) -> Decision[Mission]:
            mission = life.accept(envelope, moment, life.OPEN_FIELD, suspended=suspended)
            return Decision(mission, mission, payload)

        return await self.recorder.decide(Command(envelope.mission_id, decide))

    async def claim(self, mission: Mission, instance: m.Instance = SOLDIER) -> Mission:
        def decide(found: Mission | None, moment: Moment) -> Decision[Mission]:
            assert found is not None
            granted = life.claim(found, mission.epoch, instance, moment, has_handler=True)
            assert isinstance(granted, life.Granted), granted
            assert granted.mission is not None
            return Decision(granted.mission, granted.mission)

        return await self.recorder.decide(Command(mission.id, decide))

    async def move(self, mission: Mission, move: Callable[[Mission, Moment], Mission | None]) -> Mission:
        def decide(found: Mission | None, moment: Moment) -> Decision[Mission]:
            assert found is not None
            moved = move(found, moment)
            assert moved is not None, "this changes nothing"
            return Decision(moved, moved)

        return await self.recorder.decide(Command(mission.id, decide))

    async def cancel(self, mission: Mission) -> Mission:
        return await self.move(mission, life.cancel)

    def record(self, mission: Mission) -> Mission:
        """As the ledger has it."""
        return self.store.data.records[mission.id]

    # The broker's side.

    @staticmethod
    def a_status(*reports: messages.Report, instance: str = SOLDIER) -> messages.StatusMessage:
        return messages.StatusMessage(v=messages.VERSION, era=ERA, instance=m.Instance(instance), reports=reports)

    async def publish_report(self, *reports: messages.Report, instance: str = SOLDIER) -> None:
        await self.publish_status(messages.encode(self.a_status(*reports, instance=instance)))

    async def publish_status(self, body: bytes) -> None:
        await self.broker.declare(topology.FIXED_QUEUES)
        await self.broker.publish([Message(exchange=topology.REPORTS, key=topology.STATUS.key, body=body)])

    def ready(self, queue: topology.Queue) -> int:
        held = self.broker.server.find(queue.name)
        return held.ready if held else 0


def a_lost_order(mission_id: str = "lost", payload: bytes = b'{"width":640}', **fields: Any) -> messages.Order:
    """A sealed order of the era before this one, for a mission that the ledger may lack by now."""
    return sealed(an_order(a_mission(mission_id, **fields), epoch=(ERA - 1) * m.NUMBERS_PER_ERA + 7, payload=payload))


def sealed(order: messages.Order) -> messages.Order:
    """The order as a Commander of this stage publishes it."""
    return OrderSeals(KEY).order(order.era, order.epoch, order.envelope, bytes(order.payload))


def a_soldier(instance: str = SOLDIER, *types: str, pool: str = "default", **fields: Any) -> Registration:
    infos = tuple(TypeInfo(name=name) for name in types or ("noop",))
    told: dict[str, Any] = {"namespace": "default", "concurrency": 4} | fields
    return Registration(instance=m.Instance(instance), pool=pool, types=infos, **told)


def a_pool(name: str = "default", **fields: Any) -> PoolRecord:
    return PoolRecord(namespace="default", name=name, **fields)


def a_beat(
    number: int,
    *held: Mission,
    after: float = 0,
    unclaimed: Sequence[Mission] = (),
    taking: bool = True,
    left: bool = False,
) -> Beat:
    return Beat(
        beat=number,
        after=after,
        held=tuple((one.id, one.epoch) for one in held),
        unclaimed=tuple((one.id, one.epoch) for one in unclaimed),
        slots=4,
        taking=taking,
        left=left,
    )
