"""What a route promises, as a value: who may call it, what it takes, and every answer that it can give."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mission_commander.api.bodies import UNCOUNTED_BYTES
from mission_contracts.tokens import Role

Schema = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One value of the path, the query or the headers."""

    name: str
    place: Literal["path", "query", "header"]
    text: str
    schema: Schema = field(default_factory=lambda: {"type": "string"})
    example: Any = None


@dataclass(frozen=True, kw_only=True)
class Body:
    """What is sent along."""

    kind: Any
    """The type that it is read as, which its schema is made from."""
    limit: int
    """Bytes; more is 413."""
    example: Any
    is_required: bool = True


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer that is no problem."""

    status: int
    text: str
    kind: Any = None
    """The type of its body; None where there is none, or it is no JSON."""
    example: Any = None
    media: str = "application/json"
    headers: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    """Operations that go on from here, and the field of this answer that is their `id`."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    name: str
    group: str
    summary: str
    answers: tuple[Answer, ...]
    text: str = ""
    roles: tuple[Role, ...] | None = None
    """Whose tokens it takes; None: no token is needed."""
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    problems: Mapping[int, str] = field(default_factory=dict)
    """Those of its own; what follows from token, body, parameters and ledger is added from them."""
    needs_ledger: bool = True
    """Answers 503 before the ledger was read, and where nobody but the ledger knows."""
    is_limited: bool = True
    """False for what watches over the Commander: it is never told to come back later."""

    def all_problems(self) -> Mapping[int, str]:
        """Every problem by its status, and when it comes."""
        found: dict[int, str] = {}
        for problems in (
            _OF_TOKENS if self.roles is not None else {},
            _of_body(self.body) if self.body else {},
            _OF_LARGE_BODIES if self._is_counted else {},
            _OF_PARAMETERS if self._can_be_misspelt else {},
            _OF_LIMITS if self.is_limited else {},
            _OF_LEDGER if self.needs_ledger else {},
            self.problems,
        ):
            for status, text in problems.items():
                found[status] = f"{found[status]} {text}" if status in found else text
        return dict(sorted(found.items()))

    @property
    def _is_counted(self) -> bool:
        """Large bodies of people are bounded together; those of our own parts are not."""
        is_of_people = self.roles is None or not set(self.roles) <= {Role.OPERATOR, Role.SOLDIER}
        return is_of_people and self.body is not None and self.body.limit > UNCOUNTED_BYTES

    @property
    def _can_be_misspelt(self) -> bool:
        return self.body is None and any(one.place != "path" for one in self.parameters)


_OF_TOKENS = {
    401: "`NoToken`, `BadToken`, `Revoked`: there is no token, or it is not valid, or its time or its login has ended.",
    403: "`WrongRole`: the token's role may not do this.",
    503: "`RevocationsUnknown`: whether the login of this token was ended cannot be known now.",
}
_OF_PARAMETERS = {422: "`BadField`: a parameter does not fit, or there is none of this name; `field` names it."}
_OF_LARGE_BODIES = {503: "`TooManyUploads`: too many large bodies are coming in at once."}
_OF_LIMITS = {
    429: "`TooManyRequests`: come back after `Retry-After` seconds. `QuotaReached`: what there is has to end first."
}
_OF_LEDGER = {
    503: "`NotLoaded`, `LedgerAway`: this cannot be answered for certain now; send the same again after `Retry-After`. "
    "`LedgerFull`: new missions are refused until there is room; all others go on."
}


def _of_body(body: Body) -> Mapping[int, str]:
    return {
        400: "`BadJson`: the body is not JSON.",
        413: f"`BodyTooLarge`: the body exceeds {body.limit} bytes.",
        422: "`BadField`: the body or a parameter does not fit; `field` or the sentence names what.",
    }
