"""What is said over `WS /ws`, in JSON text. `kind` tells messages apart, in both directions.

client   subscribe   which missions, and after which event; again: other ones from here on
         token       a fresh access token, before the old one expires
         ping        answered by a pong
server   subscribed  from here on changes are told as asked
         mission     a change: the event's id, and the mission as `GET /missions/{id}` shows it
         reset       changes were missed that nobody can tell any more: read what is shown anew
         pong        answers a ping, and says that the server is there while nothing happens
"""

from enum import IntEnum
from typing import Annotated, Final

import msgspec

from mission_contracts import bounds
from mission_contracts.envelope import Door
from mission_contracts.rest import MissionView

PROTOCOL: Final = "mission-control.v1"
TOKEN_PROTOCOL: Final = "bearer."  # noqa: S105 - what a token follows
"""Browsers cannot set headers: they ask for the protocols `mission-control.v1` and `bearer.TOKEN`."""

EVENT_ID_PATTERN: Final = "^[0-9]{1,16}-[0-9]{1,16}$"

EventText = Annotated[str, msgspec.Meta(pattern=EVENT_ID_PATTERN)]


class Parting(IntEnum):
    """Why the server closes a WebSocket, beside the codes that every WebSocket has."""

    BAD_MESSAGE = 4400
    TOKEN_ENDED = 4401
    TOO_SLOW = 4408


class Subscribe(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind",
    tag="subscribe",
):  # fmt: skip
    """Which changes to tell; what is left out is no condition."""

    after: EventText | None = None
    """The last event that was seen; without it from now on."""
    namespace: bounds.Label | None = None
    door: Door | None = None
    type: bounds.TypeName | None = None
    pool: bounds.Label | None = None
    mission_id: bounds.Id | None = None


class FreshToken(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="token"
):  # fmt: skip
    """The same subject's next access token."""

    token: str


class Ping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="ping"):
    """Are you there?"""


ClientSays = Subscribe | FreshToken | Ping


class Subscribed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="subscribed"):
    """Nothing that follows this message is missed."""


class Changed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="mission"):
    """A mission changed."""

    id: EventText
    mission: MissionView


class Reset(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="reset"):
    """Something was missed; what follows is whole again."""


class Pong(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="pong"):
    """Here."""


ServerSays = Subscribed | Changed | Reset | Pong
