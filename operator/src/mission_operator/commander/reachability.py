"""Whether the Commander answers, as everyone who asked it says; so that nobody has to ask just to know."""

from mission_contracts.clock import Clock


class Reachability:
    """Remembers since when requests have failed in a row."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._away_since: float | None = None

    def answered(self) -> None:
        self._away_since = None

    def failed(self) -> None:
        if self._away_since is None:
            self._away_since = self._clock.monotonic()

    @property
    def away_seconds(self) -> float:
        """How long it has been away; 0 while it answers."""
        return 0 if self._away_since is None else self._clock.monotonic() - self._away_since
