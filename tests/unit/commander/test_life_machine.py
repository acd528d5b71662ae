"""One mission under everything that can happen to it, in any order, against a tiny reference model."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.records import OTHER_SOLDIER, SOLDIER, START, said

from mission_commander.domain import life
from mission_commander.domain.due import look_at
from mission_commander.domain.life import Dropped, Granted, Moment, Refused, Surroundings
from mission_commander.domain.record import Mission, Phase
from mission_commander.domain.view import view
from mission_contracts.envelope import Retry
from mission_contracts.messages import AttemptError, ReportKind
from mission_contracts.mission import TRANSITIONS, Epoch, Era, Failure, Instance
from mission_contracts.testing import ERA, a_mission

MAX_ATTEMPTS = 3
CANCEL_DEADLINE = 30.0
SECONDS = st.sampled_from([0.0, 0.5, 3.0, 40.0, 4_000.0])
AROUND = st.builds(Surroundings, pool_is_known=st.booleans(), handler_is_known=st.booleans())
INSTANCES = st.sampled_from([SOLDIER, OTHER_SOLDIER])
CHARGED = {Failure.ERROR, Failure.TIMED_OUT, Failure.PROCESS_DIED, Failure.GIVE_UP, Failure.BAD_PAYLOAD}


class OneMission(RuleBasedStateMachine):
    """The model knows three things: who may run, which attempts were charged, and whether it is over."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.era = ERA
        self.mission: Mission
        self.open_claim: tuple[Epoch, Instance] | None = None
        self.spent: set[Epoch] = set()
        self.charged = 0

    @property
    def moment(self) -> Moment:
        return Moment(self.now, self.era)

    @initialize(
        around=AROUND,
        suspended=st.booleans(),
        start_after=st.none() | SECONDS,
        deadline=st.sampled_from([10.0, 10_000.0]),
    )
    def accept(self, around: Surroundings, suspended: bool, start_after: float | None, deadline: float) -> None:
        envelope = a_mission(
            start_after=None if start_after is None else START + start_after,
            deadline_seconds=deadline,
            retry=Retry(max_attempts=MAX_ATTEMPTS),
        )
        self.mission = life.accept(envelope, self.moment, around, suspended=suspended)

    def become(self, mission: Mission | None) -> None:
        """Take the next record, if it is one that may follow."""
        if mission is None:
            return
        before = self.mission
        assert not before.is_final or mission.state is before.state, "a final state never changes"
        assert mission.sequence > before.sequence, "each change raises the sequence"
        assert mission.epoch >= before.epoch, "the epoch never falls"
        assert mission.state is before.state or mission.state in TRANSITIONS[before.state]
        self.mission = mission
        if mission.phase is not Phase.CLAIMED:
            self.open_claim = None

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def the_ledger_begins_a_new_era(self) -> None:
        self.era = Era(self.era + 1)

    @rule(around=AROUND)
    def the_timer_looks(self, around: Surroundings) -> None:
        self.become(
            life.meet_deadline(self.mission, self.moment)
            or life.cancel_overdue(self.mission, self.moment, CANCEL_DEADLINE)
            or life.wake(self.mission, self.moment, around)
        )

    @rule(instance=INSTANCES, has_handler=st.booleans(), older_by=st.sampled_from([0, 0, 0, 1]))
    def a_soldier_claims(self, instance: Instance, has_handler: bool, older_by: int) -> None:
        epoch = Epoch(self.mission.epoch - older_by)
        answer = life.claim(self.mission, epoch, instance, self.moment, has_handler=has_handler)
        if isinstance(answer, Dropped):
            self.become(answer.mission)
            return
        assert isinstance(answer, Granted)
        if answer.mission is None:
            assert self.open_claim == (epoch, instance), "only an open claim is granted again, to its holder"
            return
        assert epoch not in self.spent, "an epoch is spent by its first claim"
        assert self.open_claim is None, "nobody else runs it"
        self.spent.add(epoch)
        self.become(answer.mission)
        self.open_claim = (epoch, instance)

    @precondition(lambda self: self.spent)
    @rule(kind=st.sampled_from(ReportKind), failure=st.sampled_from(Failure), instance=INSTANCES, data=st.data())
    def a_soldier_reports(self, kind: ReportKind, failure: Failure, instance: Instance, data: st.DataObject) -> None:
        epoch = data.draw(st.sampled_from(sorted(self.spent)))
        was_open = self.open_claim is not None and self.open_claim[0] == epoch
        cancel_asked = self.mission.cancel_requested_at is not None
        error = AttemptError(failure=failure, message="no", retry_after_seconds=data.draw(SECONDS))
        report = said(self.mission, kind, epoch=epoch, error=error, progress=5.0)
        answer = life.report(self.mission, report, instance, self.moment, chance=data.draw(st.floats(0, 0.99)))
        assert isinstance(answer, Refused) is not was_open, "a report counts exactly while its claim is open"
        if not isinstance(answer, Refused):
            self.charged += kind is ReportKind.FAILED and failure in CHARGED and not cancel_asked
            self.become(answer)

    @precondition(lambda self: self.open_claim is not None)
    @rule(how=st.sampled_from([life.expire, life.release]))
    def a_claim_ends_unreported(self, how: Any) -> None:
        self.become(how(self.mission, self.mission.epoch, self.moment))

    @rule()
    def its_order_comes_back(self) -> None:
        self.become(life.return_undelivered(self.mission, self.mission.epoch, self.moment))

    @rule()
    def somebody_cancels(self) -> None:
        self.become(life.cancel(self.mission, self.moment))

    @rule(around=AROUND, suspend=st.booleans())
    def somebody_suspends_or_resumes(self, around: Surroundings, suspend: bool) -> None:
        moved = life.suspend(self.mission, self.moment) if suspend else None
        self.become(moved or life.resume(self.mission, self.moment, around))

    @rule()
    def its_object_shows_the_end(self) -> None:
        self.become(life.acknowledge(self.mission, self.moment))

    @invariant()
    def exactly_the_open_claim_is_recorded(self) -> None:
        if not hasattr(self, "mission"):
            return
        if self.open_claim is None:
            assert self.mission.phase is not Phase.CLAIMED
            assert not self.mission.holder
        else:
            assert (self.mission.epoch, self.mission.holder) == self.open_claim

    @invariant()
    def phase_and_state_agree(self) -> None:
        if not hasattr(self, "mission"):
            return
        assert self.mission.is_final is self.mission.state.is_final
        assert (self.mission.phase is Phase.CLAIMED) is (self.mission.state.value == "IN_PROGRESS")
        assert (self.mission.finished_at is not None) is self.mission.is_final

    @invariant()
    def attempts_are_bounded_by_what_was_charged(self) -> None:
        if hasattr(self, "mission"):
            assert self.mission.attempt <= MAX_ATTEMPTS
            assert self.mission.attempt <= self.charged + 1

    @invariant()
    def it_can_be_shown(self) -> None:
        if hasattr(self, "mission"):
            shown = view(self.mission)
            assert shown.reason
            assert shown.sequence == self.mission.sequence

    def teardown(self) -> None:
        """Whatever happened, time alone brings it to an end, and the due index knows when to look."""
        if not hasattr(self, "mission"):
            return
        for _ in range(100):
            at = look_at(self.mission, CANCEL_DEADLINE)
            if at is None:
                break
            self.now = max(self.now, at)
            self.the_timer_looks(Surroundings())
        assert self.mission.is_final


OneMission.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.timeout(120)
class TestOneMission(OneMission.TestCase):  # type: ignore[misc, valid-type]
    """Collected by pytest."""
