"""RabbitMQ behind the broker's port: `async with connect(RabbitMQSettings(urls=…, name=…)) as broker`."""

from mission_broker.rabbitmq.broker import RabbitMQBroker, connect
from mission_broker.rabbitmq.settings import Access, RabbitMQSettings

__all__ = ["Access", "RabbitMQBroker", "RabbitMQSettings", "connect"]
