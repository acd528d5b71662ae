"""The one place where the operator is put together."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import structlog
from kubernetes.aio.client import Configuration

from mission_contracts.clock import Clock, SystemClock
from mission_contracts.resources import MISSION, SOLDIER_POOL
from mission_operator import kube, login
from mission_operator.announcing import Announcer
from mission_operator.canary import Echoes
from mission_operator.commander import client
from mission_operator.commander.client import CommanderClient
from mission_operator.commander.events import EventFollower
from mission_operator.commander.reachability import Reachability
from mission_operator.ending import closing_generators
from mission_operator.kube import Kube
from mission_operator.leadership import Leadership
from mission_operator.leading import leading
from mission_operator.missions.api import MissionApi
from mission_operator.missions.ended import EndedFollower
from mission_operator.missions.first_look import FirstLook
from mission_operator.missions.reconciling import MissionReconciler
from mission_operator.missions.resyncing import Resync
from mission_operator.missions.selecting import LIVING, can_leave_out_what_ended
from mission_operator.pools import default
from mission_operator.pools.api import PoolApi
from mission_operator.pools.deployment import Installation
from mission_operator.pools.following import PoolFollower
from mission_operator.pools.reconciling import PoolReconciler
from mission_operator.pools.references import Allowance
from mission_operator.probes import Probes
from mission_operator.settings import BrokerSource, OperatorSettings, SoldierIdentity
from mission_operator.watching import Watcher

_log: Final = structlog.get_logger()


_OTHER_CONNECTIONS: Final = 24
"""Beside the statuses: reading, pools, deletions, Events."""


class StaleWatchError(Exception):
    """A watch shows nothing of what happens."""


class Operator:
    """The parts of an acting operator, and how they hear of each other."""

    def __init__(
        self,
        settings: OperatorSettings,
        api: Kube,
        commander: CommanderClient,
        watcher: Watcher,
        renewals: Echoes,
        clock: Clock,
        *,
        leaves_out_ended: bool,
    ) -> None:
        namespace = settings.namespace
        self._stale_seconds = settings.stale_watch_seconds
        self._watcher = watcher
        self._renewals = renewals
        self._echoes = Echoes(clock)
        reachability = Reachability(clock)
        self._announcer = Announcer(api, clock, settings.identity)
        objects = MissionApi(api, namespace, selector=LIVING if leaves_out_ended else "")
        self._missions = MissionReconciler(
            commander, objects, reachability, self._announcer, self._echoes, clock,
            on_room=lambda: self._resync.ask("room in the outbox"),
            patches_in_flight=settings.patches_in_flight, leaves_out_ended=leaves_out_ended,
        )  # fmt: skip
        self._ended = EndedFollower(objects, self._missions.look_at_ended) if leaves_out_ended else None
        self._first_look = FirstLook(objects, self._missions.look)
        self._resync = Resync(self._missions, commander, objects, namespace, every_seconds=settings.resync_seconds)
        pool_objects = PoolApi(api, namespace)
        self._pool_announcer = Announcer(api, clock, settings.identity)  # a flood about missions must not silence it
        self._pools = PoolReconciler(commander, pool_objects, _installation(settings), self._pool_announcer, clock)
        self._pool_news = PoolFollower(commander, on_view=self._pools.take_view, on_gap=self._pools.ask)
        self._default_pool = _DefaultPool(settings, pool_objects)
        self._events = EventFollower(
            commander, reachability, namespace, on_view=self._missions.take_view, on_gap=self._gap
        )

    async def run(self) -> None:
        """Act until SIGTERM, or until the watches are found dead."""
        self._watcher.beginning(self._first_look.run)
        self._watcher.pools(self._look_at_pool)
        self._watcher.missions(self._look_at_mission)
        self._watcher.lease(self._look_at_lease)
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(part) for part in self._parts()]

            async def stop() -> None:
                for part in parts:
                    part.cancel()
                await asyncio.wait(parts)

            self._watcher.leaving(stop)
            await self._watcher.run()

    def _parts(self) -> tuple[Coroutine[Any, Any, None], ...]:
        return (
            self._default_pool.create(),
            self._pools.run(),
            self._missions.run(),
            self._resync.run(),
            self._events.run(),
            self._announcer.run(),
            self._pool_announcer.run(),
            self._pool_news.run(),
            self._guard(),
            *((self._ended.run(),) if self._ended else ()),
        )

    def why_stale(self) -> str:
        """Say which watch is dead; empty when none is."""
        if self._renewals.overdue_seconds > self._stale_seconds:
            return f"a renewal of the Lease was not seen for {self._renewals.overdue_seconds:.0f} s"
        if self._echoes.overdue_seconds > self._stale_seconds:
            return f"a status of ours was not seen for {self._echoes.overdue_seconds:.0f} s"
        return ""

    async def _guard(self) -> None:
        while True:
            await asyncio.sleep(1)
            if why := self.why_stale():
                raise StaleWatchError(f"{why}: the watch is dead, and the operator starts anew")

    def _look_at_mission(self, body: Mapping[str, Any], is_gone: bool) -> None:
        self._missions.look(body, is_gone=is_gone)

    def _look_at_pool(self, body: Mapping[str, Any], is_gone: bool) -> None:
        self._pools.look(body, is_gone=is_gone)

    def _look_at_lease(self, body: Mapping[str, Any], _is_gone: bool) -> None:
        self._renewals.seen(int(body["metadata"]["resourceVersion"]))

    def _gap(self, why: str) -> None:
        self._pools.declare_again()
        self._resync.ask(why)


class _DefaultPool:
    def __init__(self, settings: OperatorSettings, objects: PoolApi) -> None:
        self._body = default.read(settings.default_pool_file) if settings.default_pool_file else None
        self._objects = objects

    async def create(self) -> None:
        if self._body is not None:
            await default.create_if_absent(self._objects, self._body)


def _proof(settings: OperatorSettings) -> client.Proof:
    if settings.token_file is not None:
        return client.by_projected_token(settings.token_file)
    secret = settings.client_secret
    return client.by_secret(settings.client_id, secret.get_secret_value() if secret is not None else "")


def _installation(settings: OperatorSettings) -> Installation:
    has_accounts = settings.soldier_identity is SoldierIdentity.SERVICE_ACCOUNT
    is_in_secret = settings.soldier_rabbitmq_from is BrokerSource.SECRET
    return Installation(
        image=settings.soldier_image,
        commander_url=str(settings.soldier_commander_url or settings.commander_url),
        client_id=settings.soldier_client_id,
        secret_name=None if has_accounts else settings.soldier_secret_name,
        rabbitmq_secret_name=(
            (settings.soldier_rabbitmq_secret_name or settings.soldier_secret_name) if is_in_secret else None
        ),
        service_account=settings.soldier_service_account,
        authority_config_map=settings.soldier_authority_config_map,
        allowance=_allowance(settings),
    )


def _allowance(settings: OperatorSettings) -> Allowance:
    """What soldiers log in with is reserved, whether or not the installation's other names are known."""
    own_secrets = (settings.soldier_secret_name, settings.soldier_rabbitmq_secret_name or settings.soldier_secret_name)
    return Allowance(
        secrets=settings.pool_secrets,
        config_maps=settings.pool_config_maps,
        claims=settings.pool_claims,
        accounts=settings.pool_service_accounts,
        reserved=(*settings.reserved_names, *own_secrets),
    )


