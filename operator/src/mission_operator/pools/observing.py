"""All reading of a SoldierPool object, and what follows from its spec alone."""

from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic import ValidationError

from mission_contracts.resources import SoldierPoolSpec
from mission_contracts.strict_json import MAX_DEPTH, is_deeper_than
from mission_operator.objects import Since, conditions_shown
from mission_operator.screening import UNREADABLE


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


class UnfitPoolError(ValueError):
    """A pool's spec is not one that this version can deploy; the text says why."""


def observe(body: Mapping[str, Any]) -> Pool:
    """Read an object, or raise UnfitPoolError."""
    metadata = body["metadata"]
    if why := body.get(UNREADABLE):
        raise UnfitPoolError(f"spec: cannot be read ({why})")
    if is_deeper_than(msgspec.json.encode(body.get("spec")), MAX_DEPTH):
        raise UnfitPoolError(f"spec: has more than {MAX_DEPTH} objects and arrays within each other: flatten it")
    try:
        spec = SoldierPoolSpec.model_validate(body.get("spec") or {})
    except ValidationError as error:
        raise UnfitPoolError(str(error)) from error
    status = body.get("status")
    return Pool(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        generation=metadata.get("generation", 1),
        spec=spec,
        status=status if isinstance(status, Mapping) else {},
    )
