"""Scale-in: who retires, when a pod may go, and a world that tries to have a busy soldier deleted."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pool_builders import a_pod, a_soldier_view, ended, waiting

from mission_contracts.rest import SoldierView
from mission_operator.pools.pods import DELETION_COST, Pod
from mission_operator.pools.retiring import CHEAPEST, NOBODY, Plan, Retirement, crew_of, plan

MARKED = {DELETION_COST: str(CHEAPEST)}


def asked(*pods: str, beat: int = 1) -> Retirement:
    return Retirement(asked={pod: {f"{pod}-i": beat} for pod in pods})


def idle(pod: str, beat: int = 5) -> SoldierView:
    """It was told to take nothing, and has nothing."""
    return a_soldier_view(pod, taking=False, beat=beat)


def planned(
    target: int, pods: Sequence[Pod], soldiers: Sequence[SoldierView], before: Retirement = NOBODY, replicas: int = 0
) -> Plan:
    return plan(target, replicas or len(pods), pods, crew_of(soldiers), before)


# Who retires


def test_the_idle_retire_first_and_then_those_that_hold_least() -> None:
    pods = [a_pod(f"p{n}") for n in range(4)]
    soldiers = [a_soldier_view(f"p{n}", busy=busy) for n, busy in enumerate((3, 0, 1, 2))]
    assert planned(2, pods, soldiers).retirement.asked.keys() == {"p1", "p2"}
    assert planned(3, pods, soldiers).retirement.asked == {"p1": {"p1-i": 1}}


def test_nothing_is_lowered_before_anybody_has_answered() -> None:
    found = planned(1, [a_pod("p0"), a_pod("p1")], [a_soldier_view("p0"), a_soldier_view("p1")])
    assert (found.replicas, found.mark) == (2, ())
    assert "not known to be idle" in found.waits_for


def test_whoever_was_asked_stays_asked() -> None:
    pods = [a_pod("p0"), a_pod("p1")]
    soldiers = [a_soldier_view("p0", busy=2, taking=False, beat=3), a_soldier_view("p1", beat=3)]
    assert planned(1, pods, soldiers, asked("p0")).retirement.asked == {"p0": {"p0-i": 1}}


def test_a_soldier_that_takes_nothing_already_is_not_chosen_anew() -> None:
    """Its silence may be an answer to an earlier retirement that was taken back."""
    pods = [a_pod("p0"), a_pod("p1")]
    assert planned(1, pods, [idle("p0"), a_soldier_view("p1", busy=9)]).retirement.asked.keys() == {"p1"}


def test_pods_whose_container_does_not_run_go_without_being_asked() -> None:
    pods = [
        a_pod("p0"),
        a_pod("pending", phase="Pending", node="", state=None, is_ready=False),
        a_pod("crashing", state=waiting("CrashLoopBackOff"), last_state=ended(1), is_ready=False),
    ]
    found = planned(1, pods, [a_soldier_view("p0", busy=1)])
    assert (found.replicas, found.retirement) == (1, NOBODY)


def test_a_pod_that_runs_and_whose_soldier_is_not_heard_of_is_left_alone() -> None:
    found = planned(1, [a_pod("p0"), a_pod("unheard")], [a_soldier_view("p0", busy=1)])
    assert found.replicas == 2
    assert found.retirement.asked.keys() == {"p0"}


# When a pod may go


@pytest.mark.parametrize(
    ("soldier", "is_confirmed"),
    [
        pytest.param(idle("p0"), True, id="takes nothing, holds nothing"),
        pytest.param(a_soldier_view("p0", taking=True, beat=5), False, id="has not heard of it yet"),
        pytest.param(a_soldier_view("p0", taking=False, busy=1, beat=5), False, id="still runs something"),
        pytest.param(a_soldier_view("p0", taking=False, unclaimed=1, beat=5), False, id="still has an order"),
        pytest.param(idle("p0", beat=1), False, id="said so before it was asked"),
    ],
)
def test_only_the_soldier_itself_confirms(soldier: SoldierView, is_confirmed: bool) -> None:
    found = planned(1, [a_pod("p0"), a_pod("p1")], [soldier, a_soldier_view("p1", busy=9)], asked("p0"))
    assert found.mark == (("p0",) if is_confirmed else ())
    assert found.replicas == 2, "its pod is marked first"


@pytest.mark.parametrize(
    ("beat", "replicas"), [(5, 2), (6, 2), (7, 1)], ids=["the beat that confirmed", "one more", "two more"]
)
def test_a_marked_pod_goes_when_its_soldier_says_the_same_again(beat: int, replicas: int) -> None:
    before = Retirement(asked={"p0": {"p0-i": 1}}, marked={"p0": {"p0-i": 5}})
    pods = [a_pod("p0", annotations=MARKED), a_pod("p1")]
    assert planned(1, pods, [idle("p0", beat), a_soldier_view("p1", busy=9)], before).replicas == replicas


def test_a_mark_that_somebody_else_left_proves_nothing() -> None:
    pods = [a_pod("p0", annotations=MARKED), a_pod("p1")]
    found = planned(1, pods, [a_soldier_view("p0"), a_soldier_view("p1", busy=9)])
    assert (found.replicas, found.unmark) == (2, ("p0",))


def test_whoever_is_idle_goes_while_others_still_finish() -> None:
    before = Retirement(asked={"p0": {"p0-i": 1}, "p1": {"p1-i": 1}}, marked={"p0": {"p0-i": 5}})
    pods = [a_pod("p0", annotations=MARKED), a_pod("p1"), a_pod("p2")]
    soldiers = [idle("p0", 7), a_soldier_view("p1", taking=False, busy=1, beat=7), a_soldier_view("p2", beat=7)]
    found = planned(1, pods, soldiers, before)
    assert found.replicas == 2
    assert "p1" in found.waits_for


def test_a_busy_soldier_that_is_not_ready_would_be_deleted_first_so_nothing_goes() -> None:
    before = Retirement(asked={"p0": {"p0-i": 1}}, marked={"p0": {"p0-i": 5}})
    pods = [a_pod("p0", annotations=MARKED), a_pod("p1", is_ready=False)]
    found = planned(1, pods, [idle("p0", 7), a_soldier_view("p1", busy=1)], before)
    assert found.replicas == 2
    assert "p1 first" in found.waits_for


def test_both_not_ready_the_cheaper_goes() -> None:
    before = Retirement(asked={"p0": {"p0-i": 1}}, marked={"p0": {"p0-i": 5}})
    pods = [a_pod("p0", annotations=MARKED, is_ready=False), a_pod("p1", is_ready=False)]
    assert planned(1, pods, [idle("p0", 7), a_soldier_view("p1", busy=1)], before).replicas == 1


def test_during_a_rollout_nobody_retires() -> None:
    pods = [a_pod("p0", annotations=MARKED), a_pod("p1", template="t2")]
    found = planned(1, pods, [idle("p0"), a_soldier_view("p1")], asked("p0"))
    assert (found.replicas, found.retirement, found.unmark) == (2, NOBODY, ("p0",))


# Taking it back


def test_work_that_arrives_takes_the_retirement_back() -> None:
    pods = [a_pod("p0", annotations=MARKED), a_pod("p1")]
    found = planned(2, pods, [idle("p0"), a_soldier_view("p1")], asked("p0"))
    assert found == Plan(replicas=2, unmark=("p0",))


def test_whoever_is_about_to_go_is_not_told_to_go_on() -> None:
    before = asked("p0")
    pods = [a_pod("p0", annotations=MARKED), a_pod("p1")]
    found = planned(1, pods, [idle("p0"), a_soldier_view("p1")], before, replicas=1)
    assert (found.replicas, found.retirement) == (1, before)


def test_when_it_is_gone_the_retirement_is_over() -> None:
    pods = [a_pod("p0", is_leaving=True), a_pod("p1")]
    assert planned(1, pods, [a_soldier_view("p1")], asked("p0"), replicas=1) == Plan(replicas=1)


# A world that tries to have a busy soldier deleted.


class Soldier:
    """A soldier that does what the real one does with its beats."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.taking = True
        self.work = 0
        self.beat = 0
        self.answer = self.told_to_take = True
        self.is_ready = True
        self.annotations: dict[str, str] = {}
        self.shown = self._view()

    def _view(self) -> SoldierView:
        return a_soldier_view(self.name, busy=self.work, taking=self.taking, beat=self.beat)

    def send_beat(self, retire: set[str]) -> None:
        """What it says was true before it hears the answer, which is on its way for up to a beat."""
        self.hear()
        self.beat += 1
        self.shown = self._view()
        self.answer = self.name not in retire

    def hear(self) -> None:
        self.told_to_take = self.answer

    def obey(self) -> None:
        self.taking = self.told_to_take

    def pod(self) -> Pod:
        return a_pod(self.name, is_ready=self.is_ready, annotations=dict(self.annotations))


