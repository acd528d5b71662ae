"""Access tokens: what is accepted, and what is not."""

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mission_contracts.errors import InvalidTokenError
from mission_contracts.install_key import InstallKey
from mission_contracts.tokens import ALGORITHM, AUDIENCE, ISSUER, TYPE, Role, Tokens

KEY = InstallKey(b"k" * 32)
START = 1_000_000.0


class Hands:
    """A clock whose hands are moved by the test."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def tokens(clock: Hands) -> Tokens:
    return Tokens(KEY, clock)


def test_a_token_says_who_and_what(tokens: Tokens) -> None:
    claims = tokens.check(tokens.sign("ann", Role.USER, lifetime_seconds=60))
    assert (claims.subject, claims.role, claims.expires_at) == ("ann", Role.USER, START + 60)


def test_every_replica_knows_the_tokens_of_the_others(tokens: Tokens, clock: Hands) -> None:
    assert Tokens(KEY, clock).check(tokens.sign("ann", Role.USER, lifetime_seconds=60)).subject == "ann"


def test_an_expired_token_is_refused_and_says_where_to_get_another(tokens: Tokens, clock: Hands) -> None:
    token = tokens.sign("ann", Role.USER, lifetime_seconds=60)
    clock.time += 60
    with pytest.raises(InvalidTokenError, match="POST /token"):
        tokens.check(token)


def test_leeway_is_given_only_when_asked_for(tokens: Tokens, clock: Hands) -> None:
    token = tokens.sign("ann", Role.SOLDIER, lifetime_seconds=30)
    clock.time += 32
    assert tokens.check(token, leeway_seconds=5).role is Role.SOLDIER
    clock.time += 3
    with pytest.raises(InvalidTokenError, match="expired"):
        tokens.check(token, leeway_seconds=5)


def test_another_installations_token_is_refused(tokens: Tokens, clock: Hands) -> None:
    foreign = Tokens(InstallKey(b"x" * 32), clock).sign("ann", Role.ADMIN, lifetime_seconds=60)
    with pytest.raises(InvalidTokenError, match="not valid"):
        tokens.check(foreign)


@pytest.mark.parametrize("token", ["", "a.b.c", "not a token"])
def test_nonsense_is_refused_without_being_repeated(tokens: Tokens, token: str) -> None:
    with pytest.raises(InvalidTokenError) as refused:
        tokens.check(token)
    assert not token or token not in str(refused.value)


GOOD = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "role": "user", "iat": int(START), "exp": int(START) + 60}


def _signed(body: dict[str, object], *, algorithm: str = ALGORITHM, kind: str | None = TYPE) -> str:
    key = Ed25519PrivateKey.from_private_bytes(KEY.derive("access-tokens")) if algorithm == ALGORITHM else "s" * 32
    return jwt.encode(body, key, algorithm=algorithm, headers={"typ": kind})


def test_our_own_recipe_is_a_good_token(tokens: Tokens) -> None:
    assert tokens.check(_signed(GOOD)).subject == "ann"


@pytest.mark.parametrize(
    "token",
    [
        *(
            pytest.param(_signed({key: value for key, value in GOOD.items() if key != missing}), id=f"no {missing}")
            for missing in GOOD
        ),
        pytest.param(_signed(GOOD | {"aud": "another"}), id="for somebody else"),
        pytest.param(_signed(GOOD | {"iss": "another"}), id="by somebody else"),
        pytest.param(_signed(GOOD | {"role": "emperor"}), id="a role that does not exist"),
        pytest.param(_signed(GOOD, kind="JWT"), id="of another type"),
        pytest.param(_signed(GOOD, algorithm="HS256"), id="another algorithm"),
        pytest.param(jwt.encode(GOOD, "", algorithm="none", headers={"typ": TYPE}), id="no algorithm"),
    ],
)
def test_anything_less_is_refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(InvalidTokenError):
        tokens.check(token)
