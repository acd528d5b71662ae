"""What this instance has in its hands: written by the event loop, read by the heartbeat's thread."""

import threading
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from mission_contracts.envelope import Envelope
from mission_contracts.mission import Epoch, Era, MissionId
from mission_contracts.soldiering import Heartbeat, HeartbeatAnswer, Held, Hold, Unclaimed

Key = tuple[MissionId, Epoch]


class Entry(NamedTuple):
    """A claim, and the envelope that rebuilds its mission should the ledger lack it."""

    hold: Hold
    envelope: Envelope
    envelope_seal: str


class Book:
    """The lists of a heartbeat. Every method is safe from both threads and short."""

    def __init__(self, *, slots: int) -> None:
        self._lock = threading.Lock()
        self._slots = slots
        self._unclaimed: set[Key] = set()
        self._held: dict[Key, Entry] = {}
        self._ask_envelopes_of: frozenset[MissionId] = frozenset()
        self._beats = 0
        self._last_now = 0.0
        self.era = Era(0)
        """The newest era heard of."""
        self.is_taking = True
        self._has_left = False

    def add_unclaimed(self, keys: Iterable[Key]) -> None:
        with self._lock:
            self._unclaimed.update(keys)

    def forget_unclaimed(self, keys: Iterable[Key]) -> None:
        with self._lock:
            self._unclaimed.difference_update(keys)

    def hold(self, entries: Iterable[tuple[Key, Entry]]) -> None:
        """These claims were granted: they are unclaimed no more."""
        with self._lock:
            for key, entry in entries:
                self._unclaimed.discard(key)
                self._held[key] = entry

    def mark_reported(self, keys: Iterable[Key]) -> None:
        """Their reports are confirmed; they stay listed until an answer says applied."""
        with self._lock:
            for key in keys:
                entry = self._held.get(key)
                if entry is not None:
                    self._held[key] = entry._replace(hold=msgspec.structs.replace(entry.hold, reported=True))

    def let_go(self, keys: Iterable[Key]) -> None:
        """List these no more."""
        with self._lock:
            for key in keys:
                self._held.pop(key, None)
                self._unclaimed.discard(key)

    def heard_era(self, era: Era) -> None:
        with self._lock:
            self.era = max(self.era, era)

    def next_beat(self) -> Heartbeat:
        """Write down what is in hand now."""
        with self._lock:
            self._beats += 1
            wanted = self._ask_envelopes_of
            return Heartbeat(
                beat=self._beats,
                after=self._last_now,
                era=self.era,
                held=tuple(_listed(entry, wanted) for entry in self._held.values()),
                unclaimed=tuple(Unclaimed(mission_id=mission_id, epoch=epoch) for mission_id, epoch in self._unclaimed),
                slots=self._slots,
                taking=self.is_taking,
                left=self._has_left,
            )

    def apply(self, answer: HeartbeatAnswer) -> None:
        """Let go of what the Commander has settled; remember which envelopes it asks for."""
        self.let_go(key_of(held) for held in (*answer.applied, *answer.drops))
        with self._lock:
            self._last_now = answer.now
            self._ask_envelopes_of = frozenset(answer.unknown)
            self.era = max(self.era, answer.era)

    def leave(self) -> None:
        """Empty the hands: what was not reported by now is the Commander's to hand out again."""
        with self._lock:
            self.is_taking = False
            self._has_left = True
            self._held.clear()
            self._unclaimed.clear()


def key_of(held: Held) -> Key:
    return held.mission_id, held.epoch


def _listed(entry: Entry, wanted: frozenset[MissionId]) -> Hold:
    if wanted and entry.hold.mission_id in wanted:
        return msgspec.structs.replace(entry.hold, envelope=entry.envelope, envelope_seal=entry.envelope_seal)
    return entry.hold
