"""What goes to a Commander and what comes back, as values: the client thinks in these and never in sockets."""

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from mission_contracts import rest
from mission_contracts.spec import DAY_SECONDS

READ_SECONDS: Final = 30.0
"""How long an answer may take, when the call itself does not wait for anything."""

_SECONDS: Final = re.compile(r"\d{1,9}(\.\d+)?")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request. `is_idempotent` means that sending it twice does no more than sending it once."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = {}
    body: bytes | None = None
    read_seconds: float = READ_SECONDS
    is_idempotent: bool = True

    def bearing(self, token: str) -> "Request":
        """The same request with an access token, if there is one."""
        if not token:
            return self
        return msgspec.structs.replace(self, headers={**self.headers, "Authorization": f"Bearer {token}"})


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP response; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""

    @property
    def retry_after_seconds(self) -> float | None:
        """What the Commander asked for, in its header; a date is not read, our own backoff serves as well."""
        text = self.headers.get("retry-after", "")
        return min(float(text), DAY_SECONDS) if _SECONDS.fullmatch(text) else None

    @property
    def request_id(self) -> str:
        return self.headers.get(rest.REQUEST_ID_HEADER.lower(), "")


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """No answer. Unless `was_sent`, the Commander cannot have seen the request."""

    why: str
    was_sent: bool


Outcome = Answer | Lost
