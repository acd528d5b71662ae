"""Tokens are remembered, but never longer than they live."""

import pytest
from starlette.requests import Request
from support.commander_stage import KEY

from mission_commander.api import authentication
from mission_commander.api.answers import ProblemError
from mission_commander.api.authentication import Gate
from mission_commander.settings import Client
from mission_contracts.rest import TokenRequest
from mission_contracts.testing import FakeClock
from mission_contracts.tokens import Role, Tokens

LIFETIME, GRACE = 300.0, 5.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def gate(clock: FakeClock) -> Gate:
    clients = {"anna": Client.model_validate({"secret": "right", "role": "user"})}
    return Gate(Tokens(KEY, clock), clients, clock, lifetime=LIFETIME, grace=GRACE)


def with_token(token: str) -> Request:
    return Request({"type": "http", "headers": [(b"authorization", f"Bearer {token}".encode())]})


def token_of(gate: Gate) -> str:
    return gate.issue(TokenRequest(client_id="anna", client_secret="right")).access_token


@pytest.mark.parametrize("is_remembered", [True, False])
def test_a_token_ends_with_its_grace_whether_it_was_seen_before_or_not(
    gate: Gate, clock: FakeClock, is_remembered: bool
) -> None:
    token = token_of(gate)
    if is_remembered:
        assert gate.admit(with_token(token), Role.USER).subject == "anna"
    clock.turn(LIFETIME + GRACE - 1)
    assert gate.admit(with_token(token), Role.USER).subject == "anna"
    clock.turn(1)
    with pytest.raises(ProblemError, match="expired"):
        gate.admit(with_token(token), Role.USER)


def test_a_remembered_token_has_its_role_and_no_other(gate: Gate) -> None:
    token = token_of(gate)
    for _ in range(2):
        with pytest.raises(ProblemError, match="needs the role operator"):
            gate.admit(with_token(token), Role.OPERATOR)


def test_what_is_remembered_is_bounded(gate: Gate, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "REMEMBERED", 3)
    for _ in range(10):
        clock.turn(1)
        gate.admit(with_token(token_of(gate)), Role.USER)
    assert len(gate._known) == 3


def test_a_token_of_another_installation_is_refused(gate: Gate, clock: FakeClock) -> None:
    other = Tokens(type(KEY)(b"another installation's key, also long"), clock)
    with pytest.raises(ProblemError, match="not valid"):
        gate.admit(with_token(other.sign("anna", Role.USER, lifetime_seconds=60)), Role.USER)
