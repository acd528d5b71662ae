"""Whether a caller may submit a mission, or see a pool: by the set of rights that its token names."""

from collections.abc import Mapping
from typing import Final

from mission_commander.api.answers import problem
from mission_commander.domain.rights import EVERYTHING, NOTHING, ORDINARY, Rights
from mission_contracts.envelope import Envelope
from mission_contracts.errors import Problem
from mission_contracts.mission import Priority
from mission_contracts.spec import MissionSpec
from mission_contracts.tokens import Claims, Role

_UNRESTRICTED: Final = frozenset({Role.ADMIN, Role.OPERATOR})


class Permits:
    """Knows the sets of rights of the settings, and the namespaces that are served."""

    def __init__(self, sets: Mapping[str, Rights], *, default: str, served: frozenset[str], namespace: str) -> None:
        """`default` is the set of those that name none, `namespace` the one of missions that name none."""
        self._sets = sets
        self._default = default
        self._served = served
        self._namespace = namespace

    def knows(self, name: str) -> bool:
        return name in self._sets

    def of(self, claims: Claims) -> Rights:
        """Return what the caller may use. Admins and the operator are not restricted."""
        if claims.role in _UNRESTRICTED:
            return EVERYTHING
        name = claims.holder.rights or self._default
        return self._sets.get(name, NOTHING) if name else ORDINARY

    def objection(self, claims: Claims, asked: MissionSpec, namespace: str | None) -> Problem | None:
        """Return why the caller may not submit this mission; None where it may."""
        where = namespace or self._namespace
        return self._objection(claims, where, asked.pool, asked.type, asked.priority)

    def objection_to_retry(self, claims: Claims, envelope: Envelope) -> Problem | None:
        """Return why the caller may not submit its own mission again: its rights may be others by now."""
        return self._objection(claims, envelope.namespace, envelope.pool, envelope.type, envelope.priority)

    def _objection(
        self, claims: Claims, namespace: str, pool: str, mission_type: str, priority: Priority
    ) -> Problem | None:
        if claims.role is Role.OPERATOR:
            return None  # its namespaces are those where it may read objects
        if namespace not in self._served:
            return self._unserved(namespace)
        missing = self.of(claims).missing(namespace=namespace, pool=pool, mission_type=mission_type, priority=priority)
        return None if missing is None else _refused(*missing)

    def _unserved(self, namespace: str) -> Problem:
        served = ", ".join(sorted(self._served)[:_SHOWN])
        more = " and others" if len(self._served) > _SHOWN else ""
        detail = f"this installation does not serve namespace {namespace}, but {served}{more}: name one of those"
        return problem(422, "NamespaceNotServed", detail, field="namespace")


_SHOWN: Final = 5


def _refused(field: str, value: str) -> Problem:
    detail = f"your rights do not include {field} {value}: ask an admin for a set of rights that does"
    return problem(403, "NoRight", detail, field=field)
