"""Who may come in, put together: users, tokens and their ends. The store of users comes from outside."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from mission_commander.api.authentication import Gate
from mission_commander.api.doors import Doors
from mission_commander.api.grants import (
    CLIENT_CREDENTIALS,
    REFRESH_TOKEN,
    SERVICE_ACCOUNT,
    ClientCredentials,
    Grant,
    Grants,
    Issuer,
    RefreshToken,
    ServiceAccount,
)
from mission_commander.api.limits import Limits
from mission_commander.api.permits import Permits
from mission_commander.commander import Commander
from mission_commander.domain.users import trouble_with_password
from mission_commander.services.first_admin import FirstAdmin
from mission_commander.services.passwords import Passwords
from mission_commander.services.refresh_tokens import RefreshTokens
from mission_commander.services.revocations import Revocations
from mission_commander.services.user_store import UserStore
from mission_commander.services.users import Lifetimes, Users
from mission_commander.services.workloads import Accounts, Cluster, Workloads
from mission_commander.settings import CommanderSettings
from mission_contracts.clock import Clock
from mission_contracts.signing_keys import SigningKeys
from mission_contracts.tokens import Tokens

Service = Callable[[], Awaitable[None]]


class Identity:
    """The doors of one Commander, and what runs behind them."""

    def __init__(
        self,
        commander: Commander,
        store: UserStore,
        settings: CommanderSettings,
        clock: Clock,
        cluster: Cluster | None = None,
    ) -> None:
        """`cluster` vouches for ServiceAccounts; without it nobody gets in by one."""
        lifetimes = Lifetimes(
            access_seconds=settings.token_seconds,
            refresh_seconds=settings.refresh_seconds,
            retry_seconds=settings.refresh_retry_seconds,
        )
        keys = SigningKeys(commander.install_key, settings.token_key_generation)
        tokens = Tokens(keys, clock)
        self._revocations = Revocations(store, clock)
        self.users = Users(
            store,
            Passwords(commander.install_key, cost=settings.password_cost),
            RefreshTokens(commander.install_key),
            self._revocations,
            clock,
            lifetimes,
        )
        issuer = Issuer(tokens, lifetimes)
        limits = Limits(commander.limiter, commander.counts, clock)
        self.doors = Doors(
            commander=commander,
            gate=Gate(tokens, self._revocations, clock, limits, grace=settings.token_grace_seconds),
            grants=Grants(
                {
                    CLIENT_CREDENTIALS: ClientCredentials(issuer, settings.clients, limits, self.users.audit),
                    REFRESH_TOKEN: RefreshToken(issuer, self.users),
                    **_by_service_account(issuer, cluster, settings),
                }
            ),
            issuer=issuer,
            users=self.users,
            keys=keys,
            limits=limits,
            permits=Permits(
                {name: one.rights() for name, one in settings.rights.items()},
                default=settings.default_rights,
                served=settings.served,
                namespace=settings.namespace,
            ),
        )
        self._first_admin = _first_admin(self.users, settings)

    def services(self) -> Sequence[Service]:
        """What runs while the Commander does."""
        admin = () if self._first_admin is None else (self._first_admin.run,)
        return (self._revocations.run, *admin)


def _by_service_account(issuer: Issuer, cluster: Cluster | None, settings: CommanderSettings) -> dict[str, Grant]:
    if cluster is None:
        return {}
    accounts = Accounts(
        namespace=settings.operator_namespace or settings.namespace,
        operator=settings.operator_account,
        served=settings.served,
    )
    return {SERVICE_ACCOUNT: ServiceAccount(issuer, Workloads(cluster, accounts))}


def _first_admin(users: Users, settings: CommanderSettings) -> FirstAdmin | None:
    """Read the Secret; where it holds no good password nobody is made, and the log says so."""
    file = settings.first_admin_password_file
    if not settings.first_admin or file is None:
        return None
    password, why = _password_in(file)
    if why:
        log = structlog.get_logger("first-admin")
        log.error("the first admin is not made: mend the Secret", why=why, file=str(file))
        return None
    return FirstAdmin(users, settings.first_admin, password)


def _password_in(file: Path) -> tuple[str, str]:
    """Give the password, and why it cannot be taken, if so."""
    try:
        password = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        return "", f"the password cannot be read ({type(error).__name__})"
    return password, trouble_with_password(password) or ""
