"""What a subject may use: namespaces, pools, types and priority. Rights are lists of names; without a list, all."""

from typing import Final

import msgspec

from mission_contracts.mission import Priority

Names = frozenset[str] | None


class Rights(msgspec.Struct, frozen=True, kw_only=True):
    """Each list is of names, None is all of them."""

    namespaces: Names = None
    pools: Names = None
    types: Names = None
    high_priority: bool = False

    def may_use_pool(self, namespace: str, pool: str) -> bool:
        return _has(self.namespaces, namespace) and _has(self.pools, pool)

    def missing(self, *, namespace: str, pool: str, mission_type: str, priority: Priority) -> tuple[str, str] | None:
        """Return the first field that a mission may not have, and its value; None where all are permitted."""
        for field, names, value in (
            ("namespace", self.namespaces, namespace),
            ("pool", self.pools, pool),
            ("type", self.types, mission_type),
        ):
            if not _has(names, value):
                return field, value
        if priority is Priority.HIGH and not self.high_priority:
            return "priority", priority.value
        return None


def _has(names: Names, one: str) -> bool:
    return names is None or one in names


EVERYTHING: Final = Rights(high_priority=True)
ORDINARY: Final = Rights()
"""Of a user or client that names no set of rights, where the settings name none for all: all but High priority."""
NOTHING: Final = Rights(namespaces=frozenset())
"""Of whom a set is named that the settings have no longer."""
