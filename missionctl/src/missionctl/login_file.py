"""The note that `missionctl login` leaves: where, who, and the pair of tokens that was given last.

Several commands may run at once. Each reads the note anew when a token is due, so that none shows a refresh token that
another one has used: that would look like theft, and end the login.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from mission_contracts import rest
from missionctl import context_file
from missionctl.client.errors import MissionControlError

FILE_NAME: Final = "login.json"
FRESH_SHARE: Final = 2 / 3
"""Of a token's life: as long as that a command takes it without asking for another."""


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who logged in."""

    url: str
    username: str
    access_token: str
    fresh_until: float
    refresh_token: str

    def __repr__(self) -> str:
        return f"Login({self.username!r} at {self.url!r}, …)"


class LoginEndedError(MissionControlError):
    """The note is gone, so somebody has logged out here."""


def path_in(directory: Path) -> Path:
    return directory / FILE_NAME


def read(path: Path) -> Login | None:
    """The login, or None where there is none; one that cannot be read is none: log in anew."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Login)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def login_of(url: str, username: str, answer: rest.TokenAnswer, now: float) -> Login:
    return Login(
        url=url,
        username=username,
        access_token=answer.access_token,
        fresh_until=now + answer.expires_in * FRESH_SHARE,
        refresh_token=answer.refresh_token or "",
    )


class StoredLogin:
    """Credentials for the client: the pair in the note."""

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now

    def held(self) -> tuple[str, float]:
        login = self._login()
        left = login.fresh_until - self._now()
        return (login.access_token, left) if left > 0 else ("", 0)

    def request(self) -> rest.TokenRequest:
        return rest.TokenRequest(grant_type="refresh_token", refresh_token=self._login().refresh_token)

    def keep(self, answer: rest.TokenAnswer) -> None:
        login = self._login()
        context_file.put(self._path, login_of(login.url, login.username, answer, self._now()))

    def _login(self) -> Login:
        login = read(self._path)
        if login is None:
            raise LoginEndedError("there is no login here any more: log in again with `missionctl login`")
        return login
