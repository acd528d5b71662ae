"""Everything one may set, read once at start from the environment (prefix COMMANDER_)."""

import json
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import limits
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from mission_broker.client_kind import ClientKind
from mission_commander.domain.rates import Rate
from mission_commander.domain.rights import Rights
from mission_contracts.names import DNS_LABEL_PATTERN, TYPE_PATTERN
from mission_contracts.tokens import LONGEST_TOKEN_SECONDS, Role

DnsLabel = Annotated[str, Field(pattern=DNS_LABEL_PATTERN)]


MAX_RIGHTS_SETS: Final = 1_000
MAX_NAMES: Final = 1_000
"""In one list of a set of rights."""

RightsName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
DnsLabels = Annotated[frozenset[DnsLabel], Field(max_length=MAX_NAMES)]


class RightsSet(BaseModel):
    """What the users and clients that name this set may submit, and which pools they see. Without a list: any."""

    model_config = ConfigDict(extra="forbid")

    namespaces: DnsLabels | None = None
    pools: DnsLabels | None = None
    types: Annotated[frozenset[Annotated[str, Field(pattern=TYPE_PATTERN)]], Field(max_length=MAX_NAMES)] | None = None
    high_priority: bool = False

    def rights(self) -> Rights:
        return Rights(**self.model_dump())


class Client(BaseModel):
    """A machine that gets tokens for a secret (`POST /token`)."""

    secret: SecretStr
    role: Role
    namespace: DnsLabel | None = None
    pool: DnsLabel | None = None
    """A soldier's: the one pool, and its namespace, that it may register, claim and beat for. Unset: any."""
    rights: RightsName | None = None
    """The set of rights of a user or viewer, from `COMMANDER_RIGHTS`. Unset: the one of `COMMANDER_DEFAULT_RIGHTS`."""

    @model_validator(mode="after")
    def _has_both_or_neither(self) -> Self:
        if (self.namespace is None) != (self.pool is None):
            raise ValueError("namespace and pool limit a client together: set both, or neither")
        return self

    @model_validator(mode="after")
    def _has_rights_that_count(self) -> Self:
        if self.rights is not None and self.role not in (Role.USER, Role.VIEWER):
            raise ValueError(f"rights restrict users and viewers, not the role {self.role.value}: leave them out")
        return self


def rate_of(written: str) -> Rate | None:
    """Read a limit as it is written in the settings; None where there is none."""
    if written == "off":
        return None
    why_not = f'{written!r} is no limit: write "600 per minute", "50 per 10 seconds" or "off"'
    try:
        item = limits.parse(written)
    except ValueError as error:
        raise ValueError(why_not) from error
    if item.amount < 1:
        raise ValueError(why_not)
    return Rate(item.amount, item.get_expiry())


def _checked(written: str) -> str:
    rate_of(written)
    return written


Limited = Annotated[str, AfterValidator(_checked)]


