"""The access token in use, and when it is time for the next one."""

import random

import msgspec

from mission_contracts import rest
from mission_contracts.clock import Clock
from mission_contracts.renewal import renew_after
from missionctl.client._wire import Request


class ClientSecret(msgspec.Struct, frozen=True):
    """OAuth 2.0 client credentials; a token is got with them and renewed before it expires."""

    client_id: str
    client_secret: str

    def __repr__(self) -> str:
        return f"ClientSecret({self.client_id!r}, …)"


class TokenKeeper:
    """Holds one token; without credentials it holds the one it was given, for good."""

    def __init__(self, credentials: ClientSecret | None, clock: Clock, *, token: str = "") -> None:
        self.credentials = credentials
        self.token = token
        self._clock = clock
        self._renew_at = float("inf") if credentials is None else float("-inf")

    @property
    def is_due(self) -> bool:
        return self._clock.monotonic() >= self._renew_at

    def keep(self, answer: rest.TokenAnswer, *, asked_at: float) -> None:
        """Take a new token. Its life is counted from before we asked: the Commander's began later."""
        self.token = answer.access_token
        self._renew_at = asked_at + renew_after(answer.expires_in, random.random())  # noqa: S311 (jitter is no secret)


def token_request(credentials: ClientSecret) -> Request:
    """Ask for an access token."""
    body = rest.TokenRequest(client_id=credentials.client_id, client_secret=credentials.client_secret)
    headers = {"Content-Type": "application/json"}
    return Request(method="POST", path="/token", body=msgspec.json.encode(body), headers=headers)
