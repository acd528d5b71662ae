"""Which code speaks AMQP: the name in a setting (docs/decisions/0003)."""

from enum import StrEnum


class ClientKind(StrEnum):
    """Both pass one conformance suite."""

    AIO_PIKA = "aio-pika"  # the library as its users know it
    FRAMES = "frames"  # batches whole frames on aiormq's connection: more messages a second
