"""Which lifetime of the ledger is in force: agreeing on a new era after a wipe or a rollback, and giving it time.

Numbers that are handed out never repeat because a new era lies above every era that anybody has seen. Several
Commanders may notice a loss at once: one of them begins the era, the others join it.
"""

import asyncio
from collections import OrderedDict
from typing import Final

import structlog

from mission_commander.ports import Ledger
from mission_commander.services.counts import Counts
from mission_commander.services.patience import happens
from mission_commander.services.recorder import Recorder
from mission_contracts import metrics
from mission_contracts import mission as m
from mission_contracts.clock import Clock

WORDS_AHEAD: Final = 1_440
"""How many eras, so minutes, above now words alone are believed.

A day: a clock may be wrong by its time zone, and each loss takes one step at least, also when many come in a minute.
"""

RESTARTS_AHEAD: Final = 60
"""How many eras above the one in force at its start a Commander believes words, where its clock is behind that.

Fewer, since a word that is believed moves that era: it must not move it by a day again at each restart.
"""

MAX_PAUSE_SECONDS: Final = 60.0
"""How long a witness who keeps bringing about new eras has to wait before its next word does so again."""
MAX_WITNESSES: Final = 1_000
QUIET_SECONDS: Final = 600.0
"""After so long without an era of its making, a witness is believed at once again."""

SECONDS_PER_LOG_LINE: Final = 60.0


