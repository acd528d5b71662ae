"""Reports that the broker confirmed and the ledger did not yet: kept in case a ledger that went back lost them."""

from typing import Final

from mission_soldier.book import Key

MOST_REPORTS: Final = 8192
MOST_BYTES: Final = 16 * 1024 * 1024


class Unapplied:
    """The newest of them, within bounds; each is forgotten once a heartbeat's answer says that it is applied."""

    def __init__(self, *, most: int = MOST_REPORTS, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: dict[Key, bytes] = {}
        self._bytes = 0

    def keep(self, key: Key, report: bytes) -> None:
        """Keep one as it travels; the oldest make room."""
        self.take(key)
        self._kept[key] = report
        self._bytes += len(report)
        while len(self._kept) > self._most or self._bytes > self._most_bytes:
            self.take(next(iter(self._kept)))

    def take(self, key: Key) -> bytes | None:
        """Remove a report and return it; None if it is not here any more."""
        report = self._kept.pop(key, None)
        self._bytes -= len(report or b"")
        return report
