"""Refusing who asks for too much: what a request counts as, and the answer 429.

Operators and soldiers are not limited: a throttled heartbeat would cost a lease, and a throttled operator everybody's
missions. What they do is bounded by what people asked for.
"""

import hashlib
import ipaddress
from typing import Final, Protocol

from starlette.requests import Request

from mission_commander.api.answers import ProblemError
from mission_commander.domain.homes import Homes
from mission_commander.services.counts import Counts
from mission_commander.services.limiting import Limit, Limiter, TooMuch
from mission_contracts.clock import Clock
from mission_contracts.metrics import LIMITED
from mission_contracts.tokens import Claims, Role

_EXEMPT: Final = frozenset({Role.OPERATOR, Role.SOLDIER})
_READING: Final = frozenset({"GET", "HEAD"})
_LOOKS: Final = frozenset({"/missions/lookup"})
_MANY: Final = frozenset({"/missions/batch", "/dead-letters/redrive"})
"""How many missions they make is known later: `charge_missions` is told."""
_MAKES_ONE: Final = ("/retry", "/redrive")

_WHAT: Final = {
    Limit.SUBMIT: "missions submitted by this subject",
    Limit.SUBMIT_BYTES: "bytes submitted by this subject",
    Limit.READ: "requests that read by this subject",
    Limit.WISH: "requests that change something by this subject",
    Limit.LOGIN_ADDRESS: "logins tried from this address",
    Limit.LOGIN_USER: "failed logins of this user",
    Limit.CLIENT_ADDRESS: "wrong client secrets from this address",
    Limit.CLIENT: "wrong secrets of this client from this address",
}


_Tried = tuple[tuple[Limit, str], ...]
"""What one attempt draws from, and for whom."""


class Throttle(Protocol):
    """Slows down who guesses passwords."""

    def admit(self, user: str, address: str) -> None:
        """Count an attempt before it costs anything; end the request with 429 where there were too many."""
        ...

    def succeeded(self, user: str, address: str) -> None:
        """It was the right password: the attempt does not count."""
        ...


class SecretThrottle(Protocol):
    """Slows down who guesses the secrets of machines."""

    def judge(self, client: str, address: str, *, is_right: bool) -> None:
        """Count a wrong secret; end the request with 429 where there were too many.

        Then the right one is refused too, or its answer would tell it apart; but not where this client is at home.
        """
        ...


class Limits:
    """Draws what a request counts as, or ends it."""

    def __init__(self, limiter: Limiter, counts: Counts, clock: Clock) -> None:
        self._limiter = limiter
        self._counts = counts
        self._homes = Homes(clock)

    def charge(self, request: Request, claims: Claims) -> None:
        """Count one request of somebody whose token was checked."""
        if claims.role not in _EXEMPT:
            limit, count = _counts_as(request.scope["method"], request.scope["path"])
            self._draw(limit, claims.subject, count)

    def charge_missions(self, claims: Claims, count: int) -> None:
        """Count the missions of a request that makes many."""
        if claims.role not in _EXEMPT and count:
            self._draw(Limit.SUBMIT, claims.subject, count)

    # Throttle.

    def admit(self, user: str, address: str) -> None:
        self._draw_all(_login(user, address))

    def succeeded(self, user: str, address: str) -> None:
        self._give_back(_login(user, address))

    # SecretThrottle.

    def judge(self, client: str, address: str, *, is_right: bool) -> None:
        tried = _secret(client, address)
        home = tried[-1][1]
        if is_right and self._homes.has(home):
            return
        self._draw_all(tried)
        if is_right:
            self._give_back(tried)
            self._homes.add(home)

    def _draw_all(self, tried: _Tried) -> None:
        for place, (limit, who) in enumerate(tried):
            try:
                self._draw(limit, who)
            except ProblemError:  # it cost nothing, so it counts once
                self._give_back(tried[:place])
                raise

    def _give_back(self, tried: _Tried) -> None:
        for limit, who in tried:
            self._limiter.give_back(limit, who)

    def _draw(self, limit: Limit, who: str, count: int = 1) -> None:
        refused = self._limiter.draw(limit, who, count)
        if refused is not None:
            self._counts.add(LIMITED, limit.value)
            raise _too_many(limit, refused)


def _login(user: str, address: str) -> _Tried:
    return (Limit.LOGIN_ADDRESS, _network(address)), (Limit.LOGIN_USER, _short(user))


def _secret(client: str, address: str) -> _Tried:
    network = _network(address)
    return (Limit.CLIENT_ADDRESS, network), (Limit.CLIENT, _short(f"{client}@{network}"))


def _counts_as(method: str, path: str) -> tuple[Limit, int]:
    if method in _READING or path in _LOOKS:
        return Limit.READ, 1
    if path in _MANY:
        return Limit.SUBMIT, 0
    if path == "/missions" or path.endswith(_MAKES_ONE):
        return Limit.SUBMIT, 1
    return Limit.WISH, 1


def _too_many(limit: Limit, refused: TooMuch) -> ProblemError:
    rate, seconds = refused.rate, max(1, round(refused.after_seconds + 0.5))
    detail = f"more {_WHAT[limit]} than {rate} are too many: send this again in {seconds} s"
    headers = {
        "RateLimit-Policy": f'"{limit.value}";q={round(rate.amount)};w={round(rate.seconds)}',
        "RateLimit": f'"{limit.value}";r=0;t={seconds}',
    }
    return ProblemError(429, "TooManyRequests", detail, retry_after=seconds, headers=headers)


def address_of(request: Request) -> str:
    """Where a request comes from, as far as that can be believed."""
    return request.client.host if request.client else ""


def _network(address: str) -> str:
    """Whoever has an address of IPv6 has all of its /64."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((known, 64), strict=False)) if known.version == 6 else address


def _short(user: str) -> str:
    """Names are made up by whoever asks, and may be long."""
    return hashlib.blake2b(user.encode(errors="replace"), digest_size=16).hexdigest()
