"""What both drivers need to know of httpx, translated here once."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from missionctl.client._wire import Answer, Lost, Request
from missionctl.client.errors import UnsendableError

CONNECT_SECONDS: Final = 5.0
CONNECTIONS: Final = 100
"""Open at once; more calls wait for their turn."""

_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def checked(url: str) -> str:
    """The address without a slash at its end; ValueError when it is not one."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f'"{url}" is not the address of a Commander: write it like http://127.0.0.1:8484')
    return url.rstrip("/")


def options(url: str) -> dict[str, Any]:
    """Arguments for either client."""
    return {
        "base_url": url,
        "limits": httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
        # A proxy for the world outside has no way back to this machine's loopback.
        "trust_env": urlsplit(url).hostname not in _LOOPBACK,
    }


def built(client: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    """Return the request as httpx has it. Raises UnsendableError for an address that no server takes."""
    try:
        return client.build_request(**_arguments(request))
    except httpx.InvalidURL as error:
        raise UnsendableError(f"what was asked for makes no address: {error}; use a shorter word") from error


def _arguments(request: Request) -> dict[str, Any]:
    return {
        "method": request.method,
        "url": request.path,
        "params": request.query or None,
        "headers": dict(request.headers),
        "content": request.body,
        # Waiting for one of our own connections is no sign of the Commander's health: let it take its time.
        "timeout": httpx.Timeout(request.read_seconds, connect=CONNECT_SECONDS, pool=None),
    }


def answer(response: httpx.Response, body: bytes) -> Answer:
    return Answer(status=response.status_code, headers=_lower(response.headers), body=body)


def lost(error: httpx.TransportError) -> Lost:
    return Lost(why=_why(error), was_sent=not isinstance(error, _NEVER_SENT))


def _why(error: BaseException) -> str:
    """The deepest cause speaks plainest: "Connection refused", where httpx says "All connection attempts failed"."""
    causes = [error]
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    spoken = (one.strerror for one in reversed(causes) if isinstance(one, OSError) and one.strerror)
    return next(spoken, str(error) or type(error).__name__)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
