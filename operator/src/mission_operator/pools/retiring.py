"""Fewer soldiers without ending anybody's work: who retires, who is idle for certain, and how far replicas may fall.

The steps, each only after the one before is seen to be true: ask a soldier to retire; hear from itself, in a beat after
that, that it takes nothing and holds nothing; mark its pod as the cheapest to delete; hear the same twice more; lower
replicas by as many as Kubernetes would delete first. Pure: everything is computed anew from what is seen at each look.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from mission_contracts.rest import SoldierView
from mission_operator.pools.pods import Pod

CHEAPEST: Final = -1_000_000
"""The deletion cost of a pod whose soldier is idle and takes nothing."""

SETTLING_BEATS: Final = 2
"""How many beats after its mark must say the same.

The beat that confirmed may have been answered by a Commander that had not heard of the retirement yet (they tell each
other within less than a beat), and a soldier whose event loop was blocked may act on that answer a beat later.
"""

Beats = Mapping[str, int]
"""The newest beat of each instance in a pod, as it was seen at some moment."""

_PHASES: Final = {"Pending": 0, "Unknown": 1, "Running": 2}


class Retirement(msgspec.Struct, frozen=True, kw_only=True):
    """Who was asked to retire, and who was marked: with the beats that were seen then."""

    asked: Mapping[str, Beats] = {}
    marked: Mapping[str, Beats] = {}


NOBODY: Final = Retirement()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now. Nothing of it has happened yet."""

    replicas: int
    retirement: Retirement = NOBODY
    mark: tuple[str, ...] = ()
    """Pods to be made the cheapest."""
    unmark: tuple[str, ...] = ()
    """Pods that are no cheaper than others any more."""
    waits_for: str = ""
    """Why there are more soldiers than wanted, in one clause."""


class Crew(msgspec.Struct, frozen=True):
    """The living soldiers of a pool, by pod."""

    by_pod: Mapping[str, tuple[SoldierView, ...]]

    def knows(self, pod: str) -> bool:
        return pod in self.by_pod

    def takes(self, pod: str) -> bool:
        """Tell whether everybody in the pod is known and said last that it takes missions."""
        soldiers = self.by_pod.get(pod, ())
        return bool(soldiers) and all(soldier.taking for soldier in soldiers)

    def holds(self, pod: str) -> int:
        return sum(soldier.busy + soldier.unclaimed for soldier in self.by_pod.get(pod, ()))

    def beats(self, pod: str) -> Beats:
        return {soldier.instance: soldier.beat for soldier in self.by_pod.get(pod, ())}

    def is_idle_since(self, pod: str, beats: Beats, later: int = 1) -> bool:
        """Tell whether each of the pod's soldiers said, so many beats after these, that it neither takes nor holds."""
        soldiers = self.by_pod.get(pod, ())
        return bool(soldiers) and all(
            not soldier.taking
            and not soldier.busy
            and not soldier.unclaimed
            and soldier.beat >= beats.get(soldier.instance, 0) + later
            for soldier in soldiers
        )


def crew_of(soldiers: Sequence[SoldierView]) -> Crew:
    """Sort soldiers by their pods; those that run elsewhere are nobody's to retire."""
    by_pod: dict[str, list[SoldierView]] = {}
    for soldier in soldiers:
        if soldier.pod:
            by_pod.setdefault(soldier.pod, []).append(soldier)
    return Crew({pod: tuple(found) for pod, found in by_pod.items()})


def plan(target: int, replicas: int, pods: Sequence[Pod], crew: Crew, before: Retirement) -> Plan:
    """Decide the next step from `replicas`, which the Deployment has, towards `target`."""
    active = [pod for pod in pods if pod.is_active]
    if target > replicas:
        return _taken_back(target, active)
    if len(active) > replicas:
        # Whoever is about to go must not be told to go on.
        return Plan(replicas=replicas, retirement=before, waits_for="the cluster is still removing pods")
    if len(active) <= target:
        return _taken_back(target, active)
    if len({pod.template for pod in active}) > 1:
        return _hold(replicas, active, "a rollout is under way, and nobody can say whom it would end")
    return _next_step(target, active, crew, before)


