"""Missions, orders and reports for tests: each takes the fields that its test is about, the rest is unremarkable."""

from typing import Any, Final

import msgspec

from mission_contracts.envelope import Envelope
from mission_contracts.install_key import ClaimSecrets
from mission_contracts.messages import VERSION, Order, Report, ReportKind
from mission_contracts.mission import NUMBERS_PER_ERA, Epoch, Era, Instance, MissionId
from mission_contracts.order_seals import OrderSeals

ERA: Final = Era(29_166_666)
"""The era in which a FakeClock starts."""

_FIRST_EPOCH: Final = Epoch(ERA * NUMBERS_PER_ERA + 1)


def a_mission(mission_id: str = "m-1", **fields: Any) -> Envelope:
    """Give a mission as it was accepted: type noop for the default pool, when a FakeClock starts."""
    unremarkable: dict[str, Any] = {
        "namespace": "default",
        "pool": "default",
        "type": "noop",
        "accepted_at": 1_750_000_000.0,
    }
    return Envelope(mission_id=MissionId(mission_id), **(unremarkable | fields))


def an_order(mission: Envelope | None = None, *, epoch: int = _FIRST_EPOCH, payload: bytes = b"{}") -> Order:
    """Give the order that hands a mission out under an epoch; its era is the epoch's own."""
    return Order(
        v=VERSION,
        era=Era(epoch // NUMBERS_PER_ERA),
        epoch=Epoch(epoch),
        envelope=mission or a_mission(),
        payload=msgspec.Raw(payload),
    )


def a_report(
    mission: Envelope | None = None,
    kind: ReportKind = ReportKind.COMPLETED,
    *,
    epoch: int = _FIRST_EPOCH,
    instance: str = "soldier-1",
    secrets: ClaimSecrets | None = None,
    seals: OrderSeals | None = None,
    **fields: Any,
) -> Report:
    """Return a soldier's report; genuine if `secrets`, and `seals`, are those of the Commander that reads it."""
    of = mission or a_mission()
    secret = secrets.of(of.mission_id, Epoch(epoch), Instance(instance)) if secrets else "forged"
    seal = seals.of_envelope(of) if seals else ""
    told: dict[str, Any] = {"attempt": 1, "ran_seconds": 1.0, "envelope_seal": seal} | fields
    return Report(kind=kind, mission_id=of.mission_id, epoch=Epoch(epoch), secret=secret, envelope=of, **told)
