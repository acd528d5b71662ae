"""The pool that an installation begins with: created once if nobody made one, and left alone ever after."""

import asyncio
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import structlog

from mission_operator.backoff import Backoff
from mission_operator.kube import Answer, KubeAwayError

_log: Final = structlog.get_logger()
_EXISTS: Final = 409


class BadPoolFileError(Exception):
    """The file of the default pool cannot be used."""


class Creating(Protocol):
    """The API server, as far as making a pool goes."""

    async def create(self, body: dict[str, Any]) -> Answer: ...


def read(path: Path) -> dict[str, Any]:
    """Read a SoldierPool from a file."""
    try:
        body = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise BadPoolFileError(f"the default pool in {path} cannot be read: {error}") from error
    if body.get("kind") != "SoldierPool" or not body.get("metadata", {}).get("name"):
        raise BadPoolFileError(f"the default pool in {path} is no SoldierPool with a name")
    return body


async def create_if_absent(objects: Creating, body: dict[str, Any]) -> None:
    """Create the pool, and try until the API server gave a clear answer."""
    backoff = Backoff(first=0.2)
    while True:
        try:
            answer = await objects.create(body)
        except KubeAwayError as error:
            why = str(error)
        else:
            if answer.is_ok or answer.status == _EXISTS:
                return
            why = answer.message
        _log.warning("the default pool is not created yet", why=why)
        await asyncio.sleep(backoff.next())
