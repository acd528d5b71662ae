"""Whether Redis is set so that an accepted write is on the disk first and nothing is ever evicted."""

from collections.abc import Mapping

from redis.exceptions import NoPermissionError, ResponseError

from mission_commander.ports import Durability, LedgerAwayError

WANTED: Mapping[str, str] = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}

_CONSEQUENCES: Mapping[str, str] = {
    "appendonly": "a restart of Redis loses accepted missions",
    "appendfsync": "a crash of Redis loses the newest accepted missions",
    "maxmemory-policy": "Redis may evict accepted missions when its memory is full",
}


def judge(found: Mapping[str, str]) -> Durability:
    """Compare settings with what the design asks for; the first that differs is named."""
    for name, wanted in WANTED.items():
        held = found.get(name, "unknown")
        if held != wanted:
            return _weak(f"Redis has {name} {held}, so {_CONSEQUENCES[name]}: set {name} {wanted}")
    return Durability(is_strong=True)


def judge_refusal(error: LedgerAwayError) -> Durability:
    """Say that nobody can tell when Redis does not show its settings; any other error is raised again."""
    if not is_forbidden(error):
        raise error
    return _weak(
        "Redis does not let this user read its settings (CONFIG GET), so nobody can tell whether writes are durable: "
        "grant +config|get, or see to appendonly yes and appendfsync always yourself"
    )


def is_forbidden(error: LedgerAwayError) -> bool:
    """Whether Redis is there, and this user may not give that command, or it is renamed."""
    cause = error.__cause__
    is_renamed = isinstance(cause, ResponseError) and str(cause).startswith("unknown command")
    return is_renamed or isinstance(cause, NoPermissionError)


def _weak(why: str) -> Durability:
    return Durability(is_strong=False, why_weak=why)
