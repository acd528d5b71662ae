"""Whose an instance is: a soldier's token acts for instances of its own pool, and of its own pod or process, only."""

import re
from typing import Final

import msgspec

from mission_commander.api.answers import ProblemError
from mission_commander.domain.memory import PoolKey
from mission_commander.domain.roster import Seen
from mission_contracts.mission import Instance
from mission_contracts.soldiering import Registration
from mission_contracts.tokens import Holder

_START: Final = re.compile(r"-[0-9a-f]{8}")
"""What a soldier adds to its pod's name at each start. Of a fixed length, so no pod's instance fits another pod."""
_A_POD: Final = "pod"
"""The owner of a pod's instance, which no session is called: the name itself says which pod."""


def pool_of(holder: Holder) -> PoolKey | None:
    """Return the one pool that a token is good for; None: any."""
    return None if holder.pool is None else (holder.namespace or "", holder.pool)


def owned(holder: Holder, asked: Registration) -> Registration:
    """Return the registration as the caller's own. Raises ProblemError (403) for another pool or another pod."""
    _check_pool(holder, (asked.namespace, asked.pool))
    if holder.pod is not None and asked.pod not in ("", holder.pod):
        raise _wrong_instance(f"the token is good for pod {holder.pod} only, and this registers pod {asked.pod}")
    if holder.pod is not None:
        return msgspec.structs.replace(asked, pod=holder.pod, owner=_A_POD)
    return msgspec.structs.replace(asked, owner=holder.session or "")


def check_instance(holder: Holder, instance: Instance, seen: Seen | None) -> None:
    """Raise ProblemError (403) for an instance, registered or not, that is not the caller's."""
    if seen is not None:
        _check_pool(holder, seen.pool)
    if holder.pod is not None:
        _check_pod(holder.pod, instance)
    elif seen is not None and seen.registration.owner not in ("", holder.session):
        raise _wrong_instance("another process registered this instance: its name is taken until that has left")


def _check_pool(holder: Holder, other: PoolKey) -> None:
    own = pool_of(holder)
    if own is not None and own != other:
        detail = f"the token is good for pool {own[1]} of namespace {own[0]} only, and this is about another"
        raise ProblemError(403, "WrongPool", detail)


def _check_pod(pod: str, instance: Instance) -> None:
    if not instance.startswith(pod) or not _START.fullmatch(instance, len(pod)):
        raise _wrong_instance(
            f"the token is good for instances of pod {pod} only: name this one {pod}, a dash and 8 hexadecimal digits"
        )


def _wrong_instance(detail: str) -> ProblemError:
    return ProblemError(403, "WrongInstance", detail)
