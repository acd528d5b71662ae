"""10,000 mutated tokens: we never accept what PyJWT or joserfc refuses, and a token that is accepted says what it said.

The other two are set up as their own documentation has it: the same key, algorithm, issuer and audience, and the times
checked by their own clocks. We may be stricter than they are; the test counts that too, so that it does not prove its
point by refusing everything.
"""

import json
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt
import pytest
from joserfc import jwt as joserfc_jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from support import token_forge
from support.token_forge import HEADER

from mission_contracts.clock import SystemClock
from mission_contracts.errors import InvalidTokenError
from mission_contracts.install_key import InstallKey
from mission_contracts.signing_keys import ALGORITHM, SigningKeys
from mission_contracts.tokens import AUDIENCE, ISSUER, Holder, Role, Tokens

SEED: Final = 20_610
TOKENS: Final = 10_000
KEYS: Final = SigningKeys(InstallKey(b"of these tests, and of no installation"))
OURS: Final = Tokens(KEYS, SystemClock())
PUBLIC: Final = KEYS.current.public_key()
THEIR_KEY: Final = OKPKey.import_key(
    {"kty": "OKP", "crv": "Ed25519", "x": token_forge.encoded(PUBLIC.public_bytes_raw())}
)
REQUIRED: Final = ("exp", "iat", "aud", "iss", "sub")
CLAIMS: Final = joserfc_jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": ISSUER},
    aud={"essential": True, "value": AUDIENCE},
    exp={"essential": True},
    iat={"essential": True},
    sub={"essential": True},
)

# RFC 9864 prefers the name Ed25519; who checks tokens today knows EdDSA, and so do we.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated:joserfc.errors.SecurityWarning")

Json = dict[str, Any]
Mutation = Callable[[random.Random, Json, Json], str]


def we_accept(token: str) -> bool:
    try:
        OURS.check(token)
    except InvalidTokenError:
        return False
    return True


def pyjwt_accepts(token: str) -> bool:
    options: Any = {"require": list(REQUIRED)}
    try:
        jwt.decode(token, PUBLIC, algorithms=[ALGORITHM], issuer=ISSUER, audience=AUDIENCE, options=options)
    except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError):
        return False
    return True


def joserfc_accepts(token: str) -> bool:
    try:
        CLAIMS.validate(joserfc_jwt.decode(token, THEIR_KEY, algorithms=[ALGORITHM]).claims)
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError):
        return False
    return True


# What is done to a token.


def good(_: random.Random, header: Json, body: Json) -> str:
    return token_forge.signed(header, body, KEYS.current)


def changed_header(dice: random.Random, header: Json, body: Json) -> str:
    name = dice.choice([*header, "crit", "b64", "jku", "jwk", "x5u", "zip", "cty", "enc"])
    return good(dice, header | {name: dice.choice(values(dice))}, body)


def changed_claim(dice: random.Random, header: Json, body: Json) -> str:
    name = dice.choice([*body, "nbf", "jti", "account", "family", "pool", "namespace"])
    return good(dice, header, body | {name: dice.choice(values(dice))})


def missing(dice: random.Random, header: Json, body: Json) -> str:
    part = dice.choice([header, body])
    part.pop(dice.choice(list(part)))
    return good(dice, header, body)


def values(dice: random.Random) -> list[Any]:
    now = int(time.time())
    return [
        None, True, False, 0, -1, 1, now, now + 900, str(now + 900), now - 900, now + 900.5, 10**30, -(10**30), 1e300,
        "", " ", "x" * dice.randint(1, 3_000), [], {}, [AUDIENCE], [ISSUER], AUDIENCE, ISSUER, AUDIENCE + " ",
        "none", "HS256", "EdDSA", "Ed25519", "at+jwt", "JWT", "access-1", "access-2", "access-3", "../access-1",
        "admin", "user", "soldier", "\u0000", "é", "\ud800", [["exp"]], {"exp": now},
    ]  # fmt: skip


