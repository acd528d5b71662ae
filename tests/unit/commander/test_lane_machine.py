"""Two lanes under two Commanders and everything that happens to them, against a list and a counter.

One lane goes by arrival, one by numbers. Commanders hear of each other only now and then, and are restarted; the model
knows who has the turn, and everybody else must wait.
"""

import asyncio
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.lane_stage import GAP_SECONDS, LaneStage, key
from support.machines import machine_tests

from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import LedgerAwayError
from mission_contracts.messages import AttemptError
from mission_contracts.mission import Failure, MissionId, Reason

ARRIVAL, NUMBERS = "arrival", "numbers"
KEYS = st.sampled_from([ARRIVAL, NUMBERS])
COMMANDERS = st.sampled_from([0, 1])
RUNS = (Phase.OUT, Phase.CLAIMED)


class Model:
    """Who stands in one lane, by number; by arrival the numbers are ours, and none is ever missing."""

    def __init__(self) -> None:
        self.ids: dict[int, MissionId] = {}
        """All that ever had a number."""
        self.waiting: set[int] = set()
        self.done: set[int] = set()
        self.mark = 0
        self.head: int | None = None
        self.gap: tuple[int, float] | None = None

    def number_of(self, mission_id: MissionId) -> int:
        return next(number for number, one in self.ids.items() if one == mission_id)

    def end(self, number: int, now: float) -> None:
        self.waiting.discard(number)
        self.done.add(number)
        if number == self.head:
            self.head, self.mark = None, number
        self.settle(now)

    def settle(self, now: float) -> None:
        while self.head is None and self.mark + 1 in self.done:
            self.mark += 1
        if self.head is not None or not self.waiting:
            self.gap = None
            return
        first = min(self.waiting)
        if first > self.mark + 1:
            if self.gap is None or self.gap[0] != self.mark + 1:
                self.gap = (self.mark + 1, now + GAP_SECONDS)
            if now < self.gap[1]:
                return
        self.mark, self.head, self.gap = first - 1, first, None


