"""Missions in each phase, brought there by the domain's own moves, and the moments at which tests look at them."""

from typing import Any

from mission_commander.domain import life
from mission_commander.domain.life import OPEN_FIELD, Granted, Moment, Refused, Surroundings
from mission_commander.domain.record import Mission
from mission_contracts.envelope import Retry
from mission_contracts.messages import AttemptError, Report, ReportKind
from mission_contracts.mission import Epoch, Failure, Instance
from mission_contracts.rest import Floor
from mission_contracts.testing import ERA, a_mission, a_report

START = a_mission().accepted_at
SOLDIER = Instance("soldier-1")
OTHER_SOLDIER = Instance("soldier-2")
NO_POOL = Surroundings(pool_is_known=False)
NO_HANDLER = Surroundings(handler_is_known=False)


def after(seconds: float) -> Moment:
    """The moment that many seconds after the missions of these tests were accepted."""
    return Moment(START + seconds, ERA)


def accepted(
    around: Surroundings = OPEN_FIELD,
    *,
    suspended: bool = False,
    floor: Floor | None = None,
    mission_id: str = "m-1",
    **fields: Any,
) -> Mission:
    return life.accept(a_mission(mission_id, **fields), after(0), around, suspended=suspended, floor=floor)


def out(**fields: Any) -> Mission:
    return accepted(**fields)


def waiting(**fields: Any) -> Mission:
    """A mission with a start time a minute away."""
    return accepted(start_after=START + 60, **fields)


def claimed(mission: Mission | None = None, seconds: float = 1, instance: Instance = SOLDIER) -> Mission:
    """A mission that runs since the given second."""
    mission = mission or out()
    granted = life.claim(mission, mission.epoch, instance, after(seconds), has_handler=True)
    assert isinstance(granted, Granted), granted
    assert granted.mission is not None, "this claim was granted before"
    return granted.mission


def said(mission: Mission, kind: ReportKind, *, epoch: Epoch | None = None, **fields: Any) -> Report:
    return a_report(mission.envelope, kind, epoch=mission.epoch if epoch is None else epoch, **fields)


def applied(mission: Mission, report: Report, seconds: float = 2, *, chance: float = 0.5) -> Mission:
    """The mission after a report that must not be refused."""
    moved = life.report(mission, report, mission.holder or SOLDIER, after(seconds), chance=chance)
    assert not isinstance(moved, Refused), moved
    return moved


def completed(mission: Mission | None = None, seconds: float = 2, **fields: Any) -> Mission:
    mission = mission or claimed()
    return applied(mission, said(mission, ReportKind.COMPLETED, **fields), seconds)


def failed(
    mission: Mission | None = None,
    failure: Failure = Failure.ERROR,
    seconds: float = 2,
    *,
    message: str = "no luck",
    chance: float = 0.5,
    retry_after_seconds: float | None = None,
    ran_seconds: float = 1,
) -> Mission:
    mission = mission or claimed()
    error = AttemptError(failure=failure, message=message, retry_after_seconds=retry_after_seconds)
    report = said(mission, ReportKind.FAILED, error=error, ran_seconds=ran_seconds)
    return applied(mission, report, seconds, chance=chance)


def cancelled(mission: Mission | None = None, seconds: float = 1) -> Mission:
    moved = life.cancel(mission or out(), after(seconds))
    assert moved is not None, "there is nothing to cancel"
    return moved


def suspended(mission: Mission | None = None, seconds: float = 1) -> Mission:
    moved = life.suspend(mission or out(), after(seconds))
    assert moved is not None, "there is nothing to suspend"
    return moved


def tries(attempts: int, **fields: Any) -> Retry:
    return Retry(max_attempts=attempts, **fields)
