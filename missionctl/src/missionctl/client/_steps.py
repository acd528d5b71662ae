"""The client's logic is written once, as generators that ask for steps; two thin drivers take them.

A `Talk` ends with a result. A `Stream` emits results as it goes. Neither knows whether its driver is asynchronous.
"""

from collections.abc import Generator
from typing import Any, Generic, TypeVar

import msgspec

from missionctl.client._wire import Request

T = TypeVar("T")
R = TypeVar("R")


class Send(msgspec.Struct, frozen=True):
    """Send a request; the reply is its `Outcome`."""

    request: Request


class Listen(msgspec.Struct, frozen=True):
    """Send a request whose answer's body is heard piece by piece; the reply is its `Outcome`, a 200 without body."""

    request: Request


class Hear(msgspec.Struct, frozen=True):
    """The next piece of what is listened to; the reply is bytes, or None when the connection has ended."""


class Pause(msgspec.Struct, frozen=True):
    """Do nothing for a while."""

    seconds: float


class Renew(msgspec.Struct, frozen=True):
    """Get a token newer than `stale`; callers who ask together share one renewal."""

    stale: str


class Emit(msgspec.Struct, Generic[T], frozen=True):
    """Hand a result to whoever iterates."""

    value: T


Step = Send | Listen | Hear | Pause | Renew
# What a step is answered with depends on the step, which the type system cannot say of generators.
Talk = Generator[Step, Any, T]
Telling = Generator[Step | Emit[T], Any, R]
Stream = Generator[Step | Emit[T], Any, None]