def torn(dice: random.Random, header: Json, body: Json) -> str:
    """A letter changed, left out, doubled or added, anywhere."""
    token = good(dice, header, body)
    place = dice.randrange(len(token))
    letter = dice.choice("ABCdef019-_.=+/ \n\t\u0000é~")
    return dice.choice(
        [
            token[:place] + letter + token[place + 1 :],
            token[:place] + token[place + 1 :],
            token[:place] + token[place] + token[place:],
            token[:place] + letter + token[place:],
            token[:place],
            token[place:],
        ]
    )


def last_bits(dice: random.Random, header: Json, body: Json) -> str:
    """The same bytes in another spelling: the last letter of a part holds bits that nobody reads."""
    parts = good(dice, header, body).split(".")
    which = dice.randrange(3)
    letter = dice.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef0123456789-_")
    parts[which] = parts[which][:-1] + letter + dice.choice(["", "", "="])
    return ".".join(parts)


def rearranged(dice: random.Random, header: Json, body: Json) -> str:
    parts = good(dice, header, body).split(".")
    return dice.choice(
        [
            ".".join(dice.sample(parts, 3)),
            ".".join([*parts, parts[2]]),
            ".".join(parts[:2]),
            ".".join([parts[0], "", parts[2]]),
            "." + ".".join(parts),
            ".".join(parts) + ".",
        ]
    )


def otherwise_signed(dice: random.Random, header: Json, body: Json) -> str:
    header["alg"] = dice.choice(["HS256", "HS512", "EdDSA", "none", "ES256"])
    secret = dice.choice([PUBLIC.public_bytes_raw(), b"", b"secret", token_forge.as_json(THEIR_KEY.as_dict())])
    return dice.choice([token_forge.with_hmac(header, body, secret), token_forge.unsigned(header, body)])


def odd_json(dice: random.Random, header: Json, body: Json) -> str:
    """What no library writes: names twice, numbers of other spellings, deep nesting, text around it."""
    text = json.dumps(body)
    text = dice.choice(
        [
            text[:-1] + ', "exp": 1}',
            text[:-1] + ', "role": "admin"}',
            text[:-1] + f', "exp": {dice.choice(["1e400", "NaN", "-Infinity", "9" * 30, "1.0", "1e10"])}}}',
            text[:-1] + ', "more": ' + "[" * 200 + "]" * 200 + "}",
            " " + text + "\n",
            text + text,
            f"[{text}]",
            text.replace('"', "'"),
            '"' + "x" * 20 + '"',
            "null",
            "﻿" + text,
        ]
    )
    return token_forge.signed(header, text, KEYS.current)


MUTATIONS: Final[Mapping[Mutation, int]] = {
    good: 1, changed_header: 4, changed_claim: 5, missing: 2, torn: 5, last_bits: 2, rearranged: 2, otherwise_signed: 2,
    odd_json: 3,
}  # fmt: skip


def a_token(dice: random.Random) -> str:
    now = int(time.time())
    body: Json = {"iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "role": "user", "iat": now, "exp": now + 900}
    [mutation] = dice.choices(list(MUTATIONS), list(MUTATIONS.values()))
    return mutation(dice, dict(HEADER), body)


def test_what_others_refuse_we_never_accept() -> None:
    dice = random.Random(SEED)
    verdicts: Counter[tuple[bool, bool, bool]] = Counter()
    for _ in range(TOKENS):
        token = a_token(dice)
        verdict = we_accept(token), pyjwt_accepts(token), joserfc_accepts(token)
        assert not verdict[0] or all(verdict), f"PyJWT and joserfc say {verdict[1:]}, and we accept {token!r}"
        verdicts[verdict] += 1
    assert verdicts.total() == TOKENS
    assert verdicts[True, True, True] > TOKENS / 50, "good tokens are among them"
    assert verdicts[False, True, True] > TOKENS / 50, "so are tokens that only we refuse"
    assert verdicts[False, False, False] > TOKENS / 4


def test_what_we_sign_the_others_accept() -> None:
    holder = Holder(subject="user:ann", role=Role.USER, namespace="default", account="a", family="f")
    token = OURS.sign(holder, lifetime_seconds=60)
    assert (we_accept(token), pyjwt_accepts(token), joserfc_accepts(token)) == (True, True, True)
