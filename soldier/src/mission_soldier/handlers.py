"""A handler as a value: the user's function, how it runs, and what goes in and out."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

from mission_contracts.names import TYPE_PATTERN
from mission_contracts.soldiering import TypeInfo
from mission_soldier import codec
from mission_soldier.errors import HandlerDefinitionError

_TYPE: Final = re.compile(TYPE_PATTERN)


class Isolation(StrEnum):
    """Where a handler runs."""

    ASYNC = "async"  # in the event loop, beside the others
    THREAD = "thread"  # off the loop; it can be asked to stop, not made to
    PROCESS = "process"  # in a child process that can be stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """One function for one mission type, with its codec chosen."""

    type: str
    function: Callable[..., Any]
    isolation: Isolation
    is_async: bool
    read: codec.Read | None
    """None when the function takes no payload."""
    write: codec.Write
    payload_type: Any = inspect.Parameter.empty

    @classmethod
    def of(cls, mission_type: str, function: Callable[..., Any], isolation: str | None = None) -> Self:
        """Look at a function once; HandlerDefinitionError says what does not work about it."""
        name = getattr(function, "__qualname__", repr(function))
        if not _TYPE.fullmatch(mission_type):
            raise HandlerDefinitionError(
                f"{mission_type!r} cannot name a mission type: use letters, digits and -_./, at most 128 characters, "
                "with a letter or digit at both ends"
            )
        signature = _signature(name, function)
        payload_type = _payload_type(name, signature)
        is_async = inspect.iscoroutinefunction(function)
        return cls(
            type=mission_type,
            function=function,
            isolation=_isolation(name, function, isolation, is_async=is_async),
            is_async=is_async,
            read=None if payload_type is None else codec.reader_of(payload_type),
            write=codec.writer_of(signature.return_annotation),
            payload_type=payload_type,
        )

    def described(self) -> TypeInfo:
        """What the Commander is told of this type."""
        schema = None if self.payload_type is None else codec.schema_of(self.payload_type)
        return TypeInfo(name=self.type, schema=schema)


def reference_to(function: Callable[..., Any]) -> str:
    """Say where a child process finds the function, as `module:qualified.name`.

    Raises HandlerDefinitionError for a lambda or a function defined inside another.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<unnamed>")
    if module is None or "<" in name:
        raise HandlerDefinitionError(
            f"{name} cannot run in a child process, which must find it by its name: define it at its module's top level"
        )
    return f"{module}:{name}"


def _signature(name: str, function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except (NameError, TypeError, ValueError) as error:
        raise HandlerDefinitionError(
            f"the types of {name} cannot be read ({error}): name types that its module defines or imports"
        ) from error


def _payload_type(name: str, signature: inspect.Signature) -> Any:
    """Give the second parameter's annotation; None when there is no second parameter."""
    positional = [p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in signature.parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if (
        not positional
        or len(needed) > 2
        or any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in needed)
    ):
        raise HandlerDefinitionError(
            f"{name}{signature} cannot be called as a handler: write it as {name}(ctx) or {name}(ctx, payload)"
        )
    return positional[1].annotation if len(positional) > 1 else None


def _isolation(name: str, function: Callable[..., Any], wanted: str | None, *, is_async: bool) -> Isolation:
    if wanted is None:
        return Isolation.ASYNC if is_async else Isolation.THREAD
    try:
        isolation = Isolation(wanted)
    except ValueError:
        raise HandlerDefinitionError(
            f"isolation={wanted!r} of {name} is not known: use 'async', 'thread' or 'process'"
        ) from None
    if isolation is Isolation.ASYNC and not is_async:
        raise HandlerDefinitionError(
            f"{name} is no async function, it would block all others: use 'thread' or 'process'"
        )
    if isolation is Isolation.THREAD and is_async:
        raise HandlerDefinitionError(
            f"{name} is an async function: use isolation 'async' or 'process', or drop `async`"
        )
    if isolation is Isolation.PROCESS:
        reference_to(function)
    return isolation
