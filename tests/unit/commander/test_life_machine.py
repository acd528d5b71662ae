"""One mission under everything that can happen to it, in any order: each decision against the model of the design.

Around the mission stands a small world: an outbox, a broker that repeats and loses, soldiers that hear or do not hear,
reports that arrive late, twice or never, a ledger that is wiped and rolled back, an object that shows what it was told.
Once it is over its key may be used again, while all that the first mission left behind is still under way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.machines import machine_tests
from support.mission_model import MissionModel, Terms, Where
from support.records import OTHER_SOLDIER, SOLDIER, START

from mission_commander.domain import life
from mission_commander.domain.due import look_at
from mission_commander.domain.life import Dropped, Granted, Moment, Refused, Surroundings
from mission_commander.domain.record import Mission, Phase
from mission_commander.domain.retention import Retention, purgeable_since
from mission_commander.domain.view import view
from mission_commander.services import rebuilding
from mission_commander.services.differences import reconciled
from mission_contracts.envelope import Door, Envelope, Retry
from mission_contracts.messages import AttemptError, Order, Report, ReportKind
from mission_contracts.mission import Epoch, Era, Failure, Instance, MissionId, MissionState, Reason
from mission_contracts.rest import Floor
from mission_contracts.soldiering import Hold
from mission_contracts.testing import ERA, a_mission, a_report, an_order

CANCEL_DEADLINE = 30.0
RETENTION = Retention(100.0)
SECONDS = st.sampled_from([0.0, 0.5, 3.0, 11.0, 40.0])
INSTANCES = st.sampled_from([SOLDIER, OTHER_SOLDIER, Instance("soldier-3")])
MOSTLY = st.sampled_from([True, True, True, False])
RARELY = st.sampled_from([False, False, False, True])
AROUND = st.builds(Surroundings, pool_is_known=MOSTLY, handler_is_known=st.booleans())
ANY = st.integers(0, 5)
"""Which one of several; taken modulo how many there are."""

PHASES = {
    Where.HERE: Phase.WAITING,
    Where.OUT: Phase.OUT,
    Where.RUNNING: Phase.CLAIMED,
    Where.OVER: Phase.FINAL,
}
STATES = {
    Reason.COMPLETED: MissionState.COMPLETED,
    Reason.GAVE_UP: MissionState.FAILED,
    Reason.ATTEMPTS_EXHAUSTED: MissionState.FAILED,
    Reason.DEADLINE_EXCEEDED: MissionState.FAILED,
    Reason.LANE_PASSED: MissionState.FAILED,
    Reason.CANCELLED: MissionState.CANCELLED,
    Reason.DELETED: MissionState.CANCELLED,
}
WAITS_FOR_A_TIME = {Reason.SCHEDULED, Reason.RETRY_BACKOFF, Reason.NO_HANDLER, Reason.LANE_GAP}
WAITS_IN_LANE = {Reason.LANE_BUSY, Reason.LANE_GAP}
T = TypeVar("T")


@dataclass(frozen=True)
class Grant:
    """RUN, as a soldier heard it; one whose answer was lost has it all the same when it asks again."""

    envelope: Envelope
    epoch: Epoch
    instance: Instance
    attempt: int


@dataclass(frozen=True)
class Known:
    """What the ledger, or a Commander, knew at a moment, and the model of it."""

    record: Mission | None
    model: MissionModel | None


def terms_of(envelope: Envelope) -> Terms:
    retry = envelope.retry
    return Terms(
        starts_at=envelope.start_after,
        deadline_at=envelope.accepted_at + envelope.deadline_seconds,
        max_attempts=retry.max_attempts,
        initial_delay=retry.initial_delay_seconds,
        multiplier=retry.multiplier,
        max_delay=retry.max_delay_seconds,
        in_lane=envelope.ordering_key is not None,
    )


def copy_of(model: MissionModel | None) -> MissionModel | None:
    return None if model is None else MissionModel(**{**vars(model), "spent": set(model.spent)})


def standing_of(record: Mission) -> tuple[float, bool, int, int]:
    return record.envelope.accepted_at, record.is_final, record.epoch, record.sequence


class OneMission(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.era = ERA
        self.calm_steps = 0
        """For so many steps nobody ends a mission, and no ledger is lost: else few would live to see much."""
        self.begin()

    def begin(self) -> None:
        self.record: Mission | None = None
        self.model: MissionModel | None = None
        self.outbox: list[Order] = []
        self.orders: list[Order] = []
        self.heard: list[Grant] = []
        self.unheard: list[Grant] = []
        self.reports: list[tuple[Report, Instance]] = []
        self.shown: Floor | None = None
        self.backup = Known(None, None)
        self.memory = Known(None, None)
        """What a Commander has heard of, and remembers when the ledger loses it."""
        self.is_paused = False
        self.top_epoch = self.top_sequence = 0
        self.floor = 0
        """The ledger's purge floor."""
        self.blamed: int | None = 0
        """Attempts that failed by the mission's own fault; None once a loss made that unknowable."""

    @property
    def moment(self) -> Moment:
        return Moment(self.now, self.era, self.floor)

    @property
    def is_alive(self) -> bool:
        return self.record is not None and not self.record.is_final

    @property
    def mission(self) -> Mission:
        assert self.record is not None
        return self.record

    @property
    def expected(self) -> MissionModel:
        assert self.model is not None
        return self.model

    @initialize(
        around=AROUND,
        suspended=RARELY,
        start_after=st.sampled_from([None, None, None, 0.5, 40.0]),
        deadline=st.sampled_from([100.0, 20_000.0, 1_000_000.0]),
        door=st.sampled_from(Door),
        in_lane=RARELY,
        retry=st.builds(Retry, st.integers(1, 4), st.sampled_from([1.0, 9.0]), st.just(2.0), st.just(10.0)),
        calm_steps=st.sampled_from([0, 10, 20, 30]),
    )
    def accept(
        self,
        around: Surroundings,
        suspended: bool,
        start_after: float | None,
        deadline: float,
        door: Door,
        in_lane: bool,
        retry: Retry,
        calm_steps: int,
    ) -> None:
        self.calm_steps = calm_steps
        at = None if start_after is None else START + start_after
        key = "a lane" if in_lane else None
        self.envelope = a_mission(start_after=at, deadline_seconds=deadline, door=door, retry=retry, ordering_key=key)
        self.submit(around, suspended=suspended)

    @precondition(lambda self: not self.is_alive)
    @rule(around=AROUND, calm_steps=st.sampled_from([0, 10]))
    def the_next_mission_is_accepted(self, around: Surroundings, calm_steps: int) -> None:
        """The steps that are left are better spent on another one."""
        self.end_well()
        self.begin()
        self.calm_steps = calm_steps
        self.submit(around)

    @precondition(lambda self: self.record and self.record.is_final and self.envelope.door is Door.REST)
    @rule(around=AROUND, calm_steps=st.sampled_from([0, 10]), later=SECONDS)
    def its_key_is_used_again_after_its_retention(self, around: Surroundings, calm_steps: int, later: float) -> None:
        """Purged, or replaced where it is: the same id, another mission. Nobody else forgets anything."""
        ended, first = self.mission, self.envelope
        self.now = max(self.now, (purgeable_since(ended) or 0.0) + RETENTION.seconds + later)
        self.floor = max(self.floor, ended.sequence, ended.epoch)
        self.record, self.model, self.outbox, self.blamed = None, None, [], 0
        self.calm_steps = calm_steps
        self.submit(around)
        assert RETENTION.is_earlier_life(ended, self.mission)
        assert not RETENTION.is_earlier_life(self.mission, ended)
        assert self.mission.sequence > ended.sequence
        assert self.is_past(first)

    def is_past(self, envelope: Envelope) -> bool:
        """Whether something is of an earlier life of the id: what the ledger lacks of it was purged."""
        return envelope.accepted_at < self.envelope.accepted_at

    @precondition(lambda self: self.record and self.record.is_final)
    @rule(times=st.integers(1, 3))
    def it_is_redriven(self, times: int) -> None:
        """Noted once, however often it is asked for; its end stays what it was. What runs then is another mission."""
        retry = MissionId("m-2")
        for time in range(times):
            noted = life.retried(self.mission, retry, self.moment)
            assert (noted is not None) is (time == 0 and self.mission.retried_as is None)
            self.become(noted)

    def submit(self, around: Surroundings, *, suspended: bool = False) -> None:
        envelope = self.envelope = msgspec.structs.replace(self.envelope, accepted_at=self.now)
        floor = self.shown
        self.model = MissionModel(
            terms=terms_of(envelope), era=self.era, suspended=suspended, due_at=envelope.start_after
        )
        self.model.epoch = self.floor
        if floor is not None:
            runs = floor.state is MissionState.IN_PROGRESS
            self.model.epoch = max(floor.epoch, self.floor)
            self.model.attempt = max(0, floor.attempt - runs)
        self.model.find_a_place(self.now, pool_is_known=around.pool_is_known, why_due=Reason.SCHEDULED)
        self.become(life.accept(envelope, self.moment, around, suspended=suspended, floor=floor))

    def become(self, mission: Mission | None) -> None:
        """Take the next record, if it is one that may follow."""
        if mission is None:
            return
        before = self.record
        assert mission.sequence > self.top_sequence, "each change raises the sequence, whatever was lost"
        assert before is None or not before.is_final or mission.reason is before.reason, "an end never changes"
        if mission.phase is Phase.OUT and (before is None or mission.epoch != before.epoch):
            assert mission.epoch > self.top_epoch, "no epoch is handed out twice"
            self.outbox.append(an_order(mission.envelope, epoch=mission.epoch))
        self.top_sequence = mission.sequence
        self.top_epoch = max(self.top_epoch, mission.epoch)
        self.record = mission

    def pick(self, several: list[T], which: int) -> T:
        return several[which % len(several)]

    # Time.

    @precondition(lambda self: self.is_alive and not self.calm_steps)
    @rule()
    def a_long_time_passes(self) -> None:
        self.now += 4_000.0

    @precondition(lambda self: self.is_alive)
    @rule(seconds=SECONDS, around=AROUND)
    def time_passes_and_the_timer_looks(self, seconds: float, around: Surroundings) -> None:
        self.now += seconds
        self.the_timer_looks(around)

    @precondition(lambda self: self.is_alive and self.mission.due_at is not None)
    @rule(around=AROUND)
    def it_is_looked_at_when_it_is_due(self, around: Surroundings) -> None:
        self.now = max(self.now, self.mission.due_at or 0)
        self.the_timer_looks(around)

    def the_timer_looks(self, around: Surroundings) -> None:
        self.expected.time_tells(
            self.now,
            cancel_deadline=CANCEL_DEADLINE,
            pool_is_known=around.pool_is_known,
            handler_is_known=around.handler_is_known,
        )
        self.become(
            life.meet_deadline(self.mission, self.moment)
            or life.cancel_overdue(self.mission, self.moment, CANCEL_DEADLINE)
            or life.wake(self.mission, self.moment, around)
        )

    # Its pool and its lane.

    @precondition(lambda self: self.is_alive)
    @rule()
    def its_pool_is_paused_or_goes_on(self) -> None:
        self.is_paused = not self.is_paused

    @precondition(lambda self: self.is_alive and self.expected.must_queue)
    @rule(around=AROUND)
    def its_turn_comes(self, around: Surroundings) -> None:
        self.expected.take_turn(self.now, pool_is_known=around.pool_is_known)
        if self.mission.phase is Phase.WAITING:
            self.become(life.take_turn(self.mission, self.moment, around))
        else:  # a ledger was lost, and the lane learns of who runs
            self.become(life.stand_at(self.mission, self.moment, None, leads=True))

    @precondition(lambda self: self.waits_in_lane)
    @rule(seconds=SECONDS, is_gap=st.booleans())
    def its_lane_tells_for_what_it_waits(self, seconds: float, is_gap: bool) -> None:
        if is_gap:
            self.expected.wait_for_gap(self.now + seconds)
            self.become(life.wait_for_gap(self.mission, self.moment, self.now + seconds, "number 3 is missing"))
        else:
            self.expected.wait_for_others()
            self.become(life.stand_in_lane(self.mission, self.moment))

    @precondition(lambda self: self.waits_in_lane and not self.calm_steps)
    @rule()
    def its_lane_has_passed_it(self) -> None:
        self.expected.come_too_late()
        self.become(life.come_too_late(self.mission, self.moment, "its lane is past number 2"))

    @property
    def waits_in_lane(self) -> bool:
        return self.is_alive and self.mission.phase is Phase.WAITING and self.mission.reason in WAITS_IN_LANE

    # The outbox and the broker.

    @precondition(lambda self: self.may_publish)
    @rule(which=ANY, is_confirmed=MOSTLY)
    def the_outbox_publishes(self, which: int, is_confirmed: bool) -> None:
        """A confirm that is lost leaves the order where it was, and in the broker too."""
        order = self.pick(self.outbox, which)
        self.orders.append(order)
        if is_confirmed:
            self.outbox.remove(order)

    @property
    def may_publish(self) -> bool:
        """Not while nobody here has the payload that an order carries."""
        return bool(self.outbox) and not (self.record and self.record.payload_lost)

    @precondition(lambda self: self.orders)
    @rule()
    def the_queue_is_purged(self) -> None:
        """And what vanished is published again, under the same epoch."""
        vanished, self.orders = self.orders, []
        self.outbox.extend(vanished[-1:])

    @precondition(lambda self: self.orders)
    @rule(which=ANY)
    def an_order_comes_back_undelivered(self, which: int) -> None:
        order = self.pick(self.orders, which)
        self.orders.remove(order)
        if not self.knows_of_order(order):
            return
        self.expected.come_back_undelivered(order.epoch)
        self.become(life.return_undelivered(self.mission, order.epoch, self.moment))

    # Claims.

    @precondition(lambda self: self.may_publish)
    @rule(instance=INSTANCES, has_handler=MOSTLY, comes_again=RARELY, is_heard=MOSTLY)
    def it_is_published_and_claimed(
        self, instance: Instance, has_handler: bool, comes_again: bool, is_heard: bool
    ) -> None:
        """The common way, in one step, so that most examples come far."""
        self.the_outbox_publishes(-1, is_confirmed=True)
        self.a_soldier_claims(-1, instance, has_handler, comes_again, is_heard)

    @precondition(lambda self: self.orders)
    @rule(which=ANY, instance=INSTANCES, has_handler=MOSTLY, comes_again=RARELY, is_heard=MOSTLY)
    def a_soldier_claims(
        self, which: int, instance: Instance, has_handler: bool, comes_again: bool, is_heard: bool
    ) -> None:
        order = self.pick(self.orders, which)
        if not comes_again:
            self.orders.remove(order)
        if not self.knows_of_order(order):
            return
        self.claim(order.epoch, instance, has_handler=has_handler, is_heard=is_heard)

    @precondition(lambda self: self.record and self.unheard)
    @rule(which=ANY, is_heard=MOSTLY)
    def a_soldier_asks_again(self, which: int, is_heard: bool) -> None:
        grant = self.pick(self.unheard, which)
        self.unheard.remove(grant)
        self.claim(grant.epoch, grant.instance, has_handler=True, is_heard=is_heard)

    def knows_of_order(self, order: Order) -> bool:
        """Where the ledger lost it, the order knows its mission, and it brings the payload: none of an earlier life."""
        if self.record is None and self.is_past(order.envelope):
            return False
        if self.record is None:
            self.model = MissionModel(terms=terms_of(order.envelope), era=self.era, epoch=order.epoch, where=Where.OUT)
            self.become_known(rebuilding.from_order(order, self.moment))
        if not self.is_past(order.envelope):
            self.find_payload()
        return True

    def find_payload(self) -> None:
        if self.is_alive and self.mission.payload_lost:
            self.become(life.find_payload(self.mission, self.moment))
            assert not self.mission.payload_lost

    def become_known(self, mission: Mission) -> None:
        assert mission.sequence > self.top_sequence
        self.record = mission

    def claim(self, epoch: Epoch, instance: Instance, *, has_handler: bool, is_heard: bool) -> None:
        was_spent = epoch in self.expected.spent
        asked = copy_of(self.expected) or self.expected
        said = asked.claim(epoch, instance, self.now, has_handler=has_handler)
        answer = life.claim(self.mission, epoch, instance, self.moment, has_handler=has_handler)
        if self.is_paused and said == "run":
            assert isinstance(answer, Granted), answer
            self.orders.append(an_order(self.mission.envelope, epoch=epoch))
            return  # told to wait: nothing was written
        self.model = asked
        self.become(answer.mission)
        if said == "drop":
            assert isinstance(answer, Dropped), answer
            return
        assert isinstance(answer, Granted), answer
        assert (answer.mission is None) is (said == "run on"), "only a repeated answer changes nothing"
        assert answer.mission is None or not was_spent, "an epoch is spent by its first claim"
        assert (answer.attempt, answer.solo) == (self.expected.attempt, self.expected.suspect)
        assert 0 < answer.timeout_seconds <= max(0.001, self.expected.terms.deadline_at - self.now)
        grant = Grant(self.mission.envelope, epoch, instance, answer.attempt)
        (self.heard if is_heard else self.unheard).append(grant)

    # Reports.

    @precondition(lambda self: self.heard)
    @rule(kind=st.sampled_from(ReportKind), failure=st.sampled_from(Failure), later=SECONDS, comes_again=RARELY)
    def a_soldier_reports_and_is_heard(
        self, kind: ReportKind, failure: Failure, later: float, comes_again: bool
    ) -> None:
        """The common way, in one step."""
        self.a_soldier_reports(-1, kind, failure, later)
        self.a_report_arrives(-1, comes_again, 0.3)

    @precondition(lambda self: self.heard)
    @rule(failure=st.sampled_from([Failure.ERROR, Failure.TIMED_OUT, Failure.PROCESS_DIED, Failure.RETRY_LATER]))
    def an_attempt_fails_and_is_tried_again(self, failure: Failure) -> None:
        self.a_soldier_reports_and_is_heard(ReportKind.FAILED, failure, 3.0, comes_again=False)
        if self.record is not None:  # a report of an earlier life brings no lost mission back
            self.it_is_looked_at_when_it_is_due(Surroundings())

    @precondition(lambda self: self.heard)
    @rule(
        which=ANY,
        kind=st.sampled_from(ReportKind),
        failure=st.sampled_from(Failure),
        later=SECONDS,
    )
    def a_soldier_reports(self, which: int, kind: ReportKind, failure: Failure, later: float) -> None:
        """It may know nothing of what became of its claim meanwhile: a frozen one speaks late."""
        grant = self.pick(self.heard, which)
        error = AttemptError(failure=failure, message="no", retry_after_seconds=later)
        report = a_report(
            grant.envelope,
            kind,
            epoch=grant.epoch,
            attempt=grant.attempt,
            error=error if kind is ReportKind.FAILED else None,
            progress=5.0,
        )
        self.reports.append((report, grant.instance))

    @precondition(lambda self: self.reports)
    @rule(which=ANY, comes_again=RARELY, chance=st.sampled_from([0.0, 0.3, 0.99]))
    def a_report_arrives(self, which: int, comes_again: bool, chance: float) -> None:
        report, instance = self.pick(self.reports, which)
        if not comes_again:
            self.reports.remove((report, instance))
        if self.record is None and self.is_past(report.envelope):
            return  # purged
        self.know_of_claim(report.envelope, report.epoch, instance, report.attempt)
        counts = self.expected.may_speak(report.epoch, instance)
        if counts:
            self.expected.learn_of_claim(report.epoch, instance, report.attempt)
            self.expect(report, chance)
        answer = life.report(self.mission, report, instance, self.moment, chance=chance)
        assert isinstance(answer, Refused) is not counts, answer
        if not isinstance(answer, Refused):
            self.become(answer)

    def know_of_claim(self, envelope: Envelope, epoch: Epoch, instance: Instance, attempt: int) -> None:
        if self.record is None:
            self.model = MissionModel(
                terms=terms_of(envelope),
                era=self.era,
                epoch=epoch,
                where=Where.RUNNING,
                reason=Reason.RUNNING,
                holder=instance,
                attempt=attempt,
            )
            report = a_report(envelope, epoch=epoch, attempt=attempt)
            self.become_known(rebuilding.from_report(report, instance, self.moment))

    def expect(self, report: Report, chance: float) -> None:
        match report.kind:
            case ReportKind.COMPLETED:
                self.expected.complete()
            case ReportKind.RELEASED:
                self.expected.give_back()
            case ReportKind.FAILED:
                assert report.error is not None
                is_innocent = report.error.failure is Failure.RETRY_LATER
                if self.blamed is not None and not is_innocent:
                    self.blamed += 1
                later = max(life.MIN_LATER_SECONDS, report.error.retry_after_seconds or 0)
                self.expected.fail(report.error.failure, self.now, later=later, chance=chance)

    @property
    def heard_now(self) -> list[Grant]:
        """Of this life alone."""
        return [grant for grant in self.heard if not self.is_past(grant.envelope)]

    @precondition(lambda self: self.record is None and self.heard_now)
    @rule(which=ANY)
    def a_heartbeat_tells_what_it_holds(self, which: int) -> None:
        grant = self.pick(self.heard_now, which)
        self.know_of_claim(grant.envelope, grant.epoch, grant.instance, 1)
        hold = Hold(mission_id=grant.envelope.mission_id, epoch=grant.epoch, secret="")
        self.record = rebuilding.from_hold(hold, grant.envelope, grant.instance, self.moment)

    @precondition(lambda self: self.record and self.heard)
    @rule(which=ANY)
    def a_heartbeat_proves_a_claim(self, which: int) -> None:
        """Of any claim that there ever was: it means something where the ledger was rolled back and lost it."""
        grant = self.pick(self.heard, which)
        self.expected.prove_claim(grant.epoch, grant.instance)
        self.become(life.prove_claim(self.mission, grant.epoch, grant.instance, self.moment))

    # Claims that end without a word.

    @precondition(lambda self: self.record and self.heard)
    @rule(which=ANY)
    def a_lease_ends(self, which: int) -> None:
        """Of any claim that there ever was: only the open one's end means something. Its soldier may wake later."""
        self.end(self.pick(self.heard, which).epoch, MissionModel.lose_lease, life.expire)

    @precondition(lambda self: self.record and self.unheard)
    @rule(which=ANY)
    def a_claim_is_in_no_heartbeat(self, which: int) -> None:
        grant = self.pick(self.unheard, which)
        self.unheard.remove(grant)
        self.end(grant.epoch, MissionModel.give_back, life.release)

    def end(
        self,
        epoch: Epoch,
        expected: Callable[[MissionModel], None],
        decision: Callable[[Mission, Epoch, Moment], Mission | None],
    ) -> None:
        if (self.expected.where, self.expected.epoch) == (Where.RUNNING, epoch):
            expected(self.expected)
        self.become(decision(self.mission, epoch, self.moment))

    @precondition(lambda self: self.heard)
    @rule(which=ANY)
    def a_soldier_is_killed(self, which: int) -> None:
        """All that it would have said stays unsaid; its lease will tell."""
        victim = self.pick(self.heard, which).instance
        ended = [grant for grant in self.heard if grant.instance == victim]
        self.heard = [grant for grant in self.heard if grant.instance != victim]
        for grant in ended:
            if self.record is not None:
                self.end(grant.epoch, MissionModel.lose_lease, life.expire)

    # Wishes.

    @precondition(lambda self: self.is_alive and not self.calm_steps)
    @rule(deleted=st.booleans())
    def somebody_cancels(self, deleted: bool) -> None:
        self.expected.cancel(self.now, deleted=deleted)
        self.become(life.cancel(self.mission, self.moment, deleted=deleted))

    @precondition(lambda self: self.is_alive)
    @rule(around=AROUND)
    def somebody_suspends_or_resumes(self, around: Surroundings) -> None:
        if self.mission.suspended:
            self.expected.resume(self.now, pool_is_known=around.pool_is_known)
            self.become(life.resume(self.mission, self.moment, around))
        else:
            self.expected.suspend()
            self.become(life.suspend(self.mission, self.moment))

    @precondition(lambda self: self.record and self.record.phase is Phase.OUT)
    @rule(reason=st.sampled_from([Reason.POOL_AT_MAX, Reason.POOL_SCALING_UP, Reason.SUSPENDED]))
    def it_is_told_what_it_waits_for(self, reason: Reason) -> None:
        if self.expected.reason is reason:
            assert life.explain(self.mission, self.moment, reason, "again") is None
        self.expected.reason = reason
        self.become(life.explain(self.mission, self.moment, reason, "a sentence"))

    # Its object.

    @precondition(lambda self: self.record and self.envelope.door is Door.CLUSTER and self.has_more_to_show)
    @rule()
    def its_object_shows_it(self) -> None:
        shown = view(self.mission)
        self.shown = Floor(state=self.mission.state, epoch=shown.epoch, sequence=shown.sequence, attempt=shown.attempt)
        if shown.state.is_final:
            self.become(life.acknowledge(self.mission, self.moment))

    @property
    def has_more_to_show(self) -> bool:
        if self.shown is None:
            return True
        return self.mission.sequence > self.shown.sequence and not self.shown.state.is_final

    @property
    def may_be_submitted(self) -> bool:
        """A Mission object that shows a final state is never submitted again."""
        if self.envelope.door is not Door.CLUSTER or (self.shown and self.shown.state.is_final):
            return False
        knows_less = self.shown and self.record and self.shown.sequence > self.record.sequence
        return self.record is None or bool(knows_less)

    @precondition(lambda self: self.may_be_submitted)
    @rule(around=AROUND)
    def the_operator_submits_it_again(self, around: Surroundings) -> None:
        floor = self.shown
        if self.record is None or floor is None:
            self.submit(around)
            return
        runs = floor.state is MissionState.IN_PROGRESS
        self.expected.rise_above(runs=runs, epoch=floor.epoch, attempt=floor.attempt)
        self.become(life.lift(self.mission, floor, self.moment))
        self.find_payload()

    # The ledger.

    @precondition(lambda self: self.record is not self.backup.record)
    @rule()
    def the_ledger_is_saved(self) -> None:
        self.backup = Known(self.record, copy_of(self.model))

    @precondition(lambda self: self.record is not self.memory.record)
    @rule()
    def a_commander_hears_of_it_or_starts_and_loads(self) -> None:
        self.memory = Known(self.record, copy_of(self.model))

    @precondition(lambda self: not self.calm_steps and self.memory.record and self.record)
    @rule(is_wiped=st.booleans(), has_payload=MOSTLY)
    def the_ledger_loses_it_and_a_commander_restores_what_it_remembers(self, is_wiped: bool, has_payload: bool) -> None:
        """The later life wins, whatever its numbers; within it by maximum, and final wins. What nobody had heard of yet
        is lost, and whoever holds it proves it. What is past its retention is restored over nothing."""
        ledger, memory = Known(None, None) if is_wiped else self.backup, self.memory
        assert memory.record is not None
        self.begin_era()
        wins = ledger if ledger.record and standing_of(ledger.record) >= standing_of(memory.record) else memory
        restored = reconciled(
            memory.record, ledger.record, self.moment, RETENTION, payload=b"{}" if has_payload else None
        )
        assert restored is not None
        assert wins.record is not None
        assert restored.envelope == wins.record.envelope, "the life that stands"
        if RETENTION.is_over(restored, self.now):
            self.lose(None, None)  # purged, or never written
            return
        other = memory.record if wins is ledger else ledger.record
        is_other_life = other is not None and self.is_past(other.envelope)
        for known in (ledger.record, memory.record):
            assert known is None or restored.sequence >= known.sequence, "whoever saw it must not see it go back"
        was_lost = any(known.payload_lost for known in (ledger.record, memory.record) if known)
        assert restored.payload_lost <= (was_lost or ((ledger.record is None or is_other_life) and not has_payload))
        self.lose(restored, copy_of(wins.model))

    @precondition(lambda self: not self.calm_steps and self.backup.record and self.backup.record is not self.record)
    @rule(is_noticed=MOSTLY)
    def the_ledger_is_rolled_back_while_no_commander_lives(self, is_noticed: bool) -> None:
        """A new era begins where somebody notices; numbers may repeat only where nobody can."""
        self.memory = self.backup
        assert self.backup.record is not None
        is_past = self.is_past(self.backup.record.envelope)
        if is_past:
            self.lose(None, None)  # what it shows is past its retention, and goes
        else:
            self.lose(self.backup.record, copy_of(self.backup.model))
        if is_noticed or is_past:
            self.begin_era()
        else:
            self.top_sequence, self.top_epoch = self.mission.sequence, self.mission.epoch

    @precondition(lambda self: self.record and not self.calm_steps and (self.heard or self.orders or self.shown))
    @rule()
    def the_ledger_is_wiped_while_no_commander_lives(self) -> None:
        self.backup = self.memory = Known(None, None)
        self.lose(None, None)
        self.begin_era()

    def lose(self, record: Mission | None, model: MissionModel | None) -> None:
        self.record, self.model, self.blamed = record, model, None
        self.outbox = [an_order(record.envelope, epoch=record.epoch)] if record and record.phase is Phase.OUT else []
        if model is not None:
            model.spent.clear()  # who was granted what since is unknown

    def begin_era(self) -> None:
        self.era = Era(self.era + 1)
        for model in (self.model, self.backup.model, self.memory.model):
            if model is not None:
                model.era = self.era

    # What holds after every step.

    @invariant()
    def a_step_is_over(self) -> None:
        self.calm_steps = max(0, self.calm_steps - 1)

    @invariant()
    def the_record_is_what_the_design_says(self) -> None:
        if self.record is None or self.model is None:
            assert self.record is None
            assert self.model is None
            return
        mission, expected = self.record, self.model
        assert mission.phase is PHASES[expected.where]
        assert mission.reason is expected.reason
        assert (mission.epoch, mission.holder) == (expected.epoch, expected.holder)
        assert mission.attempt == expected.attempt, "attempts are charged exactly by the rules"
        assert mission.due_at == expected.due_at
        assert mission.deaths == expected.deaths
        assert mission.is_final or mission.solo is expected.suspect
        assert mission.leads is expected.has_turn
        assert (mission.suspended, mission.cancel_requested_at) == (expected.suspended, expected.cancel_asked_at)

    @invariant()
    def state_and_phase_say_the_same(self) -> None:
        mission = self.record
        if mission is None:
            return
        is_running = mission.phase is Phase.CLAIMED
        shown = MissionState.IN_PROGRESS if is_running else STATES.get(mission.reason, MissionState.QUEUED)
        assert mission.state is shown
        assert (mission.finished_at is not None) is mission.state.is_final is (mission.phase is Phase.FINAL)
        assert bool(mission.holder) is is_running
        assert mission.dead_letter is (mission.state is MissionState.FAILED and mission.retried_as is None)
        assert view(mission).sequence == mission.sequence

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        mission = self.record
        if mission is None or mission.is_final:
            return
        look = look_at(mission, CANCEL_DEADLINE)
        assert look is not None, "the due index forgets nobody who lives"
        assert look <= mission.envelope.deadline_at + life.DEADLINE_GRACE_SECONDS
        if mission.phase is Phase.WAITING:
            assert (mission.due_at is not None) or mission.reason not in WAITS_FOR_A_TIME
        if mission.phase is Phase.OUT:
            assert mission.due_at is None

    @invariant()
    def only_the_guilty_are_charged(self) -> None:
        mission = self.record
        if mission is None:
            return
        assert mission.attempt <= mission.envelope.retry.max_attempts
        if self.blamed is not None and not mission.is_final:
            assert mission.attempt == self.blamed + (mission.phase is Phase.CLAIMED)

    def teardown(self) -> None:
        """Whatever happened: once it is over, work or time alone brings the mission to its one end."""
        if hasattr(self, "envelope"):
            self.end_well()

    def end_well(self) -> None:
        goes_by_time_alone = self.top_sequence % 2
        self.is_paused = False
        for _ in range(100):
            if self.record is None and not self.come_back():
                return
            if self.mission.is_final:
                return
            if self.waits_in_lane:
                self.its_turn_comes(Surroundings())
            elif goes_by_time_alone or not self.work():
                self.now = max(self.now, look_at(self.mission, CANCEL_DEADLINE) or 0)
                self.the_timer_looks(Surroundings())
            self.the_record_is_what_the_design_says()
        raise AssertionError(f"it never ends: {self.mission}")

    def come_back(self) -> bool:
        """After a wipe that nobody lived through: a REST mission that nobody holds is lost, as the design admits."""
        if self.heard_now:
            self.a_heartbeat_tells_what_it_holds(0)
        elif orders := [order for order in self.orders if not self.is_past(order.envelope)]:
            self.knows_of_order(orders[0])
        elif self.reports:
            self.a_report_arrives(0, comes_again=False, chance=0)
        elif self.may_be_submitted:
            self.submit(Surroundings())
        return self.record is not None

    def work(self) -> bool:
        """A soldier runs what is out, and completes it."""
        if self.mission.phase is Phase.OUT:
            self.claim(self.mission.epoch, SOLDIER, has_handler=True, is_heard=True)
            return True
        mine = [
            grant for grant in self.heard if (grant.epoch, grant.instance) == (self.mission.epoch, self.mission.holder)
        ]
        if self.mission.phase is Phase.CLAIMED and mine:
            self.expected.complete()
            done = a_report(mine[-1].envelope, epoch=mine[-1].epoch)
            answer = life.report(self.mission, done, mine[-1].instance, self.moment, chance=0)
            assert not isinstance(answer, Refused)
            self.become(answer)
            return True
        return False


TestOneMission, TestOneMissionAtLength = machine_tests(OneMission, steps=60)
