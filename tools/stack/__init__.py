"""The real servers that a developer or a test needs, on one machine, started and stopped by us alone."""

from tools.stack.errors import StackError
from tools.stack.kube import ApiServer, KubeAccess, api_server
from tools.stack.pairs import Pair
from tools.stack.rabbitmq import RabbitServer, rabbitmq_server
from tools.stack.redis import RedisServer, redis_server
from tools.stack.server import Server

__all__ = [
    "ApiServer",
    "KubeAccess",
    "Pair",
    "RabbitServer",
    "RedisServer",
    "Server",
    "StackError",
    "api_server",
    "rabbitmq_server",
    "redis_server",
]
