"""Tokens are remembered, but never longer than they live."""

import pytest
from starlette.requests import Request
from support.commander_stage import KEY

from mission_commander.adapters.memory_users import MemoryUsers
from mission_commander.api import authentication
from mission_commander.api.answers import ProblemError
from mission_commander.api.authentication import Gate
from mission_commander.api.limits import Limits
from mission_commander.services.counts import Counts
from mission_commander.services.limiting import Alone, Limit, Limiter
from mission_commander.services.revocations import Revocations
from mission_contracts.install_key import InstallKey
from mission_contracts.signing_keys import SigningKeys
from mission_contracts.testing import FakeClock
from mission_contracts.tokens import Holder, Role, Tokens

LIFETIME, GRACE = 300.0, 5.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def tokens(clock: FakeClock) -> Tokens:
    return Tokens(SigningKeys(KEY), clock)


@pytest.fixture
def gate(tokens: Tokens, clock: FakeClock) -> Gate:
    limits = Limits(Limiter(dict.fromkeys(Limit), Alone(), clock, share_while_away=1), Counts(), clock)
    return Gate(tokens, Revocations(MemoryUsers(), clock), clock, limits, grace=GRACE)


def with_token(token: str) -> Request:
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": "/missions",
            "headers": [(b"authorization", f"Bearer {token}".encode())],
        }
    )


def token_of(tokens: Tokens) -> str:
    return tokens.sign(Holder(subject="anna", role=Role.USER), lifetime_seconds=LIFETIME)


@pytest.mark.parametrize("is_remembered", [True, False])
def test_a_token_ends_with_its_grace_whether_it_was_seen_before_or_not(
    gate: Gate, tokens: Tokens, clock: FakeClock, is_remembered: bool
) -> None:
    token = token_of(tokens)
    if is_remembered:
        assert gate.admit(with_token(token), Role.USER).subject == "anna"
    clock.turn(LIFETIME + GRACE - 1)
    assert gate.admit(with_token(token), Role.USER).subject == "anna"
    clock.turn(1)
    with pytest.raises(ProblemError, match="expired"):
        gate.admit(with_token(token), Role.USER)


def test_a_remembered_token_has_its_role_and_no_other(gate: Gate, tokens: Tokens) -> None:
    token = token_of(tokens)
    for _ in range(2):
        with pytest.raises(ProblemError, match="needs the role operator"):
            gate.admit(with_token(token), Role.OPERATOR)


def test_what_is_remembered_is_bounded(
    gate: Gate, tokens: Tokens, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "REMEMBERED", 3)
    for _ in range(10):
        clock.turn(1)
        gate.admit(with_token(token_of(tokens)), Role.USER)
    assert len(gate._known) == 3


def test_a_token_of_another_installation_is_refused(gate: Gate, clock: FakeClock) -> None:
    other = Tokens(SigningKeys(InstallKey(b"another installation's key, also long")), clock)
    with pytest.raises(ProblemError, match="not valid"):
        gate.admit(with_token(token_of(other)), Role.USER)
