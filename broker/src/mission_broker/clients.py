"""Connects with the client that a setting names."""

from contextlib import AbstractAsyncContextManager

from mission_broker import aiopika, rabbitmq
from mission_broker.client_kind import ClientKind
from mission_broker.port import Broker
from mission_broker.rabbitmq.settings import RabbitMQSettings


def connect(settings: RabbitMQSettings, kind: ClientKind) -> AbstractAsyncContextManager[Broker]:
    """Begin to connect, and stay connected while the context is open. It does not wait: see `wait_connected`."""
    return aiopika.connect(settings) if kind is ClientKind.AIO_PIKA else rabbitmq.connect(settings)