def _taken_back(replicas: int, active: Sequence[Pod]) -> Plan:
    return Plan(replicas=replicas, unmark=marked(active))


def _hold(replicas: int, active: Sequence[Pod], why: str) -> Plan:
    return Plan(replicas=replicas, unmark=marked(active), waits_for=why)


def _next_step(target: int, active: Sequence[Pod], crew: Crew, before: Retirement) -> Plan:
    surplus = len(active) - target
    asked = _asked(surplus, active, crew, before)
    idle = {pod for pod, beats in asked.items() if crew.is_idle_since(pod, beats)}
    heard = {pod: before.marked.get(pod) or crew.beats(pod) for pod in idle}
    is_cheapest = {pod.name for pod in active if pod.deletion_cost == CHEAPEST}
    sure = {
        pod
        for pod, beats in heard.items()
        if pod in is_cheapest and pod in before.marked and crew.is_idle_since(pod, beats, SETTLING_BEATS)
    }
    leaving, obstacle = _safely_deleted(surplus, active, sure)
    return Plan(
        replicas=len(active) - leaving,
        retirement=Retirement(asked=asked, marked=heard),
        mark=tuple(sorted(idle - is_cheapest)),
        unmark=tuple(pod.name for pod in active if pod.name in is_cheapest - idle),
        waits_for=_why_more(surplus - leaving, asked, idle, obstacle if sure else ""),
    )


def _asked(surplus: int, active: Sequence[Pod], crew: Crew, before: Retirement) -> Mapping[str, Beats]:
    """Choose who retires: whoever was asked already, then the idle, then those that hold least."""
    certain = [pod for pod in active if pod.cannot_be_busy]
    others = [pod.name for pod in active if not pod.cannot_be_busy]
    count = max(0, surplus - len(certain))
    still = sorted(
        (pod for pod in others if pod in before.asked), key=lambda pod: (not crew.knows(pod), crew.holds(pod))
    )
    new = sorted((pod for pod in others if pod not in before.asked and crew.takes(pod)), key=crew.holds)
    return {pod: before.asked.get(pod) or crew.beats(pod) for pod in (*still, *new)[:count]}


def _safely_deleted(surplus: int, active: Sequence[Pod], sure: set[str]) -> tuple[int, str]:
    """How many of those that Kubernetes deletes first are certain to do nothing, and who comes after them."""
    is_safe = {pod.name: pod.name in sure or pod.cannot_be_busy for pod in active}
    victims = sorted(active, key=lambda pod: (_rank(pod), is_safe[pod.name]))[:surplus]
    for count, pod in enumerate(victims):
        if not is_safe[pod.name]:
            return count, pod.name
    return surplus, ""


def _rank(pod: Pod) -> tuple[bool, int, bool, int]:
    """The order in which a ReplicaSet deletes its pods, as far as it matters; among equals we assume the worst."""
    return bool(pod.node), _PHASES.get(pod.phase, 1), pod.is_ready, pod.deletion_cost


def marked(pods: Sequence[Pod]) -> tuple[str, ...]:
    """The pods that were made the cheapest."""
    return tuple(pod.name for pod in pods if pod.is_active and pod.deletion_cost == CHEAPEST)


def _why_more(rest: int, asked: Mapping[str, Beats], idle: set[str], obstacle: str) -> str:
    if rest == 0:
        return ""
    if obstacle and obstacle not in asked:
        return f"Kubernetes would delete {obstacle} first, which is not ready and may be busy"
    if busy := sorted(asked.keys() - idle):
        named = ", ".join(busy[:3]) + (", …" if len(busy) > 3 else "")
        return f"{len(busy)} of the soldiers that retire are not known to be idle yet ({named})"
    if len(asked) < rest:
        return "too few soldiers are known well enough to retire"
    return "those that retire are idle; that has to be heard twice more before their pods go"