async def open_era(ledger: Ledger, clock: Clock) -> m.Era:
    """Give the era in force, beginning one, in Unix minutes, where there is none."""
    era = await ledger.era()
    return era if era is not None else await ledger.begin_era(m.Era(int(clock.now() // 60)))


class Witnesses:
    """Whose words brought about eras recently. Each of them costs everybody a restore, so one witness alone gets fewer
    and fewer of them; the others are believed as ever."""

    def __init__(self, *, first_pause_seconds: float) -> None:
        self._first = first_pause_seconds
        self._pauses: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Until when each has to wait (monotonic clock), and for how long that was."""

    def may_speak(self, witness: str, now: float) -> bool:
        """Whether its word may bring about an era now; if so, the next one has to wait."""
        until, pause = self._pauses.get(witness, (now, 0.0))
        if now < until:
            return False
        is_forgiven = not pause or now >= until + QUIET_SECONDS
        pause = self._first if is_forgiven else min(2 * pause, MAX_PAUSE_SECONDS)
        self._pauses[witness] = now + pause, pause
        self._pauses.move_to_end(witness)
        if len(self._pauses) > MAX_WITNESSES:
            self._pauses.popitem(last=False)
        return True


class Eras:
    """Hears of eras and of losses, and tells how long the era in force has had to settle."""

    def __init__(
        self, ledger: Ledger, recorder: Recorder, clock: Clock, *, lease_seconds: float, counts: Counts | None = None
    ) -> None:
        self._counts = counts or Counts()
        self._ledger = ledger
        self._recorder = recorder
        self._clock = clock
        self._lease_seconds = lease_seconds
        self._greatest = recorder.era
        self._found = recorder.era
        """The era that was in force when this Commander came: what the ledger says is believed, whatever clocks say."""
        self._witnesses = Witnesses(first_pause_seconds=lease_seconds)
        self._told_of_doubt_at = -SECONDS_PER_LOG_LINE
        self._lost = m.Era(0)
        self._quiet_since = clock.monotonic()
        self._wanted = asyncio.Event()
        self._log = structlog.get_logger("eras")
        recorder.on_loss(self._note_loss)
        recorder.on_suspicion(lambda era: self.suspect(era, by="what was recorded"))

    # What is heard.

    def saw(self, era: m.Era, *, by: str) -> None:
        """Note an era that a witness says to work in. One above ours means that another Commander began it, or that
        our ledger is older than what it handed out; one far above is made up, and changes nothing."""
        if era > self._greatest and self.believes(era) and self._witnesses.may_speak(by, self._clock.monotonic()):
            self.learn(era)

    def learn(self, era: m.Era) -> None:
        """Note an era that a secret or a seal of this installation proves."""
        if self._greatest < era <= m.GREATEST_ERA:
            self._greatest = era
            if era > self._recorder.era:
                self._wanted.set()

    def believes(self, era: m.Era) -> bool:
        """Tell whether an era that somebody names can be; what cannot is counted."""
        if era <= self._greatest or era <= self._highest_believed():
            return True
        self._counts.add(metrics.ERAS_DISBELIEVED)
        self._tell_of_doubt(era)
        return False

    def _highest_believed(self) -> int:
        """It never follows what was said, or many small steps would go as far as one that is too large."""
        return max(int(self._clock.now() // 60) + WORDS_AHEAD, self._found + RESTARTS_AHEAD)

    def _tell_of_doubt(self, era: m.Era) -> None:
        now = self._clock.monotonic()
        if now - self._told_of_doubt_at >= SECONDS_PER_LOG_LINE:
            self._told_of_doubt_at = now
            highest = self._highest_believed()
            self._log.warning("somebody names an era that cannot be: it changes nothing", era=era, highest=highest)

    def suspect(self, era: m.Era, *, by: str) -> None:
        """A witness shows that the ledger lacks some of this era.

        Words count once the era has settled: until then, holders of claims are still telling what they have. They are
        measured against the era in force, wherever that lies: each brings about the next one and no other, so nobody
        gets far by them, and nobody's made-up era keeps true ones from being heard.
        """
        if not self.is_settled or era < self._recorder.era or era <= self._lost:
            return
        if self._witnesses.may_speak(by, self._clock.monotonic()):
            self._note_loss(era)

    def look(self) -> None:
        """Compare soon: something is not as it was."""
        self._wanted.set()

    def _note_loss(self, era: m.Era | None) -> None:
        if era is not None:
            self._lost = max(self._lost, era)
        self._wanted.set()

    async def wanted(self, *, within_seconds: float) -> bool:
        """Wait until there is something to agree on; False when the time is over."""
        is_wanted = await happens(self._wanted, within_seconds=within_seconds)
        self._wanted.clear()
        return is_wanted

    @property
    def is_in_doubt(self) -> bool:
        """Something was heard that the era in force does not fit."""
        return self._greatest > self._recorder.era or self._lost >= self._recorder.era

    # How it settles.

    @property
    def is_settled(self) -> bool:
        """For one lease after an era began, holders of claims may still tell of missions that the ledger lacks."""
        return self._clock.monotonic() - self._quiet_since >= self._lease_seconds

    def start_anew(self) -> None:
        """This Commander could not hear for a while: everybody has a whole lease again."""
        self._quiet_since = self._clock.monotonic()

    # Agreeing.

    def enter(self, era: m.Era) -> None:
        """Work in this era from now on."""
        self._greatest = max(self._greatest, era)
        self._found = self._found or era
        self.start_anew()
        self._recorder.horizon.enter(era)

    async def agree(self) -> bool:
        """See to it that the ledger is in an era that can be worked in, and enter it; tell whether it is another.

        Raises LedgerAwayError.
        """
        in_force = await self._ledger.era()
        while not self._can_go_on(in_force):
            era = self._next_era(in_force)
            self._log.warning("the ledger was wiped or rolled back; a new era begins", era=era, after=in_force)
            in_force = await self._ledger.begin_era(era, replaces=in_force) or None
        if in_force == self._recorder.era:
            return False
        self.enter(m.Era(in_force or 0))
        return True

    def _can_go_on(self, in_force: m.Era | None) -> bool:
        return in_force is not None and in_force > self._lost and in_force >= self._greatest

    def _next_era(self, in_force: m.Era | None) -> m.Era:
        return m.Era(max(int(self._clock.now() // 60), self._greatest + 1, self._lost + 1, (in_force or 0) + 1))
