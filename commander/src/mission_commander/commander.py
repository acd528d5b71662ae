"""The Commander, put together: which service talks to which. Adapters come from outside."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from mission_broker.port import Broker, BrokerAwayError
from mission_broker.rejecting import Rejects
from mission_commander.domain.lane import LaneRules
from mission_commander.domain.life import Surroundings
from mission_commander.domain.memory import MissionMemory
from mission_commander.domain.retention import Retention
from mission_commander.domain.unrecorded import Unrecorded
from mission_commander.ports import Ledger, LedgerAwayError
from mission_commander.services.acceptances import Acceptances
from mission_commander.services.admission import Admission, Bounds
from mission_commander.services.auditing import Auditor
from mission_commander.services.broker_users import BrokerUsers, UserDesk
from mission_commander.services.claims import Claims
from mission_commander.services.counting import QueueCounts
from mission_commander.services.counts import Counts
from mission_commander.services.duty import Duty
from mission_commander.services.eras import Eras, open_era
from mission_commander.services.explaining import Explainer
from mission_commander.services.feed import Feed
from mission_commander.services.garrison import Garrison
from mission_commander.services.gauges import Gauges
from mission_commander.services.headroom import Headroom
from mission_commander.services.heartbeats import Heartbeats
from mission_commander.services.late_records import LateRecords
from mission_commander.services.limiting import Limit, Limiter, Tally
from mission_commander.services.outbox import Outbox
from mission_commander.services.overview import Overview
from mission_commander.services.payloads import Payloads
from mission_commander.services.peers import Peers
from mission_commander.services.pool_news import PoolNews
from mission_commander.services.pooling import Pools
from mission_commander.services.proofs import Proofs
from mission_commander.services.purging import Purger
from mission_commander.services.reaping import Reaper
from mission_commander.services.recorder import Recorder
from mission_commander.services.rejected import RejectedMessages
from mission_commander.services.reporting import Reporter
from mission_commander.services.restoring import Restorer
from mission_commander.services.restoring_marks import MarkRestorer
from mission_commander.services.retrying import Retrier
from mission_commander.services.scheduling import Scheduler
from mission_commander.services.submission import Submitter
from mission_commander.services.timing import Timer
from mission_commander.services.tombstones import Tombstones
from mission_commander.services.undelivered import Undelivered
from mission_commander.services.unheard_beats import UnheardBeats
from mission_commander.services.vanished import Vanished
from mission_commander.services.vitals import Vitals
from mission_commander.services.waiting import Ends
from mission_commander.services.wishes import Wishes
from mission_commander.settings import CommanderSettings, rate_of
from mission_contracts import metrics, spec, topology
from mission_contracts import mission as m
from mission_contracts.broker_rights import PoolUsers
from mission_contracts.clock import Clock
from mission_contracts.envelope import Envelope
from mission_contracts.errors import Defect
from mission_contracts.install_key import ClaimSecrets, InstallKey, MissionIds, Seals
from mission_contracts.metrics import Rejected
from mission_contracts.order_seals import OrderSeals

RETRY_SECONDS: Final = 0.2
TRIES_PER_LOG_LINE: Final = 25


class Commander:
    """All services of one Commander process. It can be spoken to at once, and answers once it `is_loaded`."""

    def __init__(
        self,
        settings: CommanderSettings,
        ledger: Ledger,
        broker: Broker,
        clock: Clock,
        tally: Tally,
        desk: UserDesk | None = None,
    ) -> None:
        """`desk` is where RabbitMQ's users are made; without it soldiers use what they were told themselves."""
        key = InstallKey(settings.install_key.get_secret_value().encode())
        secrets = ClaimSecrets(key)
        self.counts = Counts()
        self.limiter = _limiter(settings, tally, clock)
        self.settings, self.clock, self.install_key = settings, clock, key
        self.ledger, self.broker = ledger, broker
        rejects = Rejects(broker, clock, count=self._count_rejected)
        self.memory = MissionMemory(
            cancel_deadline_seconds=settings.cancel_deadline_seconds,
            payload_bytes=settings.payload_bytes,
            retention=Retention(settings.retention_seconds),
        )
        tombstones = Tombstones(ledger, clock, self.memory.retention)
        self.recorder = Recorder(
            ledger,
            self.memory,
            clock,
            m.Era(0),
            lane_rules=_lane_rules(settings),
            around=self.around,
            counts=self.counts,
        )
        self.garrison = Garrison(
            ledger, clock, heartbeat_seconds=settings.heartbeat_seconds, is_whole=self.recorder.check
        )
        self.broker_users = None if desk is None else self._broker_users(desk)
        self.eras = Eras(ledger, self.recorder, clock, lease_seconds=settings.lease_seconds, counts=self.counts)
        proofs = Proofs(OrderSeals(key), clock, self.counts)
        self.outbox = Outbox(ledger, broker, self.memory, OrderSeals(key))
        self.scheduler = Scheduler(ledger, self.outbox)
        self.feed = Feed(ledger, self.memory, self.recorder.horizon)
        self.ends = Ends(self.memory)
        seals = Seals(key)
        self.unrecorded = Unrecorded(self.memory)
        self.acceptances = Acceptances(broker, seals, self.unrecorded, clock)
        self.headroom = Headroom(
            ledger,
            self.unrecorded,
            clock,
            watermark=settings.ledger_watermark,
            ledger_bytes=settings.ledger_bytes,
        )
        self.vitals = Vitals(ledger, broker, clock, lambda: self.outbox.silent_queues, self.headroom.room)
        admission = Admission(_bounds(settings), self.headroom, self.limiter, self._live_of, self.counts)
        self.submitter = Submitter(
            self.recorder,
            self.eras,
            MissionIds(key),
            clock,
            self.around,
            self.acceptances,
            admission,
            namespace=settings.namespace,
            refusal=spec.refusal,
            is_away=lambda: not self.is_loaded or self.vitals.ledger_is_away,
        )
        self.retrier = Retrier(self.recorder, ledger, MissionIds(key), clock, self.around, admission)
        self.claims = Claims(
            self.recorder,
            tombstones,
            secrets,
            self.eras,
            proofs,
            known_types=lambda envelope: self.garrison.types_of((envelope.namespace, envelope.pool)),
            is_paused=self.garrison.is_paused,
            counts=self.counts,
        )
        unheard_beats = UnheardBeats(broker)
        self.heartbeats = Heartbeats(
            self.garrison,
            self.memory,
            self.recorder,
            ledger,
            secrets,
            tombstones,
            self.eras,
            proofs,
            clock,
            lease_seconds=settings.lease_seconds,
            is_away=lambda: self.vitals.ledger_is_away,
            on_unheard=unheard_beats.add,
            counts=self.counts,
        )
        self.wishes = Wishes(self.recorder, broker, self.around)
        timer = Timer(
            self.recorder,
            self.memory,
            clock,
            self.around,
            cancel_deadline_seconds=settings.cancel_deadline_seconds,
        )
        counts = QueueCounts(self.garrison, broker, clock)
        self.pools = Pools(
            self.garrison,
            broker,
            self.memory,
            self.recorder,
            timer,
            clock,
            counts=counts,
            is_current=lambda: not self.vitals.ledger_is_away,
        )
        self.pool_news = PoolNews(self.memory, self.pools.view_of, clock)
        reaper = Reaper(
            self.recorder,
            self.memory,
            self.garrison,
            broker,
            clock,
            lease_seconds=settings.lease_seconds,
            on_deaf=self.eras.start_anew,
            counts=self.counts,
        )
        duty = Duty(broker, clock)
        late_records = LateRecords(self.recorder, tombstones, seals, self.eras, self.around, self.counts)
        self._peers = Peers(
            broker, late_records.read, self.memory, self.unrecorded, rejects, self.garrison.beat_elsewhere
        )
        reporter = Reporter(
            self.recorder,
            ledger,
            broker,
            secrets,
            tombstones,
            self.eras,
            rejects,
            late_records,
            proofs,
            on_marker=_each(reaper.take_marker, duty.take_marker),
            counts=self.counts,
        )
        self.overview = Overview(
            ledger,
            broker,
            self.memory,
            self.outbox,
            self.vitals,
            duty,
            clock,
            era=lambda: self.recorder.era,
            counts=self.counts,
        )
        self.rejected = RejectedMessages(broker)
        self.auditor = Auditor(
            ledger,
            self.memory,
            self.recorder,
            self.eras,
            self.garrison,
            self.outbox,
            clock,
            namespace=settings.namespace,
            ready=counts.of,
            is_on_duty=lambda: duty.is_on_duty,
        )
        self.gauges = Gauges(
            self.overview,
            self.memory,
            self.vitals,
            broker,
            duty,
            clock,
            era=lambda: self.recorder.era,
            unaccounted=lambda: self.auditor.unaccounted,
            room=self.headroom.room,
        )
        self.feed.on_gap(self.eras.look)
        self._services: tuple[Callable[[], Awaitable[None]], ...] = (
            self.recorder.run,
            self.outbox.run,
            self.feed.run,
            self.pools.run,
            counts.run,
            timer.run,
            reporter.run,
            reaper.run,
            rejects.run,
            Undelivered(self.recorder, broker, tombstones, self.eras, rejects, proofs, self.counts).run,
            self._restorer().run,
            Payloads(ledger, self.memory).run,
            self._searcher().run,
            self.scheduler.run,
            duty.run,
            self.auditor.run,
            unheard_beats.run,
            Explainer(
                self.recorder,
                self.memory,
                self.garrison,
                clock,
                broker_is_away=lambda: broker.away is not None,
            ).run,
            Purger(ledger, self.memory, clock).run,
            *(() if self.broker_users is None else (self.broker_users.run,)),
        )
        self._loaded = asyncio.Event()
        self._log = structlog.get_logger("commander")
        self.recorder.on_hand_out(self.outbox.add)
        self.recorder.on_doubt(self.outbox.doubt)

    def _broker_users(self, desk: UserDesk) -> BrokerUsers:
        return BrokerUsers(
            desk,
            PoolUsers(self.install_key),
            lambda: [(pool.namespace, pool.name) for pool in self.garrison.pools()],
            urls=self.settings.rabbitmq_urls,
            namespaces=self.settings.served,
        )

    def _restorer(self) -> Restorer:
        marks = MarkRestorer(self.ledger, self.recorder, self.memory.lanes, self.clock)
        more = (self.garrison.restore, marks.restore)
        return Restorer(self.ledger, self.recorder, self.memory, self.eras, self.clock, more)

    def _searcher(self) -> Vanished:
        return Vanished(
            self.ledger,
            self.broker,
            self.memory,
            self.garrison,
            self.outbox,
            self.clock,
            heartbeat_seconds=self.settings.heartbeat_seconds,
            lease_seconds=self.settings.lease_seconds,
            era=lambda: self.recorder.era,
            counts=self.counts,
        )

    def _live_of(self, subject: str) -> int:
        return self.memory.live_of(subject) + self.unrecorded.count_of(subject)

    def _count_rejected(self, queue: topology.Queue, defect: Defect) -> None:
        self.counts.add(
            metrics.REJECTED, queue.bound_to.name if queue.transient else queue.name, Rejected.of(defect).value
        )

    @property
    def is_loaded(self) -> bool:
        """True once the ledger's live missions are in memory and the services run."""
        return self._loaded.is_set()

    def around(self, envelope: Envelope) -> Surroundings:
        """What a mission cannot know of itself."""
        pool = (envelope.namespace, envelope.pool)
        return Surroundings(
            pool_is_known=self.garrison.knows(pool), handler_is_known=self.garrison.handles(pool, envelope.type)
        )

    async def run(self) -> None:
        """Load the ledger, for as long as that takes, then run every service until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_forever(self.vitals.run))
            tasks.create_task(_forever(self.limiter.run))
            tasks.create_task(_forever(self.headroom.run))
            await self._declare()  # before the ledger is read: work may be accepted by way of the broker meanwhile
            tasks.create_task(_forever(self._peers.run))
            tasks.create_task(_forever(self.acceptances.run))
            await self._load()
            for service in self._services:
                tasks.create_task(_forever(service))
            self._loaded.set()

    async def _load(self) -> None:
        for tries in itertools.count():
            try:
                self.eras.enter(await open_era(self.ledger, self.clock))
                await self.feed.load()
                await self.garrison.refresh()
                await self.scheduler.look()
                await self.vitals.look()
                await self.headroom.look()
            except LedgerAwayError as error:
                if tries % TRIES_PER_LOG_LINE == 0:
                    self._log.warning("waiting for the ledger", why=str(error))
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._log.info("the ledger is loaded", era=self.recorder.era, live=self.memory.live_count())
                return

    async def _declare(self) -> None:
        try:
            await self.broker.declare(topology.FIXED_QUEUES)
        except BrokerAwayError:
            self._log.warning("the broker is away; its queues are declared at its return")


def _lane_rules(settings: CommanderSettings) -> LaneRules:
    return LaneRules(
        gap_seconds=settings.gap_seconds, mark_seconds=max(settings.lane_mark_seconds, settings.retention_seconds)
    )


def _bounds(settings: CommanderSettings) -> Bounds:
    return Bounds(
        missions=settings.limit_live or None,
        payload=settings.limit_payload_bytes or None,
        payload_of_all=settings.limit_payload_bytes_all or None,
        ledger_share=settings.limit_ledger_share,
    )


def _limiter(settings: CommanderSettings, tally: Tally, clock: Clock) -> Limiter:
    rates = {
        Limit.SUBMIT: rate_of(settings.limit_submit),
        Limit.SUBMIT_BYTES: rate_of(settings.limit_submit_bytes),
        Limit.READ: rate_of(settings.limit_read),
        Limit.WISH: rate_of(settings.limit_wish),
        Limit.LOGIN_ADDRESS: rate_of(settings.limit_login_address),
        Limit.LOGIN_USER: rate_of(settings.limit_login_user),
        Limit.CLIENT_ADDRESS: rate_of(settings.limit_client_address),
        Limit.CLIENT: rate_of(settings.limit_client),
    }
    return Limiter(rates, tally, clock, share_while_away=settings.limit_share_alone)


def _each(*listeners: Callable[[str], None]) -> Callable[[str], None]:
    def tell(marker: str) -> None:
        for listener in listeners:
            listener(marker)

    return tell


async def _forever(service: Callable[[], Awaitable[None]]) -> None:
    await service()
    raise RuntimeError(f"{service} ended, and must not")
