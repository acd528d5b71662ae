"""What an operator can be told from outside: environment variables, read once, at the start."""

import os
import socket
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AnyHttpUrl, BeforeValidator, Field, PositiveFloat, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from mission_contracts.names import DNS_LABEL_PATTERN


class LogFormat(StrEnum):
    """JSON for machines, text for people."""

    JSON = "json"
    TEXT = "text"


class BrokerSource(StrEnum):
    """Who tells soldiers where RabbitMQ is, and as whom they log in there."""

    SECRET = "Secret"  # noqa: S105 - a kind of object
    COMMANDER = "Commander"


class SoldierIdentity(StrEnum):
    """What soldiers prove with who they are."""

    SECRET = "Secret"  # noqa: S105 - a kind of object
    SERVICE_ACCOUNT = "ServiceAccount"


def _own_identity() -> str:
    # Inside a pod the host's name is the pod's; the process id tells two operators on one machine apart.
    return f"{socket.gethostname()}-{os.getpid()}"


def _parts(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


POOL_PATTERN: Final = "pool-*"
Pattern = Annotated[str, Field(max_length=253, pattern=r"^[a-z0-9.-]*\*?$", min_length=1)]
Patterns = Annotated[tuple[Pattern, ...], NoDecode, BeforeValidator(_parts)]
"""Names of objects, or beginnings of names; without any nothing is allowed."""


class OperatorSettings(BaseSettings):
    """Environment variables start with `OPERATOR_`; the Kubernetes API is found as kubectl finds it, or in-cluster."""

    model_config = SettingsConfigDict(env_prefix="OPERATOR_", frozen=True, use_attribute_docstrings=True)

    commander_url: AnyHttpUrl
    """Where the Commander listens, for example http://commander:8080."""

    authority_file: Path | None = None
    """Authorities in PEM that the Commander's certificate may come from, besides the system's."""

    client_id: str = "operator"
    """The name this operator logs in to the Commander with (OAuth 2.0 client credentials)."""

    client_secret: SecretStr | None = None
    """The secret that belongs to `client_id`. It is sent to the Commander's POST /token and nowhere else."""

    token_file: Path | None = None
    """A projected ServiceAccount token of the audience `mission-control`, used instead of id and secret."""

    namespace: str = Field(default="default", pattern=DNS_LABEL_PATTERN)
    """The namespace whose Missions and SoldierPools are served; the operator's Lease lives there too."""

    lease_name: str = Field(default="mission-operator", pattern=DNS_LABEL_PATTERN)
    """The Lease that the acting operator holds. Two installations in one namespace need two names."""

    lease_seconds: int = Field(default=3, ge=3, le=60)
    """How long the Lease lives without being renewed, which is how soon another operator takes over from a dead one.

    It is renewed at each third of it. An operator that cannot renew it goes on, and stops when it hears that another
    one holds it. Raise it where several run and are often slower than that: each that loses it starts anew.
    """

    identity: str = Field(default_factory=_own_identity, min_length=1)
    """Who holds the Lease. Default: host name (in a cluster the pod's) and process id. Unique per process."""

    default_pool_file: Path | None = None
    """A SoldierPool in JSON that is created when no pool of its name exists. Default: none is created."""

    soldier_image: str = "mission-soldier:latest"
    """The image of pools that name none."""

    soldier_commander_url: AnyHttpUrl | None = None
    """The Commander's address as soldiers see it. Default: the operator's own `commander_url`."""

    soldier_secret_name: str = "mission-soldier"  # noqa: S105 - the name of a Secret, not its content
    """The Secret that soldiers log in with: its keys are `client-secret` and `rabbitmq-urls`.

    Only its name is used here: the kubelet reads it, the operator holds no right on Secrets.
    """

    soldier_rabbitmq_secret_name: str | None = None
    """The Secret whose key `rabbitmq-urls` names the broker. Default: the one that soldiers log in with."""

    soldier_rabbitmq_from: BrokerSource = BrokerSource.SECRET
    """Secret: that Secret is put into soldiers' pods. Commander: it tells each soldier when it registers.

    Commander needs a Commander with `rabbitmq_management_url`; soldiers' pods then hold no password of RabbitMQ.
    """

    soldier_identity: SoldierIdentity = SoldierIdentity.SECRET
    """Secret: soldiers log in with the client id and the secret of that Secret. ServiceAccount: with a token that their
    pods are given for the audience `mission-control`, which is good for their own pool only.
    """

    soldier_client_id: str = "soldier"
    """The name soldiers log in to the Commander with."""

    soldier_service_account: str = "default"
    """The ServiceAccount that soldiers run as; it needs no rights."""

    pool_secrets: Patterns = (POOL_PATTERN,)
    """Secrets that pools' templates may name: names, or beginnings of names that end in `*`, separated by commas.

    A pool that names another one is refused, with condition Deployed=False and reason ReferenceRefused.
    """

    pool_config_maps: Patterns = (POOL_PATTERN,)
    """ConfigMaps that pools' templates may name."""

    pool_claims: Patterns = (POOL_PATTERN,)
    """PersistentVolumeClaims that pools' templates may name."""

    pool_service_accounts: Patterns = (POOL_PATTERN,)
    """ServiceAccounts that pools' templates may name, besides `soldier_service_account`."""

    reserved_names: Patterns = ()
    """Names that no pool's template may use, whatever the four above allow: those of the installation's own objects."""

    soldier_authority_config_map: str | None = None
    """A ConfigMap of the served namespace whose key `ca.crt` holds the authorities that soldiers are to believe."""

    probe_port: int = Field(default=8081, ge=0, le=65535)
    """Where /livez and /readyz answer. 0 takes any free port and logs it."""

    probe_host: str = "0.0.0.0"
    """The address the probes listen on. Default: all, as the kubelet asks from outside the pod."""

    patches_in_flight: int = Field(default=32, ge=1, le=256)
    """Status writes under way at once. More press the API server harder, fewer leave it idle."""

    resync_seconds: PositiveFloat = 300
    """How often everything is compared with the Commander although nothing seems wrong.

    A reconnect to the Commander compares at once; this is the net below it.
    """

    stale_watch_seconds: PositiveFloat = 15
    """A watch that does not show what we wrote for this long counts as dead, and the operator restarts."""

    log_format: LogFormat = LogFormat.JSON
    """json (one object per line) or text."""

    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    """DEBUG, INFO, WARNING or ERROR."""

    @model_validator(mode="after")
    def _can_log_in(self) -> Self:
        if self.client_secret is None and self.token_file is None:
            raise ValueError(
                "the operator has nothing to log in to the Commander with: set client_secret or token_file"
            )
        return self