class Lanes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.commanders: list[LaneStage] = []
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.models = {ARRIVAL: Model(), NUMBERS: Model()}
        first = self.run_one(self.opened(None))
        self.commanders = [first, self.run_one(self.opened(first))]

    # How.

    def run_one(self, work: Any) -> Any:
        return self.runner.run(work)

    async def opened(self, beside: LaneStage | None) -> LaneStage:
        stage = beside.another() if beside else LaneStage()
        await stage.open()
        self.tasks[id(stage)] = asyncio.create_task(stage.recorder.run())
        return stage

    @property
    def now(self) -> float:
        return self.commanders[0].clock.now()

    def record(self, mission_id: MissionId) -> Mission:
        return self.commanders[0].store.data.records[mission_id]

    def live(self, lane: str) -> list[int]:
        return sorted(self.models[lane].waiting)

    def any_live(self) -> list[tuple[str, int]]:
        return [(lane, number) for lane in self.models for number in self.live(lane)]

    def settle(self, lane: str) -> None:
        self.models[lane].settle(self.now)

    def caught_up(self) -> dict[str, Model]:
        """The models, once they know of gaps that ran out before a suspended mission: nobody wakes for it, any look may
        move the lane."""
        for model in self.models.values():
            if model.gap and model.gap[1] <= self.now and self.record(model.ids[min(model.waiting)]).leads:
                model.settle(self.now)
        return self.models

    def take_note_of_ends(self, lane: str) -> None:
        model = self.models[lane]
        for number in sorted(model.waiting):
            if self.record(model.ids[number]).is_final:
                model.end(number, self.now)

    # What happens.

    @rule(by=COMMANDERS, suspend=st.sampled_from([False, False, False, True]), count=st.integers(1, 3))
    def arrive(self, by: int, suspend: bool, count: int) -> None:
        model = self.models[ARRIVAL]
        answers = self.run_one(self.commanders[by].submit_all(*[{"ordering_key": ARRIVAL, "suspend": suspend}] * count))
        for answer in answers:
            number = len(model.ids) + 1
            model.ids[number] = answer.mission.id
            model.waiting.add(number)
        self.settle(ARRIVAL)

    @rule(by=COMMANDERS, number=st.integers(1, 12), suspend=st.sampled_from([False, False, False, True]))
    def arrive_with_a_number(self, by: int, number: int, suspend: bool) -> None:
        model = self.models[NUMBERS]
        mission = self.run_one(
            self.commanders[by].submit(ordering_key=NUMBERS, sequence_number=number, suspend=suspend)
        )
        if number in model.ids:
            assert mission.id == model.ids[number], "the same number again is the same mission"
            if mission.phase is Phase.WAITING:
                self.settle(NUMBERS)
            return
        model.ids[number] = mission.id
        if number <= model.mark:
            assert mission.reason is Reason.LANE_PASSED
            return
        model.waiting.add(number)
        self.settle(NUMBERS)

    @rule(by=COMMANDERS, lane=KEYS)
    def mix(self, by: int, lane: str) -> None:
        model = self.models[lane]
        if model.ids:
            body: dict[str, Any] = {"ordering_key": lane} | ({"sequence_number": 50} if lane == ARRIVAL else {})
            assert self.run_one(self.commanders[by].refused(**body)).code == "LaneMixed"

    @precondition(lambda self: self.runs())
    @rule(by=COMMANDERS, lane=KEYS, how=st.sampled_from(["claim", "end", "retry", "give up"]))
    def a_soldier_goes_on(self, by: int, lane: str, how: str) -> None:
        model = self.models[lane]
        if model.head is None or self.record(model.ids[model.head]).phase not in RUNS:
            return
        mission, commander = self.record(model.ids[model.head]), self.commanders[by]
        if how == "claim":
            if mission.phase is Phase.OUT:
                self.run_one(commander.run(mission))
            return
        failure = {"retry": Failure.RETRY_LATER, "give up": Failure.GIVE_UP}.get(how)
        error = AttemptError(failure=failure, retry_after_seconds=30) if failure else None
        self.run_one(commander.end(mission, error=error))
        assert how == "retry" or self.record(mission.id).is_final
        self.take_note_of_ends(lane)

    @precondition(lambda self: self.runs())
    @rule(by=COMMANDERS, lane=KEYS)
    def an_end_is_written_and_nobody_is_told(self, by: int, lane: str) -> None:
        model, commander = self.models[lane], self.commanders[by]
        if model.head is None or self.record(model.ids[model.head]).phase is not Phase.CLAIMED:
            return
        commander.ledger.answers_to_lose = 1
        with pytest.raises(LedgerAwayError):
            self.run_one(commander.end(self.record(model.ids[model.head])))
        self.take_note_of_ends(lane)

    def runs(self) -> bool:
        return any(model.head is not None for model in self.models.values())

    @precondition(lambda self: self.any_live())
    @rule(by=COMMANDERS, data=st.data(), what=st.sampled_from(["cancel", "suspend", "resume"]))
    def somebody_wishes(self, by: int, data: st.DataObject, what: str) -> None:
        lane, number = data.draw(st.sampled_from(self.any_live()))
        model = self.models[lane]
        before = self.record(model.ids[number])
        after = self.run_one(getattr(self.commanders[by].wishes, what)(before.id))
        if after.is_final:
            self.take_note_of_ends(lane)
        elif after != before and after.phase is Phase.WAITING:
            self.settle(lane)

    @rule(seconds=st.sampled_from([0.0, 1.0, 40.0, GAP_SECONDS]))
    def time_passes(self, seconds: float) -> None:
        self.commanders[0].clock.turn(seconds)
        for commander in self.commanders:
            self.run_one(commander.hear())
            self.run_one(commander.timer.move_due())
        for lane, model in self.models.items():
            self.take_note_of_ends(lane)
            if model.waiting and not self.record(model.ids[min(model.waiting)]).suspended:
                model.settle(self.now)

    @rule(who=COMMANDERS)
    def one_hears(self, who: int) -> None:
        self.run_one(self.commanders[who].hear())

    @rule(who=COMMANDERS)
    def one_is_killed_and_starts_again(self, who: int) -> None:
        gone = self.commanders[who]
        self.tasks.pop(id(gone)).cancel()
        self.commanders[who] = self.run_one(self.opened(self.commanders[1 - who]))

    # What must hold.

    @invariant()
    def nobody_runs_but_who_has_the_turn(self) -> None:
        for model in self.caught_up().values():
            records = {number: self.record(model.ids[number]) for number in model.waiting}
            running = [number for number, one in records.items() if one.phase in RUNS]
            assert running in ([], [model.head]), f"{running} run, and it is the turn of {model.head}"
            assert [n for n, one in records.items() if one.leads] == ([] if model.head is None else [model.head])

    @invariant()
    def who_has_the_turn_does_not_wait_for_others(self) -> None:
        for model in self.caught_up().values():
            if model.head is not None:
                head = self.record(model.ids[model.head])
                assert head.reason not in (Reason.LANE_BUSY, Reason.LANE_GAP), head
                assert head.phase in RUNS or head.suspended or head.due_at, head

    @invariant()
    def whoever_waits_is_told_for_what(self) -> None:
        for model in self.caught_up().values():
            for number in model.waiting - {model.head}:
                one = self.record(model.ids[number])
                if not one.suspended:
                    is_first = model.gap is not None and number == min(model.waiting)
                    assert one.reason is (Reason.LANE_GAP if is_first else Reason.LANE_BUSY), one

    @invariant()
    def the_ledger_knows_the_same_lane(self) -> None:
        shelf = self.commanders[0].store.data.lanes
        for name, model in self.caught_up().items():
            lane = shelf.read(key(name))
            if lane is not None and model.ids:
                assert (lane.record.head and lane.record.head.number) == model.head
                assert [place.number for place in lane.queue] == sorted(model.waiting)
                assert name == ARRIVAL or lane.record.mark == model.mark

    @invariant()
    def who_heard_everything_knows_the_same_lane(self) -> None:
        shelf = self.commanders[0].store.data.lanes
        for commander in self.commanders:
            for lane in commander.memory.lanes.all():
                stored = shelf.read(lane.key)
                assert stored is not None
                if lane.record.version == stored.record.version:
                    assert (lane.record, lane.places) == (stored.record, stored.places)
                    assert lane.queue == stored.queue

    def teardown(self) -> None:
        """Whatever happened, a soldier and time bring all to their ends."""
        try:
            for _ in range(200):
                if not self.any_live():
                    break
                for lane, number in self.any_live():
                    self.run_one(self.commanders[0].wishes.resume(self.models[lane].ids[number]))
                    self.settle(lane)
                self.time_passes(GAP_SECONDS)
                for lane in self.models:
                    self.a_soldier_goes_on(0, lane, "end")
            assert not self.any_live(), "a lane is stuck"
        finally:
            for task in self.tasks.values():
                task.cancel()
            self.runner.close()


TestLanes, TestLanesAtLength = machine_tests(Lanes, steps=40, runs_services=True)
