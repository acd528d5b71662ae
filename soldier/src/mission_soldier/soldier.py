"""What users import: the collection of handlers that one soldier runs."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from mission_contracts.soldiering import TypeInfo
from mission_soldier.errors import HandlerDefinitionError
from mission_soldier.handlers import Handler

F = TypeVar("F", bound=Callable[..., Any])
IsolationName = Literal["async", "thread", "process"]


class Soldier:
    """Handlers by mission type. Making one does nothing; `mission-soldier module:soldier` runs it."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def handler(self, mission_type: str, *, isolation: IsolationName | None = None) -> Callable[[F], F]:
        """Register the decorated function for a mission type.

        An async function runs in the event loop, any other in a thread; "process" runs either in a child
        process, which can be stopped when it does not stop by itself. The function stays as it is.
        """

        def register(function: F) -> F:
            self._add(Handler.of(mission_type, function, isolation))
            return function

        return register

    def include(self, other: "Soldier") -> None:
        """Take over all handlers of another collection, typically another module's."""
        for handler in other.handlers.values():
            self._add(handler)

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The handlers by mission type, to look at."""
        return MappingProxyType(self._handlers)

    def completed_by(self, defaults: "Soldier") -> "Soldier":
        """Give a collection that also has the defaults' handlers, where this one has none of its own."""
        complete = Soldier()
        for handler in ({**defaults.handlers, **self.handlers}).values():
            complete._add(handler)
        return complete

    def described(self) -> tuple[TypeInfo, ...]:
        """What the Commander is told: every type, in order of their names."""
        return tuple(self._handlers[name].described() for name in sorted(self._handlers))

    def _add(self, handler: Handler) -> None:
        known = self._handlers.get(handler.type)
        if known is not None and known.function is not handler.function:
            raise HandlerDefinitionError(
                f"mission type {handler.type!r} has a handler already, {_named(known)}; "
                f"{_named(handler)} needs a type name of its own"
            )
        self._handlers[handler.type] = handler


def _named(handler: Handler) -> str:
    function = handler.function
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', '?')}"
