"""The routes of soldiers: registration, claims, heartbeats. They carry the most traffic, and stay the plainest."""

import re
from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mission_commander.api import bodies, owning
from mission_commander.api.answers import ProblemError, json_answer
from mission_commander.api.doors import Doors, path_of
from mission_commander.domain.roster import Seen
from mission_commander.ports import LedgerAwayError
from mission_commander.services.heartbeats import UnknownSoldierError
from mission_contracts import bounds
from mission_contracts.mission import Instance
from mission_contracts.names import DNS_LABEL_PATTERN, SENTENCES, is_dns_label
from mission_contracts.soldiering import ClaimAnswers, ClaimRequest, Heartbeat, Registered, Registration
from mission_contracts.tokens import Holder, Role

REGISTRATION_BYTES = 4 * 1024 * 1024
"""What is read of one; what may be registered is less, and is said in a sentence of its own."""
HEARTBEAT_BYTES = 8 * 1024 * 1024

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


class _Soldiers:
    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    async def register(self, request: Request) -> Response:
        claims = self._doors.gate.admit(request, Role.SOLDIER)
        commander = self._doors.loaded()
        asked = await bodies.read_as(request, _registration, REGISTRATION_BYTES, counted=False)
        _check(asked)
        registration = owning.owned(claims.holder, asked)
        owning.check_instance(claims.holder, asked.instance, await commander.garrison.find(asked.instance))
        objection = await commander.garrison.register(registration)
        if objection is not None:
            retry_after = objection.retry_after_seconds
            raise ProblemError(objection.status, objection.code, objection.detail, retry_after=retry_after)
        settings, users = commander.settings, commander.broker_users
        return json_answer(
            Registered(
                heartbeat_seconds=settings.heartbeat_seconds,
                lease_seconds=settings.lease_seconds,
                era=commander.recorder.era,
                broker_urls=() if users is None else await users.urls_of((registration.namespace, registration.pool)),
            )
        )

    async def claim(self, request: Request) -> Response:
        holder, instance = await self._admit(request)
        commander = self._doors.commander
        claims = (await bodies.read_as(request, _claims, counted=False)).claims
        if len(claims) > bounds.MAX_CLAIMS:
            detail = f"{len(claims)} claims in one request, at most {bounds.MAX_CLAIMS}: split them"
            raise ProblemError(422, "BatchTooLarge", detail, field="claims")
        answers = await commander.claims.answer_all(instance, claims, within=owning.pool_of(holder))
        return json_answer(ClaimAnswers(answers=tuple(answers)), headers=self._go_elsewhere())

    async def beat(self, request: Request) -> Response:
        _, instance = await self._admit(request)
        heartbeat = await bodies.read_as(request, _heartbeat, HEARTBEAT_BYTES, counted=False)
        if not self._doors.commander.garrison.may_hold(instance, len(heartbeat.held) + len(heartbeat.unclaimed)):
            detail = "the soldiers list more missions together than a Commander holds: finish some, and take fewer"
            raise ProblemError(429, "TooManyHeld", detail, retry_after=1)
        try:
            answer = await self._doors.commander.heartbeats.answer(instance, heartbeat)
        except UnknownSoldierError as error:
            raise _unknown(instance) from error
        return json_answer(answer, headers=self._go_elsewhere())

    async def _admit(self, request: Request) -> tuple[Holder, Instance]:
        """Admit a soldier to an instance of its own that is registered."""
        holder = self._doors.gate.admit(request, Role.SOLDIER).holder
        instance = Instance(path_of(request, "instance"))
        seen = await self._find(instance)
        owning.check_instance(holder, instance, seen)
        if seen is None:
            raise _unknown(instance)
        return holder, instance

    async def _find(self, instance: Instance) -> Seen | None:
        commander = self._doors.loaded()
        seen = commander.garrison.soldier(instance)
        if seen is None and commander.vitals.ledger_is_away:
            raise LedgerAwayError(f"the ledger is away, and this Commander does not know soldier {instance}")
        return seen or await commander.garrison.find(instance)

    def _go_elsewhere(self) -> Mapping[str, str]:
        """Without the ledger no claim is granted: the next request may meet a Commander that still has it."""
        return {"Connection": "close"} if self._doors.commander.vitals.ledger_is_away else {}


def _unknown(instance: Instance) -> ProblemError:
    detail = f"soldier {instance} is not registered: register with POST /soldiers, then go on"
    return ProblemError(404, "UnknownSoldier", detail)
