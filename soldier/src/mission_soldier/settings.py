"""Everything about a soldier that can be set, read once from the environment."""

import os
import secrets
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from mission_broker.client_kind import ClientKind
from mission_contracts.mission import Instance
from mission_contracts.names import DNS_LABEL_PATTERN

DnsLabel = Annotated[str, Field(pattern=DNS_LABEL_PATTERN)]


class Settings(BaseSettings):
    """Each is an environment variable: SOLDIER_ and the name in capitals."""

    model_config = SettingsConfigDict(env_prefix="SOLDIER_", frozen=True)

    handlers: str = ""
    """Where your handlers are, as `module:attribute` (the attribute is a Soldier; default `soldier`).

    Empty: the built-in handlers only.
    """

    commander_url: Annotated[str, Field(pattern=r"^https?://[^/]")] = "http://127.0.0.1:8484"
    """The Commander's address."""

    authority_file: Path | None = None
    """Authorities in PEM that the Commander's and RabbitMQ's certificates may come from, besides the system's."""

    client_id: str = "soldier"
    """Who this soldier says it is when it asks the Commander for a token."""

    client_secret: SecretStr | None = None
    """The secret that goes with the client id. Unset: no token is asked for, and calls carry none."""

    token_file: Path | None = None
    """A projected ServiceAccount token of the audience `mission-control`, used instead of id and secret.

    The Commander then knows this soldier's pool from its pod, and lets it run missions of that pool only.
    """

    rabbitmq_urls: Annotated[tuple[SecretStr, ...], NoDecode] = (SecretStr("amqp://guest:guest@127.0.0.1:5672/"),)
    """The nodes of one RabbitMQ cluster, separated by commas, tried in turn. They may carry a password.

    A Commander that makes users for its pools hands out addresses with a password at registration; these count then,
    and this setting is not used.
    """

    rabbitmq_client: ClientKind = ClientKind.FRAMES
    """Which code speaks AMQP: `aio-pika`, or `frames`, which batches whole frames and carries more messages."""

    namespace: DnsLabel = "default"
    """The namespace whose missions this soldier runs."""

    pool: DnsLabel = "default"
    """The pool it belongs to."""

    concurrency: Annotated[PositiveInt, Field(le=1024)] = 16
    """How many missions run at once.

    Raise it for handlers that mostly wait, lower it for handlers that compute: those share this process's one
    interpreter lock. At most 1024.
    """

    drain_seconds: NonNegativeFloat = 20.0
    """How long running missions may finish after SIGTERM; then they are released, uncharged, to other soldiers.

    A second SIGTERM ends it at once. Keep it, with flush_seconds and 7 s more, below the pod's grace period (30 s by
    default).
    """

    flush_seconds: NonNegativeFloat = 3.0
    """How long a leaving soldier tries to have its last reports confirmed by the broker.

    What is not confirmed by then runs again elsewhere once its lease is over.
    """

    cancel_grace_seconds: PositiveFloat = 5.0
    """How long a handler may take to stop by itself, after `ctx.cancelled`, before it is made to stop.

    Async handlers are then cancelled, processes killed; a thread can only be asked.
    """

    instance: str = ""
    """This process's own name; default: the pod's or host's name, a dash and 8 random hexadecimal digits.

    Never use one twice. With `token_file` it must have that form, with this pod's name.
    """

    pod: str = ""
    """The pod's name, from the downward API; the operator finds the pod of an idle soldier by it."""

    probe_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Serve /livez, /readyz and /metrics on this port (0: any free one). Unset: none of them."""

    log_format: Literal["json", "console"] = "json"
    """`json` for machines, `console` for people."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lines below this level are left out."""

    @field_validator("rabbitmq_urls", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(url.strip() for url in value.split(",") if url.strip()) if isinstance(value, str) else value

    def instance_name(self) -> Instance:
        """Give this process its name: the one set, or one that nobody had before."""
        if self.instance:
            return Instance(self.instance)
        return Instance(f"{self.pod or os.environ.get('POD_NAME') or socket.gethostname()}-{secrets.token_hex(4)}")
