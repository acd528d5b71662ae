"""Servers and processes of one run: started here, as users run them, and ended here."""

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import redis
from tools import stack
from tools.demo import services
from tools.demo.services import Commander
from tools.stack import ApiServer, RabbitServer, RedisServer
from tools.stack.process import Launch, Process, tail

from benchmarks.measures import BenchError
from missionctl.client import ClientSecret, MissionControl, PoolDeclaration

ROOT: Final = Path(__file__).parents[1]
NAMESPACE: Final = services.NAMESPACE
LIMITS_NAMESPACE: Final = "bench-limits"
CONCURRENCY: Final = 64
START_SECONDS: Final = 30
LOOK_INTERVAL_SECONDS: Final = 0.02


class Servers(msgspec.Struct, frozen=True):
    """The real ones."""

    redis: RedisServer
    rabbit: RabbitServer
    kube: ApiServer


@contextlib.contextmanager
def servers(state: Path) -> Iterator[Servers]:
    """RabbitMQ, Redis (durable) and an API server that knows our kinds."""
    with stack.redis_server(state) as ledger, stack.rabbitmq_server(state) as rabbit, stack.api_server(state) as kube:
        kube.kubectl(
            "apply", "-f", str(ROOT / "manifests/crds"), "-f", str(ROOT / "manifests/base/admission-policy.yaml")
        )
        kube.kubectl("wait", "--for=condition=Established", "crd", "-l", "app.kubernetes.io/part-of=mission-control")
        kube.kubectl("create", "namespace", LIMITS_NAMESPACE)
        _until_served(kube)
        yield Servers(ledger, rabbit, kube)


def _until_served(kube: ApiServer) -> None:
    """A kind that was just established is not listed yet: "storage is (re)initializing"."""
    ends_at = time.monotonic() + START_SECONDS
    while True:
        try:
            kube.kubectl("get", "missions,soldierpools")
        except stack.StackError:
            if time.monotonic() > ends_at:
                raise
            time.sleep(0.2)
        else:
            return


@contextlib.contextmanager
def running(launch: Launch) -> Iterator[Process]:
    """Have a process of ours serve while the block lasts; a failure meanwhile names it if it had ended by then."""
    process = Process(launch)
    try:
        process.start()
        yield process
    except BenchError as error:
        if process.is_running:
            raise
        raise BenchError(f"{error}\n{launch.name} has ended meanwhile; its last words:\n{tail(launch.log)}") from error
    finally:
        process.stop()
        process.discard()


@contextlib.contextmanager
def commander(these: Servers, state: Path, *, soldiers: int) -> Iterator[Commander]:
    """`mission-commander` and so many `mission-soldier`s."""
    addresses = services.Servers(rabbitmq_url=these.rabbit.fresh_vhost(), redis_url=these.redis.url)
    told, serving, soldier = services.commander_on(addresses, state)
    with contextlib.ExitStack() as processes:
        processes.enter_context(running(serving))
        for number in range(soldiers):
            processes.enter_context(running(_numbered(soldier, number)))
        asyncio.run(until_manned(told, soldiers))
        yield told


def control(of: Commander) -> MissionControl:
    """A client that sees every mission, whichever door it came in by."""
    return MissionControl(of.url, ClientSecret(of.operator_id, of.operator_secret))


@contextlib.contextmanager
def operator(of: Commander, these: Servers, state: Path) -> Iterator[None]:
    """`mission-operator`."""
    with running(services.operator(of, these.kube.access, state, may_make_pods=False)):
        yield


def _numbered(soldier: Launch, number: int) -> Launch:
    """One of several: without a port to probe, whose readiness is asked of the Commander instead."""
    environment = {name: value for name, value in soldier.environment.items() if name != "SOLDIER_PROBE_PORT"}
    return dataclasses.replace(
        soldier,
        name=f"soldier-{number}",
        log=soldier.log.with_name(f"soldier-{number}.log"),
        environment=environment | {"SOLDIER_CONCURRENCY": str(CONCURRENCY), "SOLDIER_LOG_LEVEL": "warning"},
        is_ready=lambda: True,
    )


async def until_manned(of: Commander, soldiers: int) -> None:
    """Declare the default pool, and wait until so many soldiers have registered."""
    ends_at = time.monotonic() + START_SECONDS
    async with control(of) as client:
        await client.declare_pool(NAMESPACE, "default", PoolDeclaration(replicas=soldiers))
        while sum(len(pool.soldiers) for pool in await client.pools()) < soldiers:
            if time.monotonic() > ends_at:
                raise BenchError(f"fewer than {soldiers} soldiers came up in {START_SECONDS} s: see their logs")
            await asyncio.sleep(0.05)


async def until_idle(of: MissionControl, *, timeout_seconds: float) -> None:
    """Wait until no mission waits or runs."""
    ends_at = time.monotonic() + timeout_seconds
    while unfinished := sum(pool.queued + pool.waiting + pool.in_flight for pool in await of.pools()):
        if time.monotonic() > ends_at:
            raise BenchError(f"{unfinished} missions are not final after {timeout_seconds} s")
        await asyncio.sleep(LOOK_INTERVAL_SECONDS)


def server_versions(these: Servers) -> dict[str, str]:
    """As the servers say themselves."""
    kube = json.loads(these.kube.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
    rabbit = these.rabbit.evaluate("rabbit_misc:version().").strip().strip('"')
    return {"Kubernetes": kube, "RabbitMQ": rabbit, "Redis": _redis_version(these)}


def _redis_version(these: Servers) -> str:
    with redis.Redis.from_url(these.redis.url) as client:
        return str(client.info("server")["redis_version"])
