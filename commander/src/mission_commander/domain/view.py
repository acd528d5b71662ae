"""A record as it is shown at every door."""

from datetime import UTC, datetime
from math import isfinite, isnan
from typing import Final

import msgspec

from mission_commander.domain.record import Attempt, Mission, Phase
from mission_contracts.mission import MissionState
from mission_contracts.rest import AttemptView, MissionHistory, MissionView, Timings

_LAST_SECOND: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def view(mission: Mission) -> MissionView:
    """What anybody who may see the mission is shown of it."""
    envelope = mission.envelope
    return MissionView(
        mission_id=mission.id,
        namespace=envelope.namespace,
        type=envelope.type,
        pool=envelope.pool,
        state=mission.state,
        reason=mission.reason.value,
        sequence=mission.sequence,
        door=envelope.door,
        name=envelope.name,
        message=mission.message,
        attempt=mission.attempt,
        epoch=mission.epoch,
        progress=100.0 if mission.state is MissionState.COMPLETED else mission.progress,
        soldier=_soldier(mission),
        queued_at=_time(envelope.accepted_at),
        started_at=_time(mission.started_at),
        finished_at=_time(mission.finished_at),
        duration_seconds=_duration(mission),
        due_at=_time(mission.due_at),
        result=msgspec.Raw(mission.result) if mission.result is not None else None,
        trace_id=envelope.trace_id,
        retry_of=envelope.retry_of,
        retried_as=mission.retried_as,
        dead_letter=mission.dead_letter,
        ordering_key=envelope.ordering_key,
        sequence_number=envelope.sequence_number,
    )


def attempts(mission: Mission) -> tuple[AttemptView, ...]:
    """The attempts that have ended, oldest first; of very many only the newest are kept."""
    return tuple(_attempt(one) for one in mission.attempts)


def history(mission: Mission, now: float) -> MissionHistory:
    """All that is kept of it."""
    return MissionHistory(mission=view(mission), attempts=attempts(mission), timings=timings(mission, now))


def timings(mission: Mission, now: float) -> Timings:
    """Where its time went, as of now."""
    until = now if mission.finished_at is None else mission.finished_at
    running = sum(_seconds(one.started_at, one.ended_at) for one in mission.attempts)
    if mission.phase is Phase.CLAIMED and mission.started_at is not None:
        running += _seconds(mission.started_at, until)
    accepted_at = mission.envelope.accepted_at
    return Timings(
        accepted_at=_time(accepted_at),
        handed_out_at=_time(mission.handed_out_at),
        claimed_at=_time(mission.started_at if mission.claimed_at is None else mission.claimed_at),
        finished_at=_time(mission.finished_at),
        waiting_seconds=round(max(0.0, _seconds(accepted_at, until) - running), 6),
        running_seconds=round(running, 6),
    )


def _seconds(since: float, until: float) -> float:
    """Never negative, and always a number: clocks differ, and a rebuilt record may hold anything."""
    seconds = until - since
    return max(0.0, seconds) if isfinite(seconds) else 0.0


def _attempt(ended: Attempt) -> AttemptView:
    return AttemptView(
        number=ended.number,
        epoch=ended.epoch,
        soldier=ended.instance,
        started_at=_time(ended.started_at),
        ended_at=_time(ended.ended_at),
        failure=ended.failure.value if ended.failure is not None else None,
        message=ended.message,
    )


def _soldier(mission: Mission) -> str:
    """Who runs it, or who ran it last."""
    last: Attempt | None = mission.attempts[-1] if mission.attempts else None
    return mission.holder or (last.instance if last else "")


def _duration(mission: Mission) -> float | None:
    """From the start of the last attempt to the end; nothing where none was started."""
    if mission.finished_at is None or mission.started_at is None:
        return None
    seconds = mission.finished_at - mission.started_at
    return round(max(0.0, seconds), 6) if isfinite(seconds) else None


def _time(at: float | None) -> datetime | None:
    """The nearest date that can be written: a record rebuilt from a message may hold any number."""
    if at is None or isnan(at):
        return None
    return datetime.fromtimestamp(min(max(at, 0.0), _LAST_SECOND), UTC)
