"""A Commander with its submitter, and short words for what happens to missions in lanes."""

from collections.abc import Mapping, Sequence
from typing import Any

from support.commander_stage import KEY, LEASE_SECONDS, Stage

from mission_commander.domain import life
from mission_commander.domain.lane import LaneKey, LaneRules
from mission_commander.domain.life import Moment
from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import PoolRecord
from mission_commander.services.eras import Eras
from mission_commander.services.recorder import Command, Decision, Recorder
from mission_commander.services.submission import Accepted, Answer, RefusedError, Request, Submitter
from mission_commander.services.timing import Timer
from mission_commander.services.wishes import Wishes
from mission_contracts import mission as m
from mission_contracts.install_key import MissionIds
from mission_contracts.messages import AttemptError, ReportKind
from mission_contracts.rest import Submission
from mission_contracts.testing import ERA, a_report

GAP_SECONDS = 300.0
RULES = LaneRules(gap_seconds=GAP_SECONDS)


class LaneStage(Stage):
    """One Commander; `another()` is a second one on the same ledger, which hears nothing until its feed is asked to."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.recorder = Recorder(self.ledger, self.memory, self.clock, ERA, lane_rules=RULES, around=self.around)
        self.eras = Eras(self.ledger, self.recorder, self.clock, lease_seconds=LEASE_SECONDS)
        self.submitter = Submitter(
            self.recorder,
            self.eras,
            MissionIds(KEY),
            self.clock,
            self.around,
            self.acceptances,
            self.admission,
            namespace="default",
            refusal=lambda _, __: None,
            is_away=lambda: False,
        )
        self.timer = Timer(self.recorder, self.memory, self.clock, self.around, cancel_deadline_seconds=30)
        self.wishes = Wishes(self.recorder, self.broker, self.around)

    def another(self) -> "LaneStage":
        return LaneStage(clock=self.clock, store=self.store, server=self.broker.server)

    async def open(self, pool: str = "default") -> None:
        """Declare the pool and load the ledger."""
        await self.garrison.declare(PoolRecord(namespace="default", name=pool))
        await self.feed.load()

    # The door.

    async def submit_all(self, *bodies: Mapping[str, Any], subject: str = "me") -> Sequence[Answer]:
        requests = [
            Request(
                submission=Submission.model_validate({"type": "noop", "payload": {}, "ordering_key": "k", **body}),
                subject=subject,
                idempotency_key=body.get("idempotency_key"),
            )
            for body in bodies
        ]
        return await self.submitter.submit_all(requests)

    async def submit(self, subject: str = "me", **body: Any) -> Mission:
        [answer] = await self.submit_all(body, subject=subject)
        assert isinstance(answer, Accepted), answer
        return answer.mission

    async def refused(self, subject: str = "me", **body: Any) -> RefusedError:
        [answer] = await self.submit_all(body, subject=subject)
        assert isinstance(answer, RefusedError), answer
        return answer

    # What happens to a mission.

    def now(self, mission: Mission) -> Mission:
        """The record as the ledger has it now."""
        return self.record(mission)

    async def run(self, mission: Mission) -> Mission:
        """A soldier claims it."""
        return await self.claim(self.now(mission))

    async def end(self, mission: Mission, *, error: AttemptError | None = None) -> Mission:
        """A soldier runs it to its end, or to an attempt's failure."""
        running = self.now(mission)
        if running.phase is Phase.OUT:
            running = await self.claim(running)
        kind = ReportKind.FAILED if error else ReportKind.COMPLETED
        report = a_report(running.envelope, kind, epoch=running.epoch, error=error)

        def decide(found: Mission | None, moment: Moment) -> Decision[Mission]:
            assert found is not None
            ended = life.report(found, report, found.holder, moment, chance=0.5)
            assert isinstance(ended, Mission), ended
            return Decision(ended, ended)

        return await self.recorder.decide(Command(running.id, decide))

    async def hear(self) -> None:
        """Take in what the others announced."""
        while events := await self.ledger.events(self.feed.last, wait_seconds=0):
            self.feed._take(events)  # a test steps the feed by hand

    def shown(self, *missions: Mission) -> list[str]:
        """Each mission's reason while it waits, its phase else."""
        records = [self.now(one) for one in missions]
        return [one.reason.value if one.phase is Phase.WAITING else one.phase.value for one in records]


def key(ordering_key: str = "k", pool: str = "default") -> LaneKey:
    return LaneKey("default", pool, ordering_key)


def final_state(mission: Mission) -> tuple[m.MissionState, m.Reason]:
    return mission.state, mission.reason
