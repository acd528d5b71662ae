"""The routes of soldiers: registration, claims, heartbeats. They carry the most traffic, and stay the plainest."""

import re
from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mission_commander.api import bodies
from mission_commander.api.answers import ProblemError, json_answer
from mission_commander.api.doors import Doors, path_of
from mission_commander.domain.memory import PoolKey
from mission_commander.services.heartbeats import UnknownSoldierError
from mission_contracts import bounds
from mission_contracts.mission import Instance
from mission_contracts.names import DNS_LABEL_PATTERN, SENTENCES, is_dns_label
from mission_contracts.soldiering import ClaimAnswers, ClaimRequest, Heartbeat, Registered, Registration
from mission_contracts.tokens import Claims, Role

REGISTRATION_BYTES = 4 * 1024 * 1024
"""Types come with their JSON Schemas."""

_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,252}")

_registration = msgspec.json.Decoder(Registration)
_claims = msgspec.json.Decoder(ClaimRequest)
_heartbeat = msgspec.json.Decoder(Heartbeat)


def routes(doors: Doors) -> list[Route]:
    """All routes under /soldiers."""
    soldiers = _Soldiers(doors)
    return [
        Route("/soldiers", soldiers.register, methods=["POST"]),
        Route("/soldiers/{instance}/claims", soldiers.claim, methods=["POST"]),
        Route("/soldiers/{instance}/heartbeat", soldiers.beat, methods=["POST"]),
    ]


def _check(asked: Registration) -> None:
    """Refuse what could never be found again by its name, or never take a mission."""
    if not _INSTANCE.fullmatch(asked.instance):
        detail = "the instance is a name of at most 253 letters, digits and ._:@-, beginning with a letter or digit"
        raise ProblemError(422, "BadField", detail, field="instance")
    for field, name in (("namespace", asked.namespace), ("pool", asked.pool)):
        if not is_dns_label(name):
            raise ProblemError(422, "BadField", f"{field} {SENTENCES[DNS_LABEL_PATTERN]}", field=field)
    if asked.concurrency < 1:
        raise ProblemError(422, "BadField", "a soldier runs at least 1 mission at once", field="concurrency")


def _pool_of(claims: Claims) -> PoolKey | None:
    """Give the one pool that a token is good for; None: any."""
    holder = claims.holder
    if holder.pool is None:
        return None
    return holder.namespace or "", holder.pool


def _check_pool(own: PoolKey | None, other: PoolKey) -> None:
    if own is not None and own != other:
        detail = f"the token is good for pool {own[1]} of namespace {own[0]} only, and this is about another"
        raise ProblemError(403, "WrongPool", detail)


class _Soldiers:
    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    async def register(self, request: Request) -> Response:
        pool = _pool_of(self._doors.gate.admit(request, Role.SOLDIER))
        commander = self._doors.loaded()
        registration = await bodies.read_as(request, _registration, REGISTRATION_BYTES, counted=False)
        _check(registration)
        _check_pool(pool, (registration.namespace, registration.pool))
        self._check_instance(pool, registration.instance)
        await commander.garrison.register(registration)
        settings, users = commander.settings, commander.broker_users
        return json_answer(
            Registered(
                heartbeat_seconds=settings.heartbeat_seconds,
                lease_seconds=settings.lease_seconds,
                era=commander.recorder.era,
                broker_urls=() if users is None else await users.urls_of((registration.namespace, registration.pool)),
            )
        )

    def _check_instance(self, pool: PoolKey | None, instance: Instance) -> None:
        """Nobody speaks for another pool's soldier, nor takes its name."""
        seen = self._doors.loaded().garrison.soldier(instance)
        if seen is not None:
            _check_pool(pool, seen.pool)

    async def claim(self, request: Request) -> Response:
        pool = _pool_of(self._doors.gate.admit(request, Role.SOLDIER))
        commander = self._doors.loaded()
        instance = Instance(path_of(request, "instance"))
        self._check_instance(pool, instance)
        claims = (await bodies.read_as(request, _claims, counted=False)).claims
        if len(claims) > bounds.MAX_CLAIMS:
            detail = f"{len(claims)} claims in one request, at most {bounds.MAX_CLAIMS}: split them"
            raise ProblemError(422, "BatchTooLarge", detail, field="claims")
        answers = await commander.claims.answer_all(instance, claims, within=pool)
        return json_answer(ClaimAnswers(answers=tuple(answers)), headers=self._go_elsewhere())

    async def beat(self, request: Request) -> Response:
        pool = _pool_of(self._doors.gate.admit(request, Role.SOLDIER))
        commander = self._doors.loaded()
        instance = Instance(path_of(request, "instance"))
        self._check_instance(pool, instance)
        heartbeat = await bodies.read_as(request, _heartbeat, counted=False)
        try:
            answer = await commander.heartbeats.answer(instance, heartbeat)
        except UnknownSoldierError as error:
            raise ProblemError(404, "UnknownSoldier", f"{error}: register with POST /soldiers, then go on") from error
        return json_answer(answer, headers=self._go_elsewhere())

    def _go_elsewhere(self) -> Mapping[str, str]:
        """Without the ledger no claim is granted: the next request may meet a Commander that still has it."""
        return {"Connection": "close"} if self._doors.commander.vitals.ledger_is_away else {}
