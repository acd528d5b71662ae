"""Paths that are spelled out where others have an id: `/missions/batch` is never the mission of the id `batch`."""

from collections.abc import Iterable

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope


class SpelledOut(Route):
    """All there is at its path, so any other method is not allowed there, also where it would fit a path with an id."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, found = super().matches(scope)
        return (Match.NONE if match is Match.NONE else Match.FULL), found  # the route itself answers 405


def methods_at(routes: Iterable[BaseRoute], scope: Scope) -> list[str]:
    """All methods of a path: most paths have a route for each."""
    there = [one for one in routes if isinstance(one, Route) and one.matches(scope)[0] is not Match.NONE]
    alone = [one for one in there if isinstance(one, SpelledOut)]
    return sorted({method for route in alone or there for method in route.methods or ()})
