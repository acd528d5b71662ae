"""A handler as a value: the user's function, how it runs, and what goes in and out."""

import functools
import inspect
import re
import typing
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self, TypeVar

from mission_contracts.names import TYPE_PATTERN
from mission_contracts.soldiering import TypeInfo
from mission_soldier import codec, result_codec
from mission_soldier.describing import error_text, text_of
from mission_soldier.errors import HandlerDefinitionError

_T = TypeVar("_T")

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
    write: result_codec.Write
    payload_type: Any = inspect.Parameter.empty

    @classmethod
    def of(cls, mission_type: str, function: Callable[..., Any], isolation: str | None = None) -> Self:
        """Look at a function once; HandlerDefinitionError says what does not work about it."""
        name = _name_of(function)
        if not isinstance(mission_type, str) or not _TYPE.fullmatch(mission_type):
            raise HandlerDefinitionError(
                f"{text_of(repr(mission_type), max_characters=200)} cannot name a mission type: use letters, digits "
                "and -_./, at most 128 characters, with a letter or digit at both ends"
            )
        _refuse_generators(name, function)
        signature = _signature(name, function)
        payload_type = _payload_type(name, function, signature)
        is_async = _is_async(function)
        return cls(
            type=mission_type,
            function=function,
            isolation=_isolation(name, function, isolation, is_async=is_async),
            is_async=is_async,
            read=None if payload_type is None else _codec(name, "payload", payload_type, codec.reader_of),
            write=_codec(name, "result", _awaited_type(signature.return_annotation), result_codec.writer_of),
            payload_type=payload_type,
        )

    def described(self) -> TypeInfo:
        """What the Commander is told of this type."""
        schema = None if self.payload_type is None else codec.schema_of(self.payload_type)
        return TypeInfo(name=self.type, schema=schema)


def reference_to(function: Callable[..., Any]) -> str:
    """Return where a child process finds the function, as `module:qualified.name`.

    Raises HandlerDefinitionError for what it cannot find there: a lambda, a method of one object, a local function.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<unnamed>")
    is_of_one_object = inspect.ismethod(function) and not inspect.isclass(function.__self__)
    if module is None or "<" in name or is_of_one_object:
        raise HandlerDefinitionError(
            f"{name} cannot run in a child process, which must find it by its name: define it at its module's top level"
        )
    return f"{module}:{name}"


def _name_of(function: Callable[..., Any]) -> str:
    try:
        return text_of(function.__qualname__, otherwise="the handler", max_characters=200)
    except Exception:  # noqa: BLE001 - a partial has no name, and an object may raise whatever it likes
        return text_of(type(function).__qualname__, otherwise="the handler", max_characters=200)


def _innermost(function: Any) -> Any:
    """Return what a functools.partial calls; for an object that can be called, its `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    is_plain = inspect.isroutine(function) or inspect.isclass(function)
    return function if is_plain else getattr(function, "__call__", function)  # noqa: B004 - the method itself is meant


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(_innermost(function))


def _refuse_generators(name: str, function: Callable[..., Any]) -> None:
    called = inspect.unwrap(_innermost(function))
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise HandlerDefinitionError(
            f"{name} is a generator, and a mission has one result: return it instead of yielding, "
            "and use ctx.progress for what comes before"
        )


def _signature(name: str, function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except Exception as error:  # an annotation in a string is code, and may raise whatever it likes
        raise HandlerDefinitionError(
            f"the types of {name} cannot be read ({error_text(error)}): name types that its module defines or imports"
        ) from error


def _payload_type(name: str, function: Callable[..., Any], signature: inspect.Signature) -> Any:
    """Return the second parameter's annotation; None when there is no second parameter."""
    positional = [p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in signature.parameters.values() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if _lacks_its_object(function, positional):
        raise HandlerDefinitionError(
            f"{name} is a method without its object: register the method of an object, as in "
            "soldier.handler(…)(shop.resize), or a plain function"
        )
    if (
        not positional
        or len(needed) > 2
        or any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in needed)
    ):
        shown = text_of(signature, otherwise="(…)", max_characters=200)
        raise HandlerDefinitionError(
            f"{name}{shown} cannot be called as a handler: write it as {name}(ctx) or {name}(ctx, payload)"
        )
    return positional[1].annotation if len(positional) > 1 else None


def _lacks_its_object(function: Callable[..., Any], positional: list[inspect.Parameter]) -> bool:
    is_in_a_class = inspect.isfunction(function) and "." in function.__qualname__.rpartition("<locals>.")[2]
    return is_in_a_class and bool(positional) and positional[0].name in {"self", "cls"}


def _awaited_type(annotation: Any) -> Any:
    """Return what comes of a coroutine that a plain function announces to return."""
    if typing.get_origin(annotation) in {Coroutine, Awaitable} and (arguments := typing.get_args(annotation)):
        return arguments[-1]
    return annotation


def _codec(name: str, what: str, annotation: Any, make: Callable[[Any], _T]) -> _T:
    try:
        return make(annotation)
    except Exception as error:  # pydantic, msgspec and a type's own methods: each has errors of its own
        why = str(error) if isinstance(error, codec.UndescribableTypeError) else _first_line(error)
        raise HandlerDefinitionError(
            f"the {what} type of {name}, {codec.type_name(annotation)}, cannot be checked ({why}): "
            "use a pydantic model, a dataclass, a msgspec Struct, a TypedDict, or a plain JSON type"
        ) from error


def _first_line(error: Exception) -> str:
    return error_text(error).partition("\n")[0][:300].rstrip(".")


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
