"""What went wrong at Redis, as one sentence for the person who has to mend it."""

from redis import exceptions

from mission_commander.ports import LedgerAwayError

WRONG_NODE = (exceptions.ReadOnlyError, exceptions.MasterDownError, exceptions.BusyLoadingError)
"""This node takes no writes now, another one may."""

_SENTENCES: tuple[tuple[type[Exception], str], ...] = (
    (
        exceptions.OutOfMemoryError,
        "Redis is out of memory and evicts nothing, so no change is written: raise maxmemory, or shorten retention",
    ),
    (
        exceptions.ReadOnlyError,
        "Redis answered as a read-only replica, so a failover is under way: the next node is tried",
    ),
    (exceptions.MasterDownError, "this Redis replica has lost its primary: the next node is tried"),
    (exceptions.BusyLoadingError, "Redis has just started and is loading its data: it is tried again"),
    (
        exceptions.AuthenticationError,
        "Redis refused the credentials: check user and password in the ledger's URL",
    ),
    (
        exceptions.NoPermissionError,
        "Redis forbids this user a command that the ledger needs: grant it by ACL",
    ),
    (exceptions.ConnectionError, "the connection to Redis failed or was lost: it is tried again"),
    (exceptions.TimeoutError, "Redis did not answer in time: it is tried again"),
    (TimeoutError, "Redis did not answer in time: it is tried again"),
    (OSError, "the connection to Redis failed or was lost: it is tried again"),
)


_BY_CODE: tuple[tuple[str, str], ...] = (
    (
        "MISCONF",
        "Redis cannot write to its disk, so it takes no change: make room on the disk; it then goes on by itself",
    ),
    ("NOREPLICAS", "Redis has lost the replicas that it must write to, so it takes no change: start them again"),
)
"""Errors that redis-py has no class for."""


def away(error: Exception) -> LedgerAwayError:
    """Say it in our words; whoever raises the result chains the original."""
    for code, sentence in _BY_CODE:
        if isinstance(error, exceptions.ResponseError) and str(error).startswith(code):
            return LedgerAwayError(f"{sentence} ({_first_line(error)})")
    for kind, sentence in _SENTENCES:
        if isinstance(error, kind):
            return LedgerAwayError(f"{sentence} ({_first_line(error)})" if str(error) else sentence)
    return LedgerAwayError(f"Redis refused a command, so nothing is known of its effect: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
