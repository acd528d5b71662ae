"""`mission-soldier`: a soldier as a process, on RabbitMQ and a Commander's address."""

import argparse
import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from typing import Final

import pydantic
import uvloop

from mission_broker import clients, rabbitmq
from mission_soldier import commander, loading, logs, runtime, surviving
from mission_soldier.broker_access import BrokerAccess
from mission_soldier.errors import HandlerDefinitionError
from mission_soldier.settings import Settings
from mission_soldier.soldier import Soldier
from mission_soldier.tokens import ClientSecret, Credential, ProjectedToken

EXIT_NOW: Final = 130
LEAVE_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def main() -> None:
    """Read the settings, run missions until told to stop."""
    for number in LEAVE_SIGNALS:
        # A container's first process hears only signals that it asked for, and importing handlers may take long.
        signal.signal(number, _leave_unbegun)
    arguments = _parser().parse_args()
    try:
        settings = Settings() if arguments.handlers is None else Settings(handlers=arguments.handlers)
        soldier = loading.load(settings.handlers)
    except pydantic.ValidationError as error:
        sys.exit(f"mission-soldier cannot start: {_readable(error)}")
    except HandlerDefinitionError as error:
        sys.exit(f"mission-soldier cannot start: {error}")
    logs.configure(settings.log_format, settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop = runner.get_loop()
        surviving.run_through_exits(loop, loop.create_task(_serve(soldier, settings)))


async def _serve(soldier: Soldier, settings: Settings) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()
    instance = settings.instance_name()
    async with AsyncExitStack() as stack:
        _on_signals(stop, hurry)
        access = BrokerAccess(tuple(url.get_secret_value() for url in settings.rabbitmq_urls))
        broker = await stack.enter_async_context(
            clients.connect(_rabbitmq_settings(access, instance, settings), settings.rabbitmq_client)
        )
        post = await stack.enter_async_context(
            commander.connect(settings.commander_url, _secret(settings), settings.authority_file)
        )
        await runtime.serve(
            soldier,
            settings,
            broker,
            post,
            instance=instance,
            stop=stop,
            hurry=hurry,
            on_registered=access.heard,
        )


def _on_signals(stop: asyncio.Event, hurry: asyncio.Event) -> None:
    """The first signal asks to leave, the second to leave at once, the third does not ask."""
    asked = iter((stop.set, hurry.set))

    def leave() -> None:
        next(asked, _exit_now)()

    for number in LEAVE_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, leave)


def _exit_now() -> None:
    os._exit(EXIT_NOW)


def _leave_unbegun(_number: int, _frame: object) -> None:
    os._exit(0)


def _rabbitmq_settings(access: BrokerAccess, instance: str, settings: Settings) -> "rabbitmq.RabbitMQSettings":
    name, authority = f"soldier {instance}", settings.authority_file
    return rabbitmq.RabbitMQSettings(access=access.current, name=name, authority_file=authority)


def _secret(settings: Settings) -> Credential | None:
    if settings.token_file is not None:
        return ProjectedToken(settings.token_file)
    return ClientSecret(settings.client_id, settings.client_secret) if settings.client_secret else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mission-soldier",
        description="Runs missions of one pool with your handlers, until SIGTERM.",
        epilog="Settings come from the environment: "
        + ", ".join(f"SOLDIER_{name.upper()}" for name in Settings.model_fields)
        + ". What each means: docs/reference/settings.md.",
    )
    parser.add_argument(
        "handlers",
        nargs="?",
        help="your handlers as module:attribute, for example shop.handlers:soldier (default: SOLDIER_HANDLERS; "
        "with neither, only the built-in noop and simulate)",
    )
    return parser


def _readable(error: pydantic.ValidationError) -> str:
    def name(location: tuple[int | str, ...]) -> str:
        return "SOLDIER_" + ".".join(str(part) for part in location).upper()

    return "; ".join(f"{name(one['loc'])}: {one['msg']}" for one in error.errors(include_input=False))


if __name__ == "__main__":
    main()