class CommanderSettings(BaseSettings):
    """The Commander's settings. Secrets are never logged nor printed."""

    model_config = SettingsConfigDict(env_prefix="COMMANDER_", frozen=True)

    install_key: SecretStr
    """At least 32 bytes of secret, the same in every replica, for the installation's lifetime.

    Mission ids, claim secrets and signing keys derive from it: another key is another installation.
    Make one with `openssl rand -hex 32`.
    """

    clients: dict[str, Client] = Field(default_factory=dict)
    """Who may get a token for a secret, as JSON: {"operator": {"secret": "…", "role": "operator"}, …}."""

    rights: Annotated[dict[RightsName, RightsSet], Field(max_length=MAX_RIGHTS_SETS)] = Field(default_factory=dict)
    """Sets of rights by name, as JSON: {"shop": {"pools": ["web"], "types": ["resize"], "high_priority": true}, …}.

    A set has lists of `namespaces`, `pools` and `types` (without a list: any) and `high_priority` (false). Clients name
    their set in `COMMANDER_CLIENTS`, users are given one by an admin (`POST /register`, `PATCH /users/{name}`). It says
    which missions they may submit and which pools they see. Admins and the operator are not restricted.
    """

    default_rights: RightsName | Literal[""] = ""
    """The set of users and clients that name none. Empty: every namespace that is served, every pool and type, and
    priority Normal."""

    operator_account: str = ""
    """The ServiceAccount whose pods are the operator, in `operator_namespace`.

    Set: pods log in with a projected token of the audience `mission-control`, which the Kubernetes API reviews. A pod
    with the label `missioncontrol.dev/pool` is a soldier of that pool, whichever account it runs as, and its token is
    good for that pool only; one without it and of this account is the operator. Unset: a ServiceAccount opens nothing.
    """

    operator_namespace: DnsLabel | None = None
    """The namespace of the operator's pods. Unset: `namespace`."""

    kubernetes_url: str = "https://kubernetes.default.svc"
    """The Kubernetes API; asked only where `operator_account` is set."""

    kubernetes_token_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    """This Commander's own token for it: it needs `create` on tokenreviews, and `get` on served namespaces' pods."""

    kubernetes_authority_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
    """The authority of the API's certificate."""

    namespace: DnsLabel = "default"
    """Where REST missions go that name no namespace; it is always served."""

    namespaces: Annotated[list[DnsLabel], NoDecode] = Field(default_factory=list)
    """Further namespaces whose missions and pools are served. Separated by commas, or as a list in JSON."""

    listen_host: str = "127.0.0.1"
    """The address to listen on. In a pod: 0.0.0.0."""

    listen_port: Annotated[int, Field(ge=0, le=65535)] = 8484
    """The port to listen on; 0 takes a free one."""

    tls_certificate_file: Path | None = None
    """A certificate in PEM, and its chain: the API then speaks HTTPS only. It is read again when it has changed."""

    tls_key_file: Path | None = None
    """The key of that certificate, in PEM."""

    authority_file: Path | None = None
    """Authorities in PEM that the certificates of RabbitMQ, its management API and Redis may come from, besides the
    system's."""

    rabbitmq_urls: Annotated[list[str], NoDecode] = Field(
        default_factory=lambda: ["amqp://guest:guest@127.0.0.1:5672/"]
    )
    """The nodes of one RabbitMQ cluster, tried in turn, for ever. Separated by commas, or as a list in JSON."""

    rabbitmq_client: ClientKind = ClientKind.FRAMES
    """Which code speaks AMQP: `aio-pika`, or `frames`, which batches whole frames and carries more messages."""

    rabbitmq_management_url: SecretStr | None = None
    """RabbitMQ's management API, as http://user:password@host:15672; the user needs the tag administrator.

    Set: each pool gets a RabbitMQ user that may read its own orders, write reports and nothing else, and its soldiers
    are told of it when they register. Unset: soldiers use the addresses of their own setting.
    """

    redis_url: str = "redis://127.0.0.1:6379/0"
    """The ledger. It must be durable: `appendonly yes`, `appendfsync always`, `maxmemory-policy noeviction`.

    Redis 7.0 or later. A user with an ACL needs `+info +memory|usage` too, or `ledger_watermark` has no effect.
    """

    redis_prefix: str = "mc:"
    """What every key of the ledger starts with."""

    heartbeat_seconds: Annotated[float, Field(ge=0.1, le=30)] = 1.5
    """How often soldiers say what they hold. More often finds deaths sooner and costs a request per soldier."""

    lease_seconds: Annotated[float, Field(ge=0.5, le=300)] = 6.0
    """How long a claim lives without a heartbeat. Keep it at four heartbeats or more: a lost one must not cost work."""

    cancel_deadline_seconds: Annotated[float, Field(ge=1, le=3600)] = 30.0
    """How long a running mission may take to stop when it is cancelled; then it is Cancelled without its word."""

    retention_seconds: Annotated[float, Field(ge=60, le=366 * 86_400)] = 7 * 86_400
    """How long final missions stay in the ledger, at least. An idempotency key names its mission as long.

    Used again later, the key begins a new mission. Sinks that remember keys should forget them as late as this.
    """

    gap_seconds: Annotated[float, Field(ge=0, le=366 * 86_400)] = 300.0
    """How long a lane waits for a sequence number that does not come; then it goes on without it.

    Raise it where producers may be down for longer and order matters more than waiting.
    """

    lane_mark_seconds: Annotated[float, Field(ge=60, le=10 * 366 * 86_400)] = 30 * 86_400
    """How long an unused lane remembers how far its sequence numbers came; at least as long as final missions stay."""

    token_seconds: Annotated[float, Field(ge=30, le=LONGEST_TOKEN_SECONDS)] = 300.0
    """How long an access token lives. Short ones are safer to lose; they are renewed before they end."""

    refresh_seconds: Annotated[float, Field(ge=30, le=366 * 86_400)] = 7 * 86_400
    """How long a user's refresh token lives. Each use gives the next one, so who comes back in time stays logged in."""

    refresh_retry_seconds: Annotated[float, Field(ge=0, le=60)] = 10.0
    """How long a refresh token that was just used gets the very same pair again, for an answer that was lost.

    Later use ends the login: somebody has a copy. The replicas' clocks must agree better than this.
    """

    registration: Literal["closed", "open"] = "closed"
    """closed: only an admin registers users (`POST /register`); open: everybody may register, with the role user."""

    password_cost: Annotated[int, Field(ge=4, le=16)] = 12
    """How slowly passwords are hashed (bcrypt); each step doubles the time. Below 10 is for tests only."""

    first_admin: Annotated[str, Field(pattern=r"^([a-z][a-z0-9._-]{1,62})?$")] = ""
    """The name of an admin who is always there, with the password of `first_admin_password_file`. Empty: none."""

    first_admin_password_file: Path | None = None
    """A file, such as a mounted Secret, that holds the first admin's password.

    A changed password counts from a restart on; who is logged in with the old one is out.
    """

    token_grace_seconds: Annotated[float, Field(ge=0, le=60)] = 5.0
    """How long after its end a token is still taken: for requests that were on their way."""

    token_key_generation: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    """Which generation of the signing key is in use; tokens of the one before and of the one after are accepted too.

    Raise it by one, and restart the replicas in any order, to rotate: no token is refused. Raise it by two to refuse
    at once all tokens that were signed before, for a key that was lost.
    """

    limit_submit: Limited = "50000 per 10 seconds"
    """How many missions one subject may submit, as "600 per minute"; "off" is no limit. Batches count each.

    All of them may come at once; after that they come in at the same rate, 5,000 a second here. Retries and redrives
    count too. What is too much is refused with 429 and Retry-After. Neither operators nor soldiers are limited.
    """

    limit_read: Limited = "20000 per 10 seconds"
    """How many requests that only read one subject may send; written like `limit_submit`."""

    limit_wish: Limited = "20000 per 10 seconds"
    """How many requests that change something there is (cancel, suspend, …) one subject may send."""

    payload_bytes: Annotated[int, Field(ge=1024 * 1024)] = 128 * 1024 * 1024
    """How many bytes of waiting missions' payloads are held in memory; the rest is read from the ledger when needed.

    Only what is held can be restored together with its mission when the ledger's data are lost while the mission is
    in no queue of the broker. What it takes comes on top of some 0.75 KB for each live mission.
    """

    limit_submit_bytes: Limited = "16000000 per 5 seconds"
    """How many bytes of payload one subject may submit, and the objects of one namespace. What is too much is refused
    with 429; an object waits, and is submitted again. One batch may be larger than all of it, and is paid off then.
    """

    limit_payload_bytes: Annotated[int, Field(ge=0)] = 256 * 1024 * 1024
    """How many bytes of payload the ledger holds for one subject, or for one namespace's objects; beyond it new ones
    are 429 (QuotaReached). 0: no bound. Payloads of more than 1 KiB leave at the end of their missions, those of dead
    letters with their records.
    """

    limit_payload_bytes_all: Annotated[int, Field(ge=0)] = 1024 * 1024 * 1024
    """How many bytes of payload the ledger holds in all; 0: no bound. One subject may have as much as is still free,
    so that several share it and there is always some left for another one.
    """

    limit_ledger_share: Annotated[float, Field(gt=0, le=1_000)] = 1.0
    """How many bytes of the ledger one subject's missions may take, final ones included, for each byte that is still
    free below the watermark; beyond it new ones are 429 (QuotaReached). At 1 one subject can take half of the ledger,
    two subjects a third each. Raise it where there is only one.
    """

    ledger_watermark: Annotated[float, Field(gt=0, le=0.95)] = 0.8
    """The part of Redis' maxmemory from which on new missions are refused (503, LedgerFull) and `/health` is degraded.

    The rest is for those that are there: they run, end, are cancelled and purged also beyond maxmemory.
    """

    ledger_bytes: Annotated[int, Field(ge=0)] = 0
    """How many bytes missions may take in a Redis without a maxmemory of its own; 0: no bound."""

    limit_live: Annotated[int, Field(ge=0)] = 1_000_000
    """How many missions that are not final one subject may have; one more is 429 (QuotaReached). 0: any number.

    Each takes about 0.75 KB of every Commander's memory. Missions of the cluster are bounded there, by a ResourceQuota
    on `count/missions.missioncontrol.dev`.
    """

    limit_login_address: Limited = "60 per minute"
    """How many logins one address (of IPv6: one /64) may try; what succeeds does not count.

    Behind a proxy all people come from its address, unless the Commander trusts it (`trusted_proxies`).
    """

    limit_login_user: Limited = "10 per minute"
    """How many failed logins one user name may have, from wherever they come, whether there is such a user or not."""

    limit_client_address: Limited = "60 per minute"
    """How many wrong client secrets one address (of IPv6: one /64) may send to `POST /token`."""

    limit_client: Limited = "10 per minute"
    """How many of them it may send for one client id, whether there is such a client or not.

    Counted for each address by itself, so that nobody keeps a client out from elsewhere. Where the right secret came
    from within a day, it is let in whatever else comes from there.
    """

    limit_share_alone: Annotated[float, Field(gt=0, le=1)] = 0.5
    """The part of each limit that one replica grants while Redis is away and it hears nothing of the others."""

    trusted_proxies: str = "127.0.0.1"
    """Whose X-Forwarded-For is believed: addresses and networks, separated by commas; * believes everybody.

    Name your ingress here, else all its users share one address in `limit_login_address`.
    """

    http_connections: Annotated[int, Field(ge=10, le=1_000_000)] = 4_000
    """How many clients may be connected at once, WebSockets too; the one that was idle longest leaves for a new one.

    At most what this process may have open files (`ulimit -n`), without some 200 for itself.
    """

    http_head_bytes: Annotated[int, Field(ge=8_192, le=1_048_576)] = 16_384
    """How large a request's line and headers may be together; more is 431."""

    http_head_seconds: Annotated[float, Field(ge=0.1, le=600)] = 10.0
    """How long a request's line and headers may take to come in, from the connection's start or their first byte."""

    http_body_bytes_per_second: Annotated[float, Field(ge=1)] = 8_192.0
    """How fast a body has to come in on average, after a first `http_head_seconds`; a slower one is 408."""

    http_bodies_bytes: Annotated[int, Field(ge=64 * 1024 * 1024)] = 256 * 1024 * 1024
    """How many bytes of large request bodies may be in memory at once while they come in; what exceeds it is 503.

    At most 32 MiB are one batch's. A body of up to 16 KiB does not count.
    """

    http_unread_seconds: Annotated[float, Field(ge=0.1, le=3_600)] = 30.0
    """How long an answer, or an event stream, may wait for its client to read on; then the connection is ended."""

    metrics_access: Literal["open", "token"] = "open"
    """Who may read `GET /metrics`: open needs no token, token needs one, as `GET /status` does.

    The page holds numbers of the whole installation: no ids, no payloads, no names of pools or users.
    """

    require_broker_at_start: bool = False
    """true: do not listen before the broker can be reached."""

    log_format: Literal["json", "console"] = "json"
    """console is for people, json for machines."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is worth a log line."""

    @model_validator(mode="after")
    def _serves_tls_or_not(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("tls_certificate_file and tls_key_file belong together: set both, or neither")
        return self

    @model_validator(mode="after")
    def _names_sets_that_exist(self) -> Self:
        named = {f"client {name}": client.rights for name, client in self.clients.items() if client.rights}
        for who, rights in {**named, "default_rights": self.default_rights}.items():
            if rights and rights not in self.rights:
                raise ValueError(f"{who} names the set of rights {rights!r}, and `rights` has none of that name")
        return self

    @property
    def served(self) -> frozenset[str]:
        """All namespaces whose missions and pools are served."""
        return frozenset({self.namespace, *self.namespaces})

    @field_validator("rabbitmq_urls", "namespaces", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Soldiers' setting is written with commas, and one Secret serves both."""
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return json.loads(value)
        return [one.strip() for one in value.split(",") if one.strip()]
