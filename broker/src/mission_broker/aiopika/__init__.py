"""The broker's port on plain aio-pika: `async with connect(RabbitMQSettings(urls=…, name=…)) as broker`."""

from mission_broker.aiopika.broker import AioPikaBroker, connect

__all__ = ["AioPikaBroker", "connect"]
