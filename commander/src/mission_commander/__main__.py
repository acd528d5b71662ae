"""`mission-commander`: the Commander as a process, on RabbitMQ and Redis."""

import argparse
import asyncio
import gc
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import quote

import pydantic
import structlog
import uvicorn
import uvloop

from mission_broker import clients, rabbitmq
from mission_broker.port import Broker
from mission_commander import http_server, logs, tls
from mission_commander.adapters import kubernetes_cluster, rabbitmq_management, redis_ledger, redis_tally, redis_users
from mission_commander.app import create_app
from mission_commander.services.broker_users import UserDesk
from mission_commander.services.workloads import Cluster
from mission_commander.settings import CommanderSettings
from mission_contracts import topology

STOP_SECONDS = 5
HEARTBEAT_SECONDS = 2
"""Of AMQP: RabbitMQ gives the reports of a Commander that is silent for two to three of these to the next one."""


def main() -> None:
    """Read the settings, serve until told to stop."""
    argparse.ArgumentParser(
        prog="mission-commander",
        description="Accepts missions over HTTP, hands them out over RabbitMQ, keeps them in Redis.",
        epilog="All settings come from the environment, prefix COMMANDER_; see docs/reference/settings.md.",
    ).parse_args()
    try:
        settings = CommanderSettings()  # from the environment
    except pydantic.ValidationError as error:
        sys.exit(f"mission-commander cannot start: {_readable(error)}")
    logs.set_up(settings.log_format, settings.log_level)
    _spare_the_collector()
    uvloop.run(serve(settings))


def _spare_the_collector() -> None:
    """Hundreds of thousands of live records make each full collection a pause, and none of them is part of a cycle."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


async def serve(settings: CommanderSettings) -> None:
    """Serve on real adapters until SIGTERM or SIGINT."""
    async with AsyncExitStack() as stack:
        redis_url = _with_authority(settings.redis_url, settings.authority_file)
        store = redis_ledger.RedisSettings(urls=(redis_url,), prefix=settings.redis_prefix)
        ledger = await stack.enter_async_context(redis_ledger.connect(store))
        users = await stack.enter_async_context(redis_users.connect(store))
        broker = await stack.enter_async_context(clients.connect(_broker(settings), settings.rabbitmq_client))
        tally = await stack.enter_async_context(redis_tally.connect(redis_url, settings.redis_prefix))
        desk, cluster = await _desk(settings, stack), await _cluster(settings, stack)
        if settings.require_broker_at_start:
            await _wait_for(broker)
        server: uvicorn.Server
        app = create_app(
            settings,
            ledger=ledger,
            broker=broker,
            users=users,
            tally=tally,
            desk=desk,
            cluster=cluster,
            on_failure=lambda: _end(server),
        )
        server = uvicorn.Server(
            http_server.config(
                app,
                settings,
                host=settings.listen_host,
                port=settings.listen_port,
                loop="none",
                timeout_graceful_shutdown=STOP_SECONDS,
                **tls.files(settings),
            )
        )
        await stack.enter_async_context(tls.kept_fresh(server.config, settings))
        structlog.get_logger("commander").info("listening", host=settings.listen_host, port=settings.listen_port)
        await server.serve()


def _with_authority(url: str, authority_file: Path | None) -> str:
    """Have redis-py believe our authority too, unless the address names one itself."""
    if authority_file is None or not url.startswith("rediss://") or "ssl_ca_certs=" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}ssl_ca_certs={quote(str(authority_file))}"


def _broker(settings: CommanderSettings) -> rabbitmq.RabbitMQSettings:
    # Sooner than soldiers: no user's code runs here, and all reports wait for the one active consumer.
    return rabbitmq.RabbitMQSettings(
        urls=tuple(settings.rabbitmq_urls),
        authority_file=settings.authority_file,
        exchanges=topology.EXCHANGES,
        name="commander",
        heartbeat_seconds=HEARTBEAT_SECONDS,
    )


async def _desk(settings: CommanderSettings, stack: AsyncExitStack) -> UserDesk | None:
    url = settings.rabbitmq_management_url
    if url is None:
        return None
    api = rabbitmq_management.connect(url.get_secret_value(), settings.rabbitmq_urls[0], settings.authority_file)
    return await stack.enter_async_context(api)


async def _cluster(settings: CommanderSettings, stack: AsyncExitStack) -> Cluster | None:
    if not settings.operator_account:
        return None
    files = settings.kubernetes_token_file, settings.kubernetes_authority_file
    return await stack.enter_async_context(kubernetes_cluster.connect(settings.kubernetes_url, *files))


async def _wait_for(broker: Broker) -> None:
    while not await broker.wait_connected(5):
        structlog.get_logger("commander").warning("waiting for the broker before listening")
        await asyncio.sleep(0)


def _end(server: uvicorn.Server) -> None:
    server.should_exit = True


def _readable(error: pydantic.ValidationError) -> str:
    def name(part: tuple[int | str, ...]) -> str:
        return "COMMANDER_" + "__".join(str(one) for one in part).upper()

    return "; ".join(f"{name(one['loc'])}: {one['msg']}" for one in error.errors(include_input=False))


if __name__ == "__main__":
    main()
