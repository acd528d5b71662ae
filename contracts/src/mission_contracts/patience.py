"""How long to wait for an answer that may never come: little at first, since the next try may reach another replica.

A replica that is frozen accepts connections and says nothing. Whoever asks it gives up soon and asks again; where
nobody is frozen and all are slow, patience grows until answers arrive.
"""

GROWTH = 2.0


class Patience:
    """Grows each time it ran out, up to a bound; an answer brings it back to where it began."""

    __slots__ = ("_first_seconds", "_most_seconds", "seconds")

    def __init__(self, *, first_seconds: float, most_seconds: float) -> None:
        self._first_seconds = first_seconds
        self._most_seconds = most_seconds
        self.seconds = first_seconds
        """For the next request."""

    def ran_out(self, after_seconds: float) -> None:
        """A request had so long, and no answer came. Many that run out together count once."""
        self.seconds = min(self._most_seconds, max(self.seconds, after_seconds * GROWTH))

    def answered(self) -> None:
        self.seconds = self._first_seconds
