"""Patches for views, with what the index knows of the object they are for."""

from datetime import UTC, datetime

from mission_contracts.clock import Clock
from mission_contracts.rest import MissionView
from mission_operator.missions import status
from mission_operator.missions.index import Index
from mission_operator.objects import status_patch


class Renderer:
    """Renders a view at the moment it is written, so that views that are never written cost nothing."""

    def __init__(self, index: Index, clock: Clock) -> None:
        self._index = index
        self._clock = clock

    def full(self, view: MissionView) -> bytes:
        known = self._index.of(view.mission_id)
        rendered = status.status_of(view, generation=known.generation, shown=known.conditions, now=self._now())
        return status_patch(view.mission_id, rendered)

    def minimal(self, view: MissionView) -> bytes:
        known = self._index.of(view.mission_id)
        rendered = status.minimal_status_of(view, generation=known.generation, shown=known.conditions, now=self._now())
        return status_patch(view.mission_id, rendered)

    def bare(self, view: MissionView) -> bytes:
        known = self._index.of(view.mission_id)
        return status_patch(view.mission_id, status.bare_status_of(view, shown=known.conditions, now=self._now()))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)
