"""All reading of a SoldierPool object, and what follows from its spec alone."""

from collections.abc import Mapping
from typing import Any

import msgspec

from mission_contracts.resources import SoldierPoolSpec
from mission_operator.objects import Since, conditions_shown


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a SoldierPool."""

    uid: str
    namespace: str
    name: str
    generation: int
    spec: SoldierPoolSpec
    status: Mapping[str, Any] = {}

    @property
    def annotations(self) -> Mapping[str, str]:
        """Those that its pods have from the pool's own template."""
        return (self.spec.template.annotations if self.spec.template else None) or {}

    @property
    def per_soldier(self) -> int:
        """How many missions one soldier is worth."""
        return self.spec.missions_per_soldier or self.spec.concurrency

    @property
    def conditions(self) -> Mapping[str, Since]:
        return conditions_shown(self.status)


def observe(body: Mapping[str, Any]) -> Pool:
    """Read an object; ValueError when its spec is not one that this version knows."""
    metadata = body["metadata"]
    return Pool(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        generation=metadata.get("generation", 1),
        spec=SoldierPoolSpec.model_validate(body.get("spec") or {}),
        status=body.get("status") or {},
    )
