"""A soldier's access token: fetched once at a time, renewed long before it ends."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from mission_contracts.rest import TokenAnswer, TokenRequest

MARGIN_SECONDS: Final = 2.0
"""A token this close to its end is not used any more: it would expire on the way."""
RENEW_AFTER_SHARE: Final = 0.5
"""Of its lifetime. Half is left to try again while the Commander is away."""
RETRY_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """Who this soldier is, for POST /token."""

    client_id: str
    client_secret: SecretStr

    def request(self) -> TokenRequest:
        return TokenRequest(client_id=self.client_id, client_secret=self.client_secret.get_secret_value())


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: float
    ends_at: float


class Tokens:
    """Holds one token for both threads. `renewed` blocks, so the event loop calls it in a thread."""

    def __init__(
        self,
        fetch: Callable[[ClientSecret], TokenAnswer],
        secret: ClientSecret,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._secret = secret
        self._monotonic = monotonic
        self._one_at_a_time = threading.Lock()
        self._token: _Token | None = None
        self._try_again_at = 0.0

    def valid(self) -> str | None:
        """Give the token if it can be used now; never waits."""
        token = self._token
        return token.text if token is not None and self._monotonic() < token.ends_at else None

    def renewed(self) -> str:
        """Give a valid token, and fetch a new one when that is due.

        The fetch's error is raised only when no valid token is left.
        """
        with self._one_at_a_time:
            token = self._token
            if token is None or self._is_due(token):
                token = self._renew(token)
            return token.text

    def refused(self, text: str) -> None:
        """The Commander refused this token: the next call fetches another."""
        token = self._token
        if token is not None and token.text == text:
            self._token = None

    def _is_due(self, token: _Token) -> bool:
        now = self._monotonic()
        return now >= token.ends_at or (now >= token.renew_at and now >= self._try_again_at)

    def _renew(self, token: _Token | None) -> _Token:
        began = self._monotonic()
        try:
            answer = self._fetch(self._secret)
        except Exception:
            self._try_again_at = self._monotonic() + RETRY_SECONDS
            if token is None or self._monotonic() >= token.ends_at:
                raise
            return token
        self._token = fresh = _Token(
            text=answer.access_token,
            renew_at=began + answer.expires_in * RENEW_AFTER_SHARE,
            ends_at=began + max(answer.expires_in - MARGIN_SECONDS, answer.expires_in * RENEW_AFTER_SHARE),
        )
        return fresh