class World:
    """Soldiers, a ReplicaSet, Commanders of which one hears of things late, and the operator's looks."""

    def __init__(self, count: int, chance: random.Random) -> None:
        self.chance = chance
        self.soldiers = [Soldier(f"p{n}") for n in range(count)]
        self.replicas = count
        self.before = NOBODY
        self.told: list[set[str]] = [set(), set()]
        """Whom each of two Commanders takes to retire; the second hears of it after up to two beats."""
        self.on_its_way: set[str] = set()
        self.deleted_busy: list[str] = []

    def step(self, target: int) -> None:
        self.chance.choice(
            (self.work, self.work, self.finish, self.beat, self.beat, self.hear, self.obey, self.flicker)
        )()
        if self.chance.random() < 0.5:
            self.look(target)

    def work(self) -> None:
        if taking := [one for one in self.soldiers if one.taking]:
            self.chance.choice(taking).work += 1

    def finish(self) -> None:
        if busy := [one for one in self.soldiers if one.work]:
            self.chance.choice(busy).work -= 1

    def beat(self) -> None:
        for one in self.soldiers:
            one.send_beat(self.told[self.chance.randrange(2)])
        self.told[1], self.on_its_way = self.on_its_way, set(self.told[0])

    def hear(self) -> None:
        for one in self.soldiers:
            if self.chance.random() < 0.5:
                one.hear()

    def obey(self) -> None:
        for one in self.soldiers:
            if self.chance.random() < 0.7:
                one.obey()

    def flicker(self) -> None:
        self.chance.choice(self.soldiers).is_ready ^= True

    def look(self, target: int) -> None:
        pods = [one.pod() for one in self.soldiers]
        found = plan(target, self.replicas, pods, crew_of([one.shown for one in self.soldiers]), self.before)
        assert min(target, self.replicas) <= found.replicas <= max(target, self.replicas)
        self.told[0] = set(found.retirement.asked)
        self.before = found.retirement
        for one in self.soldiers:
            if one.name in found.mark:
                one.annotations.update(MARKED)
            if one.name in found.unmark:
                one.annotations.clear()
        self.resize(found.replicas)

    def resize(self, replicas: int) -> None:
        """As a ReplicaSet does: not ready before ready, cheap before dear, and otherwise as it pleases."""
        self.replicas = replicas
        order = sorted(self.soldiers, key=lambda one: (one.is_ready, one.pod().deletion_cost, self.chance.random()))
        for victim in order[: max(0, len(self.soldiers) - replicas)]:
            self.soldiers.remove(victim)
            if victim.work:
                self.deleted_busy.append(victim.name)
        while len(self.soldiers) < replicas:
            self.soldiers.append(Soldier(f"n{self.chance.random()}"))


@settings(max_examples=300)
@given(st.integers(0, 10**9), st.integers(1, 6), st.lists(st.integers(1, 6), min_size=1, max_size=12))
def test_no_busy_soldier_is_ever_deleted(seed: int, count: int, targets: list[int]) -> None:
    world = World(count, random.Random(seed))
    for target in targets:
        for _ in range(25):
            world.step(target)
    assert world.deleted_busy == []


def test_in_a_quiet_world_the_target_is_reached() -> None:
    world = World(6, random.Random(1))
    for _ in range(60):
        world.beat()
        world.obey()
        world.look(1)
    assert world.replicas == 1
