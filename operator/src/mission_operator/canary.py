"""Whether the watches really see: a watch can die in silence, and an open port says nothing about it.

What we wrote has to show up in kopf's watches: the Lease, which is renewed each second, and now and then a status of
a Mission. Nothing is asked of a watch while nothing could be written: an API server that is away is no dead watch.
"""

from mission_contracts.clock import Clock


class Echoes:
    """One write of ours at a time is waited for in the watch; under load that samples it all the time.

    Versions grow over the whole cluster and a watch shows them in order, so any later one is an answer too.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._newest = 0
        self._awaited = 0
        self._since = 0.0

    def expect(self, resource_version: int) -> None:
        """A write gave its object this version."""
        if not self._awaited and resource_version > self._newest:
            self._awaited = resource_version
            self._since = self._clock.monotonic()

    def seen(self, resource_version: int) -> None:
        """The watch showed an object at this version."""
        self._newest = max(self._newest, resource_version)
        if self._newest >= self._awaited:
            self._awaited = 0

    @property
    def overdue_seconds(self) -> float:
        """How long the write that is waited for has not been seen; 0 when none is."""
        return self._clock.monotonic() - self._since if self._awaited else 0
