"""What makes a kind of object: its names, its two halves, its columns, and the rules that the API server holds."""

from typing import Final, Literal

import msgspec

from mission_contracts.spec import Model

GROUP: Final = "missioncontrol.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "missioncontrol"
"""`kubectl get missioncontrol` lists objects of every kind of ours."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A CEL rule that the API server holds, and the sentence it answers with."""

    holds: str
    """CEL over `self` and, in a rule about a change, `oldSelf`."""
    message: str
    """What was refused, and what to do instead."""
    at: tuple[str, ...] = ()
    """The path of the object that `self` is; () is the whole resource."""
    field: str = ""
    """The field below `self` that the error shall name."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column of `kubectl get`."""

    name: str
    path: str
    kind: Literal["string", "integer", "number", "date", "boolean"] = "string"
    description: str
    wide: bool = False
    """Shown with `-o wide` only."""


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """Where `kubectl scale` and autoscalers read and write."""

    wanted: str
    current: str
    selector: str


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of object of ours."""

    kind: str
    singular: str
    plural: str
    short_name: str
    description: str
    spec: type[Model]
    status: type[Model]
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]
    scale: Scale | None = None

    @property
    def full_name(self) -> str:
        """The CRD's name, also what kubectl calls it when names collide."""
        return f"{self.plural}.{GROUP}"


def unchanged(field: str, instead: str) -> Rule:
    """Hold a field of the spec as it was created, whether it is given, left out or defaulted."""
    return Rule(
        at=("spec",),
        field=field,
        # Longer than `self.?x == oldSelf.?x`, whose cost the API server cannot bound.
        holds=f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        message=f"cannot change once the object exists: {instead}",
    )
