"""The broker's exchanges and queues as values: declared by some, consumed by others, drawn by the docs."""

from typing import Any, Final, Literal

import msgspec

from mission_contracts.mission import Instance, Priority

ORDERS_DELIVERY_LIMIT: Final = 50
"""A net, not a counter: the attempt number that makes a dead letter is the ledger's own."""

KEEP_DELIVERY_LIMIT: Final = 1_000_000
"""RabbitMQ 4 drops after 20 returns by default and understands no "never" on every version."""

CONSUMER_TIMEOUT_MS: Final = 400 * 86_400 * 1000
"""Beyond any mission: a delivery is held as long as its handler runs."""

MAX_HINTS: Final = 10_000
"""Messages in one process's own queue: hints, of which each is said for sure elsewhere."""
MAX_HINT_BYTES: Final = 16 * 1024 * 1024

MOST_OF_AN_INSTANCE: Final = 100
"""A queue's name has at most 255 bytes; what tells instances apart is at the end of theirs."""


class Exchange(msgspec.Struct, frozen=True):
    """Where messages are published."""

    name: str
    kind: Literal["direct", "fanout"] = "direct"


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Where messages wait. Durable and replicated (`quorum`), unless it is one process's own (`transient`)."""

    name: str
    bound_to: Exchange
    key: str
    delivery_limit: int = KEEP_DELIVERY_LIMIT
    dead_letters_to: "Queue | None" = None
    single_active_consumer: bool = False
    transient: bool = False

    def arguments(self) -> dict[str, Any]:
        """The queue's declaration arguments; frozen for its lifetime, so they carry nothing tunable."""
        if self.transient:
            return {"x-max-length": MAX_HINTS, "x-max-length-bytes": MAX_HINT_BYTES}  # the oldest give way
        arguments: dict[str, Any] = {
            "x-queue-type": "quorum",
            "x-delivery-limit": self.delivery_limit,
            "x-consumer-timeout": CONSUMER_TIMEOUT_MS,
        }
        if self.single_active_consumer:
            arguments["x-single-active-consumer"] = True
        if self.dead_letters_to is not None:
            arguments |= {
                "x-dead-letter-exchange": self.dead_letters_to.bound_to.name,
                "x-dead-letter-routing-key": self.dead_letters_to.key,
                "x-dead-letter-strategy": "at-least-once",
                "x-overflow": "reject-publish",  # at-least-once dead lettering asks for it
            }
        return arguments


MISSIONS: Final = Exchange("missions")
REPORTS: Final = Exchange("missions.reports")
CONTROL: Final = Exchange("missions.control", "fanout")
ACCEPTED: Final = Exchange("missions.accepted", "fanout")
"""Tells every Commander what one of them accepted, and whose hearts it heard beat, without the ledger."""

EXCHANGES: Final = (MISSIONS, REPORTS, CONTROL, ACCEPTED)

DEAD: Final = Queue(name="missions.dead", bound_to=MISSIONS, key="missions.dead")
REJECTED: Final = Queue(name="missions.rejected", bound_to=REPORTS, key="missions.rejected")
"""On the exchange of reports: a soldier may write to that one only, and keeps here what it cannot use."""
STATUS: Final = Queue(name="missions.status", bound_to=REPORTS, key="missions.status", single_active_consumer=True)

FIXED_QUEUES: Final = (DEAD, REJECTED, STATUS)


class QueueBound(msgspec.Struct, frozen=True, kw_only=True):
    """What queues of some names may hold: a policy, since the arguments of a queue that exists cannot be changed."""

    name: str
    """Of the policy."""
    pattern: str
    max_messages: int
    max_bytes: int
    drops_oldest: bool
    """Else what exceeds it is refused, and whoever publishes keeps it and tries again."""

    def definition(self) -> dict[str, Any]:
        """The policy's definition, in RabbitMQ's words."""
        overflow = "drop-head" if self.drops_oldest else "reject-publish"
        return {"max-length": self.max_messages, "max-length-bytes": self.max_bytes, "overflow": overflow}


QUEUE_BOUNDS: Final = (
    QueueBound(
        name="missions.rejected",
        pattern=r"^missions\.rejected$",
        max_messages=10_000,
        max_bytes=64 * 1024 * 1024,
        drops_oldest=True,
    ),
    QueueBound(
        name="missions.status",
        pattern=r"^missions\.status$",
        max_messages=1_000_000,
        max_bytes=1024 * 1024 * 1024,
        drops_oldest=False,
    ),
    QueueBound(
        name="missions.hints",
        pattern=r"^missions\.(control|accepted)\.",
        max_messages=MAX_HINTS,
        max_bytes=MAX_HINT_BYTES,
        drops_oldest=True,
    ),
)
"""Those that a soldier may fill: it publishes to the first two, and declares queues of the third kind as it likes."""


def orders_of(namespace: str, pool: str, priority: Priority = Priority.NORMAL) -> Queue:
    """The queue that one pool's soldiers take orders of one priority from."""
    suffix = ".high" if priority is Priority.HIGH else ""
    name = f"missions.orders.{namespace}.{pool}{suffix}"
    return Queue(name=name, bound_to=MISSIONS, key=name, delivery_limit=ORDERS_DELIVERY_LIMIT, dead_letters_to=DEAD)


def queues_of(namespace: str, pool: str) -> tuple[Queue, Queue]:
    """Both queues of a pool: High first, as soldiers serve them."""
    return orders_of(namespace, pool, Priority.HIGH), orders_of(namespace, pool)


def control_of(namespace: str, pool: str, instance: Instance) -> Queue:
    """One soldier's own queue of hints. Its pool is in the name, so that a pool's RabbitMQ user reaches no other's."""
    name = f"{control_prefix(namespace, pool)}{instance[-MOST_OF_AN_INSTANCE:]}"
    return Queue(name=name, bound_to=CONTROL, key="", transient=True)


def control_prefix(namespace: str, pool: str) -> str:
    """What the names of a pool's control queues begin with: neither part holds a dot, so no pool's begins another's."""
    return f"{CONTROL.name}.{namespace}.{pool}."
