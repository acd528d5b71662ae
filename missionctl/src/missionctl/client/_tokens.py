"""The access token in use, and when it is time for the next one."""

from typing import Final

import msgspec

from mission_contracts import rest
from mission_contracts.clock import Clock
from missionctl.client._wire import Request

LEAD_SECONDS: Final = 5.0
"""Renew this long before expiry, so that no request is under way when it comes."""


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
        lead = min(LEAD_SECONDS, answer.expires_in * 0.2)
        self.token = answer.access_token
        self._renew_at = asked_at + answer.expires_in - lead


def token_request(credentials: ClientSecret) -> Request:
    """Ask for an access token."""
    body = rest.TokenRequest(client_id=credentials.client_id, client_secret=credentials.client_secret)
    headers = {"Content-Type": "application/json"}
    return Request(method="POST", path="/token", body=msgspec.json.encode(body), headers=headers)
