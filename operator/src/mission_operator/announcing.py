"""Kubernetes Events for the few moments a person wants to find in `kubectl describe`: sent once, never waited for.

Events are kept for an hour by the cluster and are costly there, so ordinary life (queued, running, completed) makes
none, and a flood is cut off. The status is the record; an Event that gets lost is no loss.
"""

import asyncio
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec
import structlog

from mission_contracts.clock import Clock
from mission_contracts.mission import MissionId, Reason
from mission_contracts.resources import API_VERSION, MISSION
from mission_contracts.rest import MissionView
from mission_contracts.text import encodable, truncate
from mission_operator.kube import FIELD_MANAGER, Answer, KubeAwayError

_log: Final = structlog.get_logger()

_PER_SECOND: Final = 10.0
_BURST: Final = 50.0
_REMEMBERED: Final = 4096
_WAITING: Final = 200
_MAX_NOTE_BYTES: Final = 1024
_MAX_REASON_BYTES: Final = 128
_MAX_NAME_CHARACTERS: Final = 230

_REPORTED: Final = {
    Reason.REFUSED: "Refused",
    Reason.RETRY_BACKOFF: "Retried",
    Reason.LEASE_LOST: "LeaseLost",
    Reason.GAVE_UP: "DeadLettered",
    Reason.ATTEMPTS_EXHAUSTED: "DeadLettered",
    Reason.CANCELLED: "Cancelled",
}
_BAD: Final = frozenset({"Refused", "DeadLettered", "LeaseLost"})


class Posting(Protocol):
    """The API server, as far as Events go."""

    async def request(self, method: str, path: str, body: bytes | None = None) -> Answer: ...


class Regarding(msgspec.Struct, frozen=True):
    """The object that an Event speaks of."""

    kind: str
    namespace: str
    name: str
    uid: str


class Announcer:
    """Posts Events; of a mission, the first time it comes to a remarkable point."""

    def __init__(self, api: Posting, clock: Clock, reporter: str) -> None:
        self._api = api
        self._clock = clock
        self._reporter = reporter
        self._told: OrderedDict[tuple[MissionId, str, int], None] = OrderedDict()
        self._waiting: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_WAITING)
        self._allowance = _BURST
        self._allowed_at = clock.monotonic()
        self.dropped = 0

    def tell_of(self, view: MissionView) -> None:
        """Announce what this view says, if it is remarkable, new, and not one too many."""
        reason = _REPORTED.get(Reason(view.reason)) if view.reason in _REPORTED else None
        if reason is None or not self._is_new((view.mission_id, reason, view.attempt)):
            return
        self.tell(
            Regarding(MISSION.kind, view.namespace, view.name, view.mission_id),
            reason,
            view.message or f"attempt {view.attempt}: {view.reason}",
            is_bad=reason in _BAD,
        )

    def tell(self, regarding: Regarding, reason: str, note: str, *, is_bad: bool = False) -> None:
        """Announce this, if it is not one too many."""
        if self._waiting.full() or not self._may():
            self.dropped += 1
            return
        self._waiting.put_nowait(self._event(regarding, reason, note, is_bad))

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            event = await self._waiting.get()
            path = f"/apis/events.k8s.io/v1/namespaces/{event['metadata']['namespace']}/events"
            try:
                answer = await self._api.request("POST", path, msgspec.json.encode(event))
            except KubeAwayError as error:
                _log.info("an Event was not posted", why=str(error))
            else:
                if not answer.is_ok:
                    _log.info("an Event was not posted", why=answer.message)

    def _is_new(self, key: tuple[MissionId, str, int]) -> bool:
        if key in self._told:
            return False
        self._told[key] = None
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        return True

    def _may(self) -> bool:
        now = self._clock.monotonic()
        self._allowance = min(self._allowance + (now - self._allowed_at) * _PER_SECOND, _BURST)
        self._allowed_at = now
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def _event(self, regarding: Regarding, reason: str, note: str, is_bad: bool) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"generateName": _prefix(regarding.name), "namespace": regarding.namespace},
            "eventTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "action": truncate(reason, _MAX_REASON_BYTES),
            "reason": truncate(reason, _MAX_REASON_BYTES),
            "note": truncate(encodable(note), _MAX_NOTE_BYTES),
            "type": "Warning" if is_bad else "Normal",
            "reportingController": f"missioncontrol.dev/{FIELD_MANAGER}",
            "reportingInstance": truncate(self._reporter, _MAX_REASON_BYTES),
            "regarding": {"apiVersion": API_VERSION, **msgspec.structs.asdict(regarding)},
        }


def _prefix(name: str) -> str:
    """An Event's name goes on after it; a name that is cut must not end where no name may."""
    return f"{name[:_MAX_NAME_CHARACTERS].rstrip('.-')}-"
