"""Access tokens: what is accepted, and what is not."""

import jwt
import msgspec
import pytest

from mission_contracts.errors import InvalidTokenError
from mission_contracts.install_key import InstallKey
from mission_contracts.signing_keys import ALGORITHM, SigningKeys
from mission_contracts.tokens import AUDIENCE, ISSUER, LONGEST_TOKEN, TYPE, Holder, Role, Tokens

KEY = InstallKey(b"k" * 32)
KEYS = SigningKeys(KEY)
ANN = Holder(subject="ann", role=Role.USER)
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
    return Tokens(KEYS, clock)


def test_a_token_says_who_and_what(tokens: Tokens) -> None:
    claims = tokens.check(tokens.sign(ANN, lifetime_seconds=60))
    assert (claims.subject, claims.role, claims.expires_at) == ("ann", Role.USER, START + 60)


def test_every_replica_knows_the_tokens_of_the_others(tokens: Tokens, clock: Hands) -> None:
    assert Tokens(KEYS, clock).check(tokens.sign(ANN, lifetime_seconds=60)).subject == "ann"


def test_an_expired_token_is_refused_and_says_where_to_get_another(tokens: Tokens, clock: Hands) -> None:
    token = tokens.sign(ANN, lifetime_seconds=60)
    clock.time += 60
    with pytest.raises(InvalidTokenError, match="POST /token"):
        tokens.check(token)


def test_leeway_is_given_only_when_asked_for(tokens: Tokens, clock: Hands) -> None:
    token = tokens.sign(Holder(subject="s", role=Role.SOLDIER), lifetime_seconds=30)
    clock.time += 32
    assert tokens.check(token, leeway_seconds=5).role is Role.SOLDIER
    clock.time += 3
    with pytest.raises(InvalidTokenError, match="expired"):
        tokens.check(token, leeway_seconds=5)


def test_another_installations_token_is_refused(tokens: Tokens, clock: Hands) -> None:
    foreign = Tokens(SigningKeys(InstallKey(b"x" * 32)), clock).sign(ANN, lifetime_seconds=60)
    with pytest.raises(InvalidTokenError, match="not valid"):
        tokens.check(foreign)


@pytest.mark.parametrize("token", ["", "a.b.c", "not a token"])
def test_nonsense_is_refused_without_being_repeated(tokens: Tokens, token: str) -> None:
    with pytest.raises(InvalidTokenError) as refused:
        tokens.check(token)
    assert not token or token not in str(refused.value)


GOOD = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "role": "user", "iat": int(START), "exp": int(START) + 60}


def _signed(body: dict[str, object], *, algorithm: str = ALGORITHM, **header: object) -> str:
    key = KEYS.current if algorithm == ALGORITHM else "" if algorithm == "none" else "s" * 32
    headers = {name: value for name, value in ({"typ": TYPE, "kid": "access-1"} | header).items() if value is not None}
    return jwt.encode(body, key, algorithm=algorithm, headers=headers)


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
        pytest.param(_signed(GOOD, typ="JWT"), id="of another type"),
        pytest.param(_signed(GOOD, algorithm="HS256"), id="another algorithm"),
        pytest.param(_signed(GOOD, kid=None), id="no key named"),
        pytest.param(_signed(GOOD, kid="access-9"), id="a key that does not exist"),
        pytest.param(_signed(GOOD, jku="https://example.org/keys"), id="keys of its own"),
        pytest.param(_signed(GOOD, crit=["exp"]), id="critical extensions"),
        pytest.param(_signed(GOOD | {"exp": int(START) + 60.5}), id="an end that is no whole number"),
        pytest.param(_signed(GOOD | {"sub": ""}), id="nobody"),
        pytest.param(_signed(GOOD | {"nbf": None}), id="a claim that is null"),
        pytest.param(_signed(GOOD | {"nbf": int(START) + 10}), id="not valid yet"),
        pytest.param(_signed(GOOD | {"iat": int(START) + 10}), id="of the future"),
        pytest.param(_signed(GOOD | {"more": "x" * LONGEST_TOKEN}), id="too long"),
        pytest.param(_signed(GOOD, algorithm="none"), id="no algorithm"),
    ],
)
def test_anything_less_is_refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(InvalidTokenError):
        tokens.check(token)


# Who it is for, and how far it reaches.


def test_a_soldiers_token_may_be_good_for_one_pool_only(tokens: Tokens) -> None:
    soldier = Holder(subject="sa", role=Role.SOLDIER, namespace="default", pool="gpu")
    assert tokens.check(tokens.sign(soldier, lifetime_seconds=60)).holder == soldier


def test_the_same_holder_moment_and_lifetime_give_the_same_token(tokens: Tokens, clock: Hands) -> None:
    holder = Holder(subject="user:ann", role=Role.USER, account="a1", family="f1")
    first = tokens.sign(holder, lifetime_seconds=60, issued_at=START)
    clock.time += 3
    assert tokens.sign(holder, lifetime_seconds=60, issued_at=START) == first


# Rotation of the keys.


@pytest.mark.parametrize(
    ("signed_by", "checked_by", "is_accepted"),
    [
        pytest.param(1, 2, True, id="the one before, while tokens of it live"),
        pytest.param(2, 1, True, id="the next one, by a replica that was not restarted yet"),
        pytest.param(1, 3, False, id="raised by two, an old key opens nothing"),
    ],
)
def test_neighbouring_generations_accept_each_other(
    clock: Hands, signed_by: int, checked_by: int, is_accepted: bool
) -> None:
    token = Tokens(SigningKeys(KEY, signed_by), clock).sign(ANN, lifetime_seconds=60)
    checking = Tokens(SigningKeys(KEY, checked_by), clock)
    if is_accepted:
        assert checking.check(token).subject == "ann"
        return
    with pytest.raises(InvalidTokenError, match="kid"):
        checking.check(token)


def test_the_key_set_checks_what_is_signed(tokens: Tokens) -> None:
    published = jwt.PyJWKSet.from_json(msgspec.json.encode(SigningKeys(KEY).public()).decode())
    token = tokens.sign(ANN, lifetime_seconds=60)
    key = published[jwt.get_unverified_header(token)["kid"]]
    body = jwt.decode(token, key, algorithms=[ALGORITHM], audience=AUDIENCE, options={"verify_exp": False})
    assert body["sub"] == "ann"


def test_the_key_set_tells_no_secret() -> None:
    keys = msgspec.to_builtins(SigningKeys(KEY, 5).public())["keys"]
    assert [key["kid"] for key in keys] == ["access-4", "access-5", "access-6"]
    assert all(set(key) == {"kid", "x", "kty", "crv", "alg", "use"} for key in keys)
