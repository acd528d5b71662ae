"""A soldier's access token: fetched once at a time, renewed before it ends, and not when all other soldiers do."""

import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from pydantic import SecretStr

from mission_contracts.renewal import LATEST_SHARE, renew_after
from mission_contracts.rest import TokenAnswer, TokenRequest

MARGIN_SECONDS: Final = 2.0
"""A token this close to its end is not used any more: it would expire on the way."""
RETRY_SECONDS: Final = 1.0
"""About how long to wait after a failure: from half of it to once and a half."""


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """Who this soldier is, for POST /token."""

    client_id: str
    client_secret: SecretStr
    session: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    """Known to this process alone: other soldiers with the same secret cannot act for its instance."""

    def request(self) -> TokenRequest:
        secret = self.client_secret.get_secret_value()
        return TokenRequest(client_id=self.client_id, client_secret=secret, session=self.session)


@dataclass(frozen=True, slots=True)
class ProjectedToken:
    """The ServiceAccount's token that the kubelet puts into this pod, and renews: read anew each time."""

    file: Path

    def request(self) -> TokenRequest:
        return TokenRequest(grant_type="service_account", assertion=self.file.read_text().strip())


class Credential(Protocol):
    """What proves who this soldier is."""

    def request(self) -> TokenRequest:
        """Give the body for POST /token. Raises OSError where it cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: float
    ends_at: float


class TokenTooLateError(Exception):
    """A token took longer to come than it lives."""


class Tokens:
    """Holds one token for both threads. `renewed` blocks, so the event loop calls it in a thread."""

    def __init__(
        self,
        fetch: Callable[[Credential], TokenAnswer],
        secret: Credential,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._fetch = fetch
        self._secret = secret
        self._monotonic = monotonic
        self._chance = chance
        self._one_at_a_time = threading.Lock()
        self._token: _Token | None = None
        self._try_again_at = 0.0
        self._failure: Exception | None = None

    def valid(self) -> str | None:
        """Give the token if it can be used now; never waits."""
        token = self._token
        return token.text if token is not None and self._monotonic() < token.ends_at else None

    def renewed(self) -> str:
        """Give a valid token, and fetch a new one when that is due.

        The fetch's error is raised only when no valid token is left; those who waited for the same fetch, and whoever
        asks within the next moments, are given the same error.
        """
        with self._one_at_a_time:
            token = self._token
            is_due = token is None or self._monotonic() >= token.renew_at
            if is_due and self._monotonic() >= self._try_again_at:
                self._try()
            text = self.valid()
            if text is None:
                raise self._failure or TokenTooLateError("the token had ended when it came: look at the network")
            return text

    def refused(self, text: str) -> None:
        """The Commander refused this token: the next call fetches another."""
        token = self._token
        if token is not None and token.text == text:
            self._token = None

    def _try(self) -> None:
        began = self._monotonic()
        try:
            answer = self._fetch(self._secret)
        except Exception as error:  # noqa: BLE001  # it is kept, and raised where no token is left
            self._failure = error
            self._try_again_at = self._monotonic() + RETRY_SECONDS * (0.5 + self._chance())
            return
        self._failure = None
        self._try_again_at = 0.0
        lifetime = answer.expires_in
        self._token = _Token(
            text=answer.access_token,
            renew_at=began + renew_after(lifetime, self._chance()),
            ends_at=began + max(lifetime - MARGIN_SECONDS, lifetime * LATEST_SHARE),
        )
