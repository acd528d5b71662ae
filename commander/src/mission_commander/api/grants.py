"""The ways to an access token: each `grant_type` of POST /token is one small object."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol

from mission_commander.api.answers import ProblemError
from mission_commander.api.limits import SecretThrottle
from mission_commander.services.audit_log import AuditLog
from mission_commander.services.passwords import PasswordsBusyError
from mission_commander.services.users import Lifetimes, NotLetInError, Pair, Users
from mission_commander.services.workloads import AUDIENCE, ClusterAwayError, StrangerError, Workloads
from mission_commander.settings import Client
from mission_contracts.rest import TokenAnswer, TokenRequest
from mission_contracts.tokens import Holder, Tokens

CLIENT_CREDENTIALS: Final = "client_credentials"
SERVICE_ACCOUNT: Final = "service_account"
REFRESH_TOKEN: Final = "refresh_token"  # noqa: S105 - the name of a grant
NEVER_STORED: Final = {"Cache-Control": "no-store"}
_SESSION_DIGITS: Final = 32
BUSY_RETRY_SECONDS: Final = 2.0


class Grant(Protocol):
    """One way: reads its own fields of the request, and knows who that is."""

    async def issue(self, asked: TokenRequest, address: str) -> TokenAnswer:
        """Give a token to who asks from this address, or end the request with a ProblemError."""
        ...


class Grants:
    """All ways there are, by the name they have in a request."""

    def __init__(self, by_type: Mapping[str, Grant]) -> None:
        self._by_type = by_type

    async def issue(self, asked: TokenRequest, address: str) -> TokenAnswer:
        grant = self._by_type.get(asked.grant_type)
        if grant is None:
            detail = f"there is no such grant_type here: use one of {', '.join(sorted(self._by_type))}"
            raise ProblemError(400, "UnknownGrant", detail, field="grant_type")
        return await grant.issue(asked, address)


class Issuer:
    """Makes the answer for whoever has proven who they are."""

    def __init__(self, tokens: Tokens, lifetimes: Lifetimes) -> None:
        self._tokens = tokens
        self._lifetimes = lifetimes

    def answer(self, holder: Holder) -> TokenAnswer:
        token = self._tokens.sign(holder, lifetime_seconds=self._lifetimes.access_seconds)
        return TokenAnswer(access_token=token, expires_in=self._lifetimes.access_seconds)

    def pair(self, pair: Pair) -> TokenAnswer:
        """Answer a user; the same pair gives the same answer, to the last letter."""
        seconds = self._lifetimes.access_seconds
        return TokenAnswer(
            access_token=self._tokens.sign(pair.holder, lifetime_seconds=seconds, issued_at=pair.issued_at),
            expires_in=seconds,
            refresh_token=pair.refresh_token,
            refresh_expires_in=self._lifetimes.refresh_seconds,
        )


class ClientCredentials:
    """A machine with a secret of its own, named in the settings."""

    def __init__(
        self, issuer: Issuer, clients: Mapping[str, Client], throttle: SecretThrottle, audit: AuditLog
    ) -> None:
        self._issuer = issuer
        self._clients = clients
        self._throttle = throttle
        self._audit = audit

    async def issue(self, asked: TokenRequest, address: str) -> TokenAnswer:
        """Give a token; an unknown client and a wrong secret look and take the same."""
        client_id = told(asked.client_id, "client_id")
        given = told(asked.client_secret, "client_secret")
        client = self._clients.get(client_id)
        secret = client.secret.get_secret_value() if client else ""
        is_right = hmac.compare_digest(_digest(secret), _digest(given)) and client is not None
        self._throttle.judge(client_id, address, is_right=is_right)
        if client is None or not is_right:
            self._audit.client_refused(client_id if client else "")
            raise ProblemError(401, "BadCredentials", "client id or secret is wrong: check both")
        return self._issuer.answer(
            Holder(
                subject=client_id,
                role=client.role,
                namespace=client.namespace,
                pool=client.pool,
                rights=client.rights,
                session=_digest(asked.session).hex()[:_SESSION_DIGITS] if asked.session else None,
            )
        )


class RefreshToken:
    """A user who has logged in before."""

    def __init__(self, issuer: Issuer, users: Users) -> None:
        self._issuer = issuer
        self._users = users

    async def issue(self, asked: TokenRequest, address: str) -> TokenAnswer:  # noqa: ARG002  # nobody guesses these
        async with answered():
            return self._issuer.pair(await self._users.refresh(told(asked.refresh_token, "refresh_token")))


class ServiceAccount:
    """A pod of the cluster, by the token that its kubelet projects."""

    def __init__(self, issuer: Issuer, workloads: Workloads) -> None:
        self._issuer = issuer
        self._workloads = workloads

    async def issue(self, asked: TokenRequest, address: str) -> TokenAnswer:  # noqa: ARG002  # nobody guesses these
        try:
            holder = await self._workloads.holder_of(told(asked.assertion, "assertion"))
        except StrangerError as error:
            raise ProblemError(403, "Stranger", f"{error}") from error
        except ClusterAwayError as error:
            detail = "the Kubernetes API cannot say now whose token this is: try again in a second"
            raise ProblemError(503, "ClusterAway", detail, retry_after=1) from error
        if holder is None:
            detail = (
                f"the cluster does not vouch for this token: it needs the audience {AUDIENCE}, and a pod that lives"
            )
            raise ProblemError(401, "BadCredentials", detail)
        return self._issuer.answer(holder)


@asynccontextmanager
async def answered() -> AsyncIterator[None]:
    """Put the refusals of users into problems."""
    try:
        yield
    except NotLetInError as error:
        raise ProblemError(401, "BadCredentials", str(error)) from error
    except PasswordsBusyError as error:
        raise ProblemError(503, "PasswordsBusy", str(error), retry_after=BUSY_RETRY_SECONDS) from error


def told(value: str | None, field: str) -> str:
    """Give what the request says in a field that its grant needs; 422 where it says nothing."""
    if value is None:
        raise ProblemError(422, "BadField", f"this grant_type needs {field}: send it", field=field)
    return value


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
