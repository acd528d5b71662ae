"""One Commander behind HTTP for each test, and one soldier that is registered."""

from support.api_fixtures import api, soldier

__all__ = ["api", "soldier"]
