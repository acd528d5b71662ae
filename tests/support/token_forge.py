"""Tokens as an attacker makes them: any header, any body, any signature, put together by hand."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HEADER: Mapping[str, Any] = {"alg": "EdDSA", "typ": "at+jwt", "kid": "access-1"}


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def as_json(value: Any) -> bytes:
    """JSON text; a text is taken as it is, for what no library writes."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


def body_of(token: str) -> dict[str, Any]:
    """What a token says, unchecked."""
    found: dict[str, Any] = json.loads(decoded(token.split(".")[1]))
    return found


def signed(header: Any, body: Any, key: Ed25519PrivateKey) -> str:
    """A token with a true signature, whatever it says."""
    text = f"{encoded(as_json(header))}.{encoded(as_json(body))}"
    return f"{text}.{encoded(key.sign(text.encode()))}"


def with_hmac(header: Any, body: Any, secret: bytes) -> str:
    """A token with an HMAC for its signature."""
    text = f"{encoded(as_json(header))}.{encoded(as_json(body))}"
    return f"{text}.{encoded(hmac.digest(secret, text.encode(), hashlib.sha256))}"


def unsigned(header: Any, body: Any) -> str:
    return f"{encoded(as_json(header))}.{encoded(as_json(body))}."