class Service:
    """The process: waits for the cluster and the Lease, then acts."""

    def __init__(self, settings: OperatorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._renewals = Echoes(clock)
        self._operator: Operator | None = None

    async def run(self) -> None:
        """Serve until SIGTERM; raises what made it impossible to go on."""
        settings = self._settings
        found = await login.configuration()
        async with AsyncExitStack() as stack:
            probes = Probes(live=self._why_not_live, ready=self._why_not_live)
            await stack.enter_async_context(probes.serving(settings.probe_host, settings.probe_port))
            api = await stack.enter_async_context(
                kube.connect(found, connections=settings.patches_in_flight + _OTHER_CONNECTIONS)
            )
            commander = await stack.enter_async_context(self._commander())
            await api.wait_served(frozenset({MISSION.plural, SOLDIER_POOL.plural}))
            loop = asyncio.get_running_loop()
            lost = await stack.enter_async_context(leading(lambda: self._leadership(found, loop)))
            leaves_out_ended = await can_leave_out_what_ended(MissionApi(api, settings.namespace))
            watcher = Watcher(
                found,
                namespace=settings.namespace,
                lease_name=settings.lease_name,
                identity=settings.identity,
                missions_selector=LIVING if leaves_out_ended else "",
            )
            self._operator = Operator(
                settings, api, commander, watcher, self._renewals, self._clock, leaves_out_ended=leaves_out_ended
            )
            await _unless(lost, self._operator.run())

    @asynccontextmanager
    async def _leadership(self, found: Configuration, home: asyncio.AbstractEventLoop) -> AsyncIterator[Leadership]:
        """Speak of the Lease in its own thread; what has to be seen in the watch is said at home."""
        settings = self._settings

        def tell(version: int) -> None:
            home.call_soon_threadsafe(self._renewals.expect, version)

        # A connection of its own: a renewal must never queue behind statuses.
        async with kube.connect(found, connections=2) as api:
            yield Leadership(
                api,
                self._clock,
                namespace=settings.namespace,
                name=settings.lease_name,
                identity=settings.identity,
                lease_seconds=settings.lease_seconds,
                on_renewed=tell,
            )

    def _commander(self) -> client.Connection:
        settings = self._settings
        return client.connect(str(settings.commander_url), _proof(settings), self._clock, settings.authority_file)

    def _why_not_live(self) -> str:
        return self._operator.why_stale() if self._operator else ""


async def _unless(lost: "asyncio.Future[None]", running: Coroutine[Any, Any, None]) -> None:
    """Run until it ends, or until the Lease is lost."""
    task = asyncio.create_task(running)
    try:
        await asyncio.wait((task, lost), return_when=asyncio.FIRST_COMPLETED)
        if lost.done():
            await lost
        await task
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def serve(settings: OperatorSettings) -> None:
    """Run the operator as these settings say."""
    async with closing_generators():
        await Service(settings, SystemClock()).run()
