"""The access token in use, and when it is time for the next one."""

import random
from typing import Protocol

import msgspec

from mission_contracts import rest
from mission_contracts.clock import Clock
from mission_contracts.renewal import renew_after
from missionctl.client._wire import Request


class Credentials(Protocol):
    """What gets tokens: asked each time that one is due, so that it may look at what others got meanwhile."""

    def held(self) -> tuple[str, float]:
        """A token to begin with, and the seconds for which it is fresh; none: empty and 0."""
        ...

    def request(self) -> rest.TokenRequest:
        """What to send to POST /token."""
        ...

    def keep(self, answer: rest.TokenAnswer) -> None:
        """Take note of what was given for it."""
        ...


class ClientSecret(msgspec.Struct, frozen=True):
    """OAuth 2.0 client credentials; a token is got with them and renewed before it expires."""

    client_id: str
    client_secret: str

    def __repr__(self) -> str:
        return f"ClientSecret({self.client_id!r}, …)"

    def held(self) -> tuple[str, float]:
        return "", 0

    def request(self) -> rest.TokenRequest:
        return rest.TokenRequest(client_id=self.client_id, client_secret=self.client_secret)

    def keep(self, answer: rest.TokenAnswer) -> None:
        """Nothing: the secret gets the next one too."""


class TokenKeeper:
    """Holds one token; without credentials it holds the one it was given, for good."""

    def __init__(self, credentials: Credentials | None, clock: Clock, *, token: str = "") -> None:
        self.credentials = credentials
        self.token = token
        self._clock = clock
        self._renew_at = float("inf")
        if credentials is not None:
            self.token, fresh_seconds = credentials.held()
            self._renew_at = clock.monotonic() + fresh_seconds if self.token else float("-inf")

    @property
    def is_due(self) -> bool:
        return self._clock.monotonic() >= self._renew_at

    def keep(self, answer: rest.TokenAnswer, *, asked_at: float) -> None:
        """Take a new token. Its life is counted from before we asked: the Commander's began later."""
        if self.credentials is not None:
            self.credentials.keep(answer)
        self.token = answer.access_token
        self._renew_at = asked_at + renew_after(answer.expires_in, random.random())  # noqa: S311 (jitter is no secret)


def token_request(credentials: Credentials) -> Request:
    """Ask for an access token."""
    headers = {"Content-Type": "application/json"}
    return Request(method="POST", path="/token", body=msgspec.json.encode(credentials.request()), headers=headers)
