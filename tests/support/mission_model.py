"""What the design says of one mission, in as few words as it takes: the reference that real decisions are held against.

It was written from the design's sections 3 and 6 and shares nothing with the Commander but the names of reasons.
Where the design leaves a number open (delays, bounds), the number stands here again on purpose.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from mission_contracts.mission import Failure, Reason

MAX_DEATHS = 10
DEADLINE_GRACE = 10.0
NO_HANDLER_DELAY = 1.0
NEVER_AGAIN = {Failure.GIVE_UP, Failure.BAD_PAYLOAD}


class Where(Enum):
    """Who acts next: the Commander, any soldier of the pool, the holder of the claim, nobody."""

    HERE = auto()
    OUT = auto()
    RUNNING = auto()
    OVER = auto()


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What was asked for, once and for all."""

    starts_at: float | None
    deadline_at: float
    max_attempts: int
    initial_delay: float
    multiplier: float
    max_delay: float
    in_lane: bool = False


@dataclass(kw_only=True)
class MissionModel:
    """One mission. Its methods are the sentences of the design, its fields what one can be asked about it."""

    terms: Terms
    era: int
    epoch: int = 0
    where: Where = Where.HERE
    reason: Reason = Reason.WAITING_FOR_SOLDIER
    holder: str = ""
    attempt: int = 0
    due_at: float | None = None
    suspended: bool = False
    cancel_asked_at: float | None = None
    suspect: bool = False
    deaths: int = 0
    spent: set[int] = field(default_factory=set)
    last_failed: bool = False
    """Whether its newest ended attempt failed, so that a time it waits for is a retry's."""
    has_turn: bool = False
    """Of its lane: once given, it is kept to the end."""

    # Hand-out.

    def find_a_place(self, now: float, *, pool_is_known: bool, why_due: Reason) -> None:
        """A person's wish comes first, then the time, then the pool, then its lane; else it goes out."""
        if self.reason is Reason.LANE_GAP:
            self.due_at = None  # the lane's time, not its own
        if self.suspended:
            self._here(Reason.SUSPENDED, self.due_at)
        elif self.due_at is not None and self.due_at > now:
            self._here(why_due, self.due_at)
        elif not pool_is_known:
            self._here(Reason.NO_POOL, None)
        elif self.must_queue:
            self._here(Reason.LANE_BUSY, None)
        else:
            self.hand_out(Reason.WAITING_FOR_SOLDIER)

    @property
    def must_queue(self) -> bool:
        return self.terms.in_lane and not self.has_turn

    def hand_out(self, reason: Reason) -> None:
        """Only here, and only once per hand-out, the epoch rises; it never repeats, not even in another era."""
        self.epoch = max(self.epoch, self.era * 1_000_000) + 1
        self.where, self.reason, self.holder, self.due_at = Where.OUT, reason, "", None

    def _here(self, reason: Reason, due_at: float | None) -> None:
        self.where, self.reason, self.holder, self.due_at = Where.HERE, reason, "", due_at

    def _over(self, reason: Reason, *, fenced: bool = False) -> None:
        if fenced:
            self.epoch = max(self.epoch, self.era * 1_000_000) + 1
        self.where, self.reason, self.holder, self.due_at = Where.OVER, reason, "", None

    # Claims.

    def claim(self, epoch: int, instance: str, now: float, *, has_handler: bool) -> str:
        """Give "run", "run on" (the answer was lost), or "drop"."""
        if self.where is Where.RUNNING and (epoch, instance) == (self.epoch, self.holder):
            return "run on"
        is_spent = epoch == self.epoch and self.where is not Where.OUT
        if self.where is Where.OVER or epoch < self.epoch or is_spent:
            return "drop"
        if epoch > self.epoch:
            self._learn_of_hand_out(epoch)
        if self.cancel_asked_at is not None:
            self._over(Reason.CANCELLED)
            return "drop"
        if now >= self.terms.deadline_at:
            self._over(Reason.DEADLINE_EXCEEDED, fenced=True)
            return "drop"
        if not has_handler:
            self._here(Reason.NO_HANDLER, now + NO_HANDLER_DELAY)
            return "drop"
        self._run(instance)
        return "run"

    def _run(self, instance: str) -> None:
        self.spent.add(self.epoch)
        self.where, self.reason, self.holder, self.due_at = Where.RUNNING, Reason.RUNNING, instance, None
        self.attempt += 1

    def _learn_of_hand_out(self, epoch: int) -> None:
        """The ledger was rolled back: the order proves that what the record says had ended. Nobody is blamed."""
        if self.where is Where.RUNNING:
            self.attempt -= 1
        self.where, self.epoch, self.due_at, self.holder = Where.OUT, epoch, None, ""

    def may_speak(self, epoch: int, instance: str) -> bool:
        """A report counts while its claim is open, or was lost in a rollback."""
        if self.where is Where.OVER or epoch < self.epoch:
            return False
        if epoch > self.epoch or self.where is Where.OUT:
            return True
        return self.where is Where.RUNNING and instance == self.holder

    def prove_claim(self, epoch: int, instance: str) -> None:
        """The ledger was rolled back: a heartbeat proves the claim, and says nothing of attempts."""
        is_lost = epoch > self.epoch or (epoch == self.epoch and self.where is Where.OUT)
        if self.where is Where.OVER or not is_lost:
            return
        counted = self.attempt - 1 if self.where is Where.RUNNING else self.attempt
        self.learn_of_claim(epoch, instance, counted + 1)
        self.attempt = counted + 1

    def learn_of_claim(self, epoch: int, instance: str, attempt: int) -> None:
        """The ledger was rolled back: the report proves the claim."""
        if self.where is Where.RUNNING and self.epoch == epoch:
            return
        self.where, self.epoch, self.holder, self.due_at = Where.RUNNING, epoch, instance, None
        self.attempt = max(self.attempt, attempt)
        self.reason = Reason.RUNNING if self.cancel_asked_at is None else Reason.CANCEL_REQUESTED

    # How a claim ends.

    def complete(self) -> None:
        """Completed stays Completed, also after the request to stop."""
        self.suspect = False
        self._over(Reason.COMPLETED)

    def fail(self, failure: Failure, now: float, *, later: float, chance: float) -> None:
        """A failure after the request to stop is a cancellation; else the retry policy decides."""
        # Whoever killed its own child process is tried alone again.
        self.suspect, self.last_failed = failure is Failure.PROCESS_DIED, True
        if self.cancel_asked_at is not None:
            self._over(Reason.CANCELLED)
        elif failure in NEVER_AGAIN:
            self._over(Reason.GAVE_UP)
        elif failure is not Failure.RETRY_LATER and self.attempt >= self.terms.max_attempts:
            self._over(Reason.ATTEMPTS_EXHAUSTED)
        elif now >= self.terms.deadline_at:
            self._over(Reason.DEADLINE_EXCEEDED, fenced=True)
        elif failure is Failure.RETRY_LATER:
            self.attempt -= 1
            self._here(Reason.RETRY_BACKOFF, min(now + later, self.terms.deadline_at))
        else:
            delay = self.terms.initial_delay * self.terms.multiplier ** (self.attempt - 1)
            self._here(Reason.RETRY_BACKOFF, now + chance * min(delay, self.terms.max_delay))

    def give_back(self) -> None:
        """A soldier that leaves, or that never heard of its claim: uncharged, unsuspected, at once."""
        self.attempt, self.last_failed = self.attempt - 1, False
        self._again(Reason.RELEASED)

    def lose_lease(self) -> None:
        """Nobody knows who killed the process: uncharged, but its next attempt runs alone."""
        self.attempt, self.last_failed = self.attempt - 1, True
        self.suspect, self.deaths = True, self.deaths + 1
        if self.deaths >= MAX_DEATHS and self.cancel_asked_at is None:
            self._over(Reason.ATTEMPTS_EXHAUSTED)
        else:
            self._again(Reason.LEASE_LOST)

    def come_back_undelivered(self, epoch: int) -> None:
        """The broker gave up on an order: nobody ran it. One above ours is a hand-out that the ledger has lost."""
        if self.where is Where.OVER or epoch < self.epoch:
            return
        if epoch == self.epoch and self.where is Where.OUT:
            self.hand_out(Reason.WAITING_FOR_SOLDIER)
        elif epoch > self.epoch and self.where is Where.HERE:
            self.epoch = epoch
        elif epoch > self.epoch:
            self._learn_of_hand_out(epoch)
            self._again(Reason.RELEASED)

    def _again(self, reason: Reason) -> None:
        if self.cancel_asked_at is not None:
            self._over(Reason.CANCELLED)
        elif self.suspended:
            self._here(Reason.SUSPENDED, None)
        elif self.must_queue:
            self._here(Reason.LANE_BUSY, None)
        else:
            self.hand_out(reason)

    # Time.

    def time_tells(self, now: float, *, cancel_deadline: float, pool_is_known: bool, handler_is_known: bool) -> None:
        """Nothing waits for ever: the deadline, the cancel deadline, and whatever is due."""
        runs = self.where is Where.RUNNING
        if self.where is Where.OVER:
            return
        if runs and self.cancel_asked_at is not None:
            last_word = min(self.cancel_asked_at + cancel_deadline, self.terms.deadline_at + DEADLINE_GRACE)
            if now >= last_word:
                self._over(Reason.CANCELLED, fenced=True)
        elif now >= self.terms.deadline_at + (DEADLINE_GRACE if runs else 0):
            self._over(Reason.DEADLINE_EXCEEDED, fenced=True)
        elif self.where is Where.HERE and (self.due_at is None or self.due_at <= now):
            stays = self.reason is Reason.NO_HANDLER and not handler_is_known
            stays |= self.reason is Reason.NO_POOL and not pool_is_known
            stays |= self.reason in (Reason.SUSPENDED, Reason.LANE_GAP)
            if not stays:
                self.find_a_place(now, pool_is_known=pool_is_known, why_due=self.reason)

    # Wishes.

    def cancel(self, now: float, *, deleted: bool) -> None:
        """Final at once where nobody runs it, else asked for."""
        if self.where is Where.RUNNING:
            if self.cancel_asked_at is None:
                self.cancel_asked_at, self.reason = now, Reason.CANCEL_REQUESTED
        elif self.where is not Where.OVER:
            self._over(Reason.DELETED if deleted else Reason.CANCELLED)

    def suspend(self) -> None:
        """What runs goes on; everything else is held."""
        if self.where is Where.OVER or self.suspended:
            return
        self.suspended = True
        if self.where is not Where.RUNNING:
            has_time_of_its_own = self.reason not in (Reason.NO_HANDLER, Reason.LANE_GAP)
            self._here(Reason.SUSPENDED, self.due_at if has_time_of_its_own else None)

    def resume(self, now: float, *, pool_is_known: bool) -> None:
        """A start time or a retry that lies ahead still counts."""
        if self.where is Where.OVER or not self.suspended:
            return
        self.suspended = False
        if self.where is not Where.RUNNING:
            why_due = Reason.RETRY_BACKOFF if self.last_failed else Reason.SCHEDULED
            self.find_a_place(now, pool_is_known=pool_is_known, why_due=why_due)

    # Its lane.

    def take_turn(self, now: float, *, pool_is_known: bool) -> None:
        """Who waits goes its way; whoever runs already only learns that it leads."""
        self.has_turn = True
        if self.where is Where.HERE:
            self.find_a_place(now, pool_is_known=pool_is_known, why_due=Reason.SCHEDULED)

    def wait_for_gap(self, until: float) -> None:
        self._here(Reason.LANE_GAP, until)

    def wait_for_others(self) -> None:
        self._here(Reason.LANE_BUSY, None)

    def come_too_late(self) -> None:
        self._over(Reason.LANE_PASSED)

    # What an object shows.

    def rise_above(self, *, runs: bool, epoch: int, attempt: int) -> None:
        """Its object shows more than the record knows: what was handed out later is fenced, nobody is blamed for it."""
        if self.where is Where.OVER or epoch <= self.epoch:
            return
        counted = attempt - 1 if runs else attempt
        mine = self.attempt - 1 if self.where is Where.RUNNING else self.attempt
        self.epoch, self.attempt = epoch, max(0, counted, mine)
        if self.where is not Where.HERE:
            self._again(Reason.RELEASED)
