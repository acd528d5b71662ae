"""Attacks 1 to 8: tokens that were made, changed or borrowed. Each is answered with 401, and nothing else happens."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support import token_forge
from support.commander_api import Api
from support.token_forge import HEADER

from mission_contracts.metrics import HTTP_REQUESTS
from mission_contracts.signing_keys import SigningKeys
from mission_contracts.tokens import AUDIENCE, ISSUER

Body = Mapping[str, Any]


class Attack:
    """What an attacker knows, and, to be sure that it is not the signature alone that saves us, our key as well."""

    def __init__(self, api: Api, client: httpx.AsyncClient) -> None:
        self._api = api
        self._client = client
        self.key = SigningKeys(api.commander.install_key).current
        now = int(time.time())
        self.body = {"iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "role": "admin", "iat": now, "exp": now + 600}

    def signed(self, header: Body = HEADER, **claims: Any) -> str:
        """A token that is true to its last letter, but for what it says; None leaves a claim out."""
        body = {name: value for name, value in (self.body | claims).items() if value is not None}
        return token_forge.signed(header, body, self.key)

    async def status_of(self, token: str) -> int:
        answer = await self._client.get("/status", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code in (200, 401), answer.text
        if answer.status_code == 401:
            assert answer.json()["code"] in ("BadToken", "NoToken")
            assert token[:200] not in answer.text
        return answer.status_code

    async def is_refused(self, *tokens: str) -> None:
        assert [await self.status_of(token) for token in tokens] == [401] * len(tokens)


@pytest.fixture
async def attack(api: Api) -> Attack:
    attack = Attack(api, await api.stranger())
    assert await attack.status_of(attack.signed()) == 200, "the tokens of these attacks are good but for the attack"
    return attack


async def test_attack_01_no_algorithm(api: Api, attack: Attack) -> None:
    before = refusals(api)
    names = ("none", "None", "nOnE", "NONE", "", None)
    await attack.is_refused(
        *(token_forge.unsigned({**HEADER, "alg": name}, attack.body) for name in names),
        *(token_forge.signed({**HEADER, "alg": name}, attack.body, attack.key) for name in names),
        token_forge.unsigned(HEADER, attack.body),
    )
    assert refusals(api) == before + 2 * len(names) + 1, "each is counted"


def refusals(api: Api) -> int:
    return api.commander.counts.number(HTTP_REQUESTS, "GET", "/status", "401")


async def test_attack_02_the_public_key_as_a_secret(attack: Attack) -> None:
    public = attack.key.public_key()
    spellings = (
        public.public_bytes(Encoding.Raw, PublicFormat.Raw),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    )
    await attack.is_refused(
        *(
            token_forge.with_hmac({**HEADER, "alg": alg}, attack.body, secret)
            for secret in spellings
            for alg in ("HS256", "EdDSA")
        )
    )


@pytest.mark.parametrize("alg", ["ES256", "RS256", "PS256", "HS256", "HS512", "Ed25519", "Ed448", "eddsa", "EdDSA "])
async def test_attack_03_another_algorithm_is_named_than_was_used(attack: Attack, alg: str) -> None:
    await attack.is_refused(attack.signed({**HEADER, "alg": alg}))


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"crit": ["exp"]}, id="known but critical"),
        pytest.param({"crit": ["b64"], "b64": False}, id="an unencoded body"),
        pytest.param({"b64": False}, id="an unencoded body, not critical"),
        pytest.param({"crit": ["unheard-of"], "unheard-of": 1}, id="unheard of"),
        pytest.param({"crit": []}, id="nothing critical"),
        pytest.param({"zip": "DEF"}, id="compressed"),
        pytest.param({"cty": "JWT"}, id="nested"),
    ],
)
async def test_attack_04_extensions_of_the_header(attack: Attack, more: Body) -> None:
    await attack.is_refused(attack.signed({**HEADER, **more}))


@pytest.mark.parametrize(
    "kid",
    [
        pytest.param("../../../../dev/null", id="a path"),
        pytest.param("/proc/self/environ", id="a file"),
        pytest.param("access-1' OR '1'='1", id="a query"),
        pytest.param("x" * 10_000, id="10 kB"),
        pytest.param("access-1\u0000", id="a zero byte"),
        pytest.param("access-01", id="another spelling of ours"),
        pytest.param("access-9", id="a key that does not exist yet"),
        pytest.param(["access-1"], id="a list"),
        pytest.param(1, id="a number"),
        pytest.param(None, id="null"),
    ],
)
async def test_attack_05_the_name_of_the_key(attack: Attack, kid: object) -> None:
    await attack.is_refused(attack.signed({**HEADER, "kid": kid}))


@pytest.mark.parametrize("where", ["jku", "x5u", "jwk", "x5c"])
async def test_attack_05_a_key_of_ones_own(attack: Attack, where: str) -> None:
    """Nothing is fetched: a header with such a field is refused before its signature is looked at."""
    own = Ed25519PrivateKey.generate()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": token_forge.encoded(own.public_key().public_bytes_raw())}
    value = {"jku": "http://127.0.0.1:1/keys", "x5u": "file:///etc/hosts", "jwk": jwk, "x5c": ["AAAA"]}[where]
    header = {**HEADER, where: value}
    await attack.is_refused(token_forge.signed(header, attack.body, own), attack.signed(header))


NOW = time.time()


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"exp": int(NOW) - 60}, id="expired"),
        pytest.param({"exp": None}, id="without an end"),
        pytest.param({"exp": str(int(NOW) + 600)}, id="an end that is a text"),
        pytest.param({"exp": NOW + 600.5}, id="an end between two seconds"),
        pytest.param({"exp": -1}, id="a negative end"),
        pytest.param({"exp": True}, id="an end that is a truth"),
        pytest.param({"exp": [int(NOW) + 600]}, id="an end that is a list"),
        pytest.param({"iat": None}, id="without a beginning"),
        pytest.param({"iat": int(NOW) + 600}, id="of the future"),
        pytest.param({"iat": str(int(NOW))}, id="a beginning that is a text"),
        pytest.param({"nbf": int(NOW) + 600}, id="not valid yet"),
        pytest.param({"nbf": "now"}, id="not valid before a text"),
    ],
)
async def test_attack_06_times(attack: Attack, claims: dict[str, Any]) -> None:
    await attack.is_refused(attack.signed(**claims))


@pytest.mark.parametrize("end", ["1e400", "-1e400", "NaN", "Infinity", "1e9999999", "9" * 400, "01999999999"])
async def test_attack_06_ends_that_no_library_writes(attack: Attack, end: str) -> None:
    text = token_forge.as_json(attack.body | {"exp": "END"}).decode().replace('"END"', end)
    token = token_forge.signed(HEADER, text, attack.key)
    assert await attack.status_of(token) == 401


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"aud": "another"}, id="for somebody else"),
        pytest.param({"aud": ""}, id="for nobody"),
        pytest.param({"aud": [AUDIENCE]}, id="for a list"),
        pytest.param({"aud": [AUDIENCE, "another"]}, id="for several"),
        pytest.param({"aud": None}, id="for whom it is not said"),
        pytest.param({"aud": AUDIENCE.upper()}, id="in other letters"),
        pytest.param({"iss": ISSUER[:4]}, id="the beginning of our name"),
        pytest.param({"iss": ISSUER + ".example.org"}, id="more than our name"),
        pytest.param({"iss": [ISSUER]}, id="by a list"),
        pytest.param({"iss": None}, id="by nobody"),
        pytest.param({"sub": None}, id="about nobody"),
        pytest.param({"sub": 1}, id="about a number"),
        pytest.param({"role": "root"}, id="a role that does not exist"),
        pytest.param({"role": ["admin"]}, id="a list of roles"),
        pytest.param({"role": None}, id="without a role"),
    ],
)
async def test_attack_07_for_others_or_by_others(attack: Attack, claims: dict[str, Any]) -> None:
    await attack.is_refused(attack.signed(**claims))


@pytest.mark.parametrize("kind", ["JWT", "rt+jwt", "id+jwt", "at+JWT", "application/at+jwt", "", None, 1])
async def test_attack_08_tokens_of_another_kind(attack: Attack, kind: object) -> None:
    await attack.is_refused(attack.signed({**HEADER, "typ": kind}))


def without_typ() -> Body:
    return {name: value for name, value in HEADER.items() if name != "typ"}


@pytest.mark.parametrize("header", [without_typ, dict], ids=["no kind", "no header at all"])
async def test_attack_08_tokens_without_a_kind(attack: Attack, header: Callable[[], Body]) -> None:
    await attack.is_refused(attack.signed(header()))
