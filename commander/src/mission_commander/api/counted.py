"""Counting answers by the route as it is written down: no id, and no word of a caller's, gets into a metric."""

from collections.abc import Iterable
from typing import Final

from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Scope

from mission_commander.services.counts import Counts
from mission_contracts.metrics import HTTP_REQUESTS

NO_ROUTE: Final = "none"
OTHER_METHOD: Final = "OTHER"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Answers:
    """Knows every route by what answers it."""

    def __init__(self, counts: Counts, routes: Iterable[BaseRoute]) -> None:
        self._counts = counts
        self._templates: dict[object, str] = {
            route.endpoint: route.path for route in routes if isinstance(route, Route | WebSocketRoute)
        }

    def note(self, scope: Scope, status: int) -> None:
        """Count one answer. The router leaves in the scope what it found."""
        asked = scope.get("method", "GET")  # a WebSocket begins as one
        method = asked if asked in _METHODS else OTHER_METHOD
        template = self._templates.get(scope.get("endpoint"), NO_ROUTE)
        self._counts.add(HTTP_REQUESTS, method, template, str(status))
