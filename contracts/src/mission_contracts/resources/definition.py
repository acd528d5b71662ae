"""What makes a kind of object: its names, its two halves, its columns, and the rules that the API server holds."""

from collections.abc import Sequence
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
    says: str = ""
    """CEL that computes a sentence which knows more; the message stands in for it where it cannot."""
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
    selectable: tuple[str, ...] = ()
    """Paths of fields that field selectors may name (API servers from 1.31 on)."""

    @property
    def full_name(self) -> str:
        """The CRD's name, also what kubectl calls it when names collide."""
        return f"{self.plural}.{GROUP}"


def unchanged(*, always: Sequence[str], optional: Sequence[str], instead: str) -> Rule:
    """Hold fields of the spec as they were created: those that always have a value, and those that may lack one.

    It is one rule for all of them, and not one for each: every rule costs the API server some 50 µs per write, also
    per write of a status, which cannot touch the spec. The sentence is computed only when it is needed.
    """
    # `self.?x == oldSelf.?x` would be shorter, but the API server cannot bound its cost.
    held = {name: f"self.{name} == oldSelf.{name}" for name in always} | {
        name: f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})"
        for name in optional
    }
    # Concatenation, since the cost of list functions is not bounded either.
    changed = " + ".join(f"({holds} ? '' : '{name} ')" for name, holds in held.items())
    consequence = f"cannot change once the object exists: {instead}"
    return Rule(
        at=("spec",),
        holds=" && ".join(f"({holds})" for holds in held.values()),
        message=f"{', '.join(held)} {consequence}",
        says=f"{changed} + '{consequence}'",
    )
