"""Judges a recorded history by the promises. Pure: what it is given is all it knows.

Each rule looks for one way to break a promise and gives a violation for each time it finds it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Final

import msgspec

from chaos import sink
from chaos.history import Asked, Away, Door, History, Kind, Request, Sighting, Source, Status
from mission_contracts.mission import TRANSITIONS, MissionState


class Wrong(StrEnum):
    """What can be wrong, and the promise that it breaks."""

    LOST = "lost"  # 1: nobody knows it any more
    STUCK = "stuck"  # 1, 8: not final, though everything is back
    DOUBLE = "double"  # 2: two outcomes, two effects, or two missions of one submission
    BACKWARDS = "backwards"  # 3: a status moved back
    BLAME = "blame"  # 4, 7: another end, or more attempts, than its handler earned
    REPEATS = "repeats"  # 2, 5: more executions than the fault can have cut off
    NAMELESS = "nameless"  # 8: final without a reason
    SWALLOWED = "swallowed"  # 9: bad input was accepted
    UNSERVED = "unserved"  # 6: it was not served, or not told when to come back, while another part was away


class Violation(msgspec.Struct, frozen=True):
    """A broken promise."""

    wrong: Wrong
    subject: str
    """The mission's id, or its client's name for it."""
    sentence: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the history of one round amounts to."""

    accepted: int
    final: int
    extra_executions: int
    violations: tuple[Violation, ...] = ()

    def count(self, wrong: Wrong) -> int:
        """How many missions this went wrong with."""
        return len({one.subject for one in self.violations if one.wrong is wrong})

    @property
    def is_clean(self) -> bool:
        return not self.violations


class Earned(msgspec.Struct, frozen=True):
    """What a kind of mission has to come to, whatever happens around it."""

    state: MissionState
    reason: str
    attempts: int
    executions: int | None
    """Without any fault; None where it cannot be foreseen."""


EARNED: Final[Mapping[Kind, Earned]] = {
    Kind.WORK: Earned(MissionState.COMPLETED, "Completed", attempts=1, executions=1),
    Kind.FLAKY: Earned(MissionState.COMPLETED, "Completed", attempts=2, executions=2),
    Kind.HOPELESS: Earned(MissionState.FAILED, "GaveUp", attempts=1, executions=1),
    Kind.POISON: Earned(MissionState.FAILED, "AttemptsExhausted", attempts=3, executions=None),
}


def judge(recorded: History, *, repeats_allowed: int) -> Verdict:
    """Find everything that is wrong."""
    case = _Case(recorded)
    violations = [violation for rule in RULES for violation in rule(case)]
    violations += _too_many_repeats(case, repeats_allowed)
    return Verdict(
        accepted=len(case.ids),
        final=sum(_is_final(recorded.in_ledger.get(one)) for one in case.ids),
        extra_executions=sum(case.repeats().values()),
        violations=tuple(violations),
    )


class _Case:
    """The history, looked at from each side once."""

    def __init__(self, recorded: History) -> None:
        self.history = recorded
        self.asked = {one.key: one for one in recorded.asked}
        self.ids_of: defaultdict[str, set[str]] = defaultdict(set)
        for accepted in recorded.accepted:
            self.ids_of[accepted.key].add(accepted.mission_id)
        self.key_of = {mission_id: key for key, ids in self.ids_of.items() for mission_id in ids}
        self.ids = list(self.key_of)
        self.seen: defaultdict[str, list[Sighting]] = defaultdict(list)
        for sighting in recorded.sightings:
            self.seen[sighting.mission_id].append(sighting)
        self.runs = Counter(
            (deed.mission_id, deed.epoch)
            for deed in recorded.deeds
            if deed.deed == sink.BEGAN and deed.mission_id in self.key_of
        )

    def request(self, mission_id: str) -> Asked:
        return self.asked[self.key_of[mission_id]]

    def repeats(self) -> dict[str, int]:
        """Executions beyond those that each mission needs without any fault."""
        runs: Counter[str] = Counter()
        for (mission_id, _), count in self.runs.items():
            runs[mission_id] += count
        needed = {one: EARNED[self.request(one).kind].executions for one in runs}
        return {one: runs[one] - need for one, need in needed.items() if need is not None and runs[one] > need}

    def ends(self, mission_id: str) -> Sequence[Status]:
        """How each door tells its end."""
        doors = (self.history.in_ledger, self.history.in_objects)
        return [told[mission_id] for told in doors if mission_id in told]


Rule = Callable[[_Case], Iterator[Violation]]


def _lost(case: _Case) -> Iterator[Violation]:
    for one in case.ids:
        if one not in case.history.in_ledger:
            yield Violation(Wrong.LOST, one, "was accepted, and the Commander does not know it")
        if case.request(one).door is Door.OBJECT and one not in case.history.in_objects:
            yield Violation(Wrong.LOST, one, "its object is gone")


def _forgotten(case: _Case) -> Iterator[Violation]:
    for one in case.history.forgotten:
        yield Violation(Wrong.LOST, one, "was accepted, and a Commander answered 404 for it")


def _stuck(case: _Case) -> Iterator[Violation]:
    for one in case.ids:
        for status in case.ends(one):
            if not status.state.is_final:
                yield Violation(Wrong.STUCK, one, f"is still {_told(status)}")


def _never_accepted(case: _Case) -> Iterator[Violation]:
    for key in case.asked.keys() - case.ids_of.keys():
        yield Violation(Wrong.STUCK, key, "was never accepted, though everything is back")


def _two_missions(case: _Case) -> Iterator[Violation]:
    for key, ids in case.ids_of.items():
        if len(ids) > 1:
            yield Violation(Wrong.DOUBLE, key, f"became {len(ids)} missions: {sorted(ids)}")


def _two_outcomes(case: _Case) -> Iterator[Violation]:
    for one in case.ids:
        told = [*case.ends(one), *(sighting.status for sighting in case.seen[one])]
        outcomes = {(status.state, status.epoch) for status in told if status.state.is_final}
        if len(outcomes) > 1:
            yield Violation(Wrong.DOUBLE, one, f"has {len(outcomes)} outcomes: {sorted(outcomes)}")


def _two_effects(case: _Case) -> Iterator[Violation]:
    effects = Counter(deed.mission_id for deed in sink.applied(case.history.deeds))
    for one, count in effects.items():
        if count > 1:
            yield Violation(Wrong.DOUBLE, one, f"had {count} effects at a sink that checks key and epoch")


def _epoch_twice(case: _Case) -> Iterator[Violation]:
    for (one, epoch), count in case.runs.items():
        if count > 1:
            yield Violation(Wrong.DOUBLE, one, f"began {count} times in epoch {epoch}")


def _outcome_of_nobody(case: _Case) -> Iterator[Violation]:
    ended = {(deed.mission_id, deed.epoch) for deed in case.history.deeds if deed.deed == sink.ENDED}
    for one in case.ids:
        for status in case.ends(one):
            if status.state is MissionState.COMPLETED and (one, status.epoch) not in ended:
                yield Violation(Wrong.BLAME, one, f"is Completed by epoch {status.epoch}, which no execution ended")


def _backwards(case: _Case) -> Iterator[Violation]:
    """Commanders restore a ledger that lost its data one after the other, so the older of them may come first."""
    for one in case.ids:
        streams: defaultdict[tuple[Source, int], list[Status]] = defaultdict(list)
        for sighting in case.seen[one]:
            streams[sighting.source, sighting.stream].append(sighting.status)
        for (source, _), shown in streams.items():
            for before, after in pairwise(shown):
                if why := _why_not_after(before, after):
                    sentence = f"{source} showed {_told(after)} after {_told(before)}: {why}"
                    yield Violation(Wrong.BACKWARDS, one, sentence)


def _why_not_after(before: Status, after: Status) -> str:
    if after.sequence < before.sequence:
        return "the sequence fell"
    if after.sequence == before.sequence and after.state is not before.state:
        return "one sequence has two states"
    if after.epoch < before.epoch:
        return "the epoch fell"
    if before.state.is_final and after.state is not before.state:
        return "a final state changed"
    return "" if _can_follow(before.state, after.state) else "no move leads there"


def _can_follow(before: MissionState, after: MissionState) -> bool:
    """Statuses are shown coalesced, so one state in between may not have been seen."""
    if before is after:
        return True
    return after in TRANSITIONS[before] or any(after in TRANSITIONS[between] for between in TRANSITIONS[before])


def _life_again(case: _Case) -> Iterator[Violation]:
    """A key that is used again after its retention begins a new mission, whose numbers lie above the first one's."""
    for one, first in case.history.earlier.items():
        if one not in case.key_of:
            yield Violation(Wrong.LOST, one, "was used for a mission before, and its key now names another id")
        for shown in (*case.ends(one), *(sighting.status for sighting in case.seen[one])):
            if min(shown.sequence, shown.epoch) <= max(first.sequence, first.epoch):
                sentence = f"showed {_told(shown)} after an earlier mission of its id showed {_told(first)}"
                yield Violation(Wrong.BACKWARDS, one, sentence)


def _disagreement(case: _Case) -> Iterator[Violation]:
    """All Commanders tell the same end of an id that was used before."""
    for one in case.history.earlier:
        told = {name: said.get(one) for name, said in case.history.by_commander.items()}
        ends = {(end.state, end.epoch) if end is not None else None for end in told.values()}
        if len(ends) > 1:
            yield Violation(Wrong.DOUBLE, one, f"is told in different ways: {told}")


def _blame(case: _Case) -> Iterator[Violation]:
    cancelled = set(case.history.cancelled)
    for one in case.ids:
        earned = EARNED[case.request(one).kind]
        for status in case.ends(one):
            if status.state.is_final and not _is_earned(status, earned, was_cancelled=one in cancelled):
                wanted = f"{earned.state} ({earned.reason}) in attempt {earned.attempts}"
                yield Violation(Wrong.BLAME, one, f"ended {_told(status)} instead of {wanted}")


def _is_earned(status: Status, earned: Earned, *, was_cancelled: bool) -> bool:
    if was_cancelled and status.state is MissionState.CANCELLED:
        return True
    return (status.state, status.reason, status.attempt) == (earned.state, earned.reason, earned.attempts)


def _nameless(case: _Case) -> Iterator[Violation]:
    for one in case.ids:
        for status in case.ends(one):
            if not status.reason:
                yield Violation(Wrong.NAMELESS, one, f"is {_told(status)} and gives no reason")


def _swallowed(case: _Case) -> Iterator[Violation]:
    for what in case.history.swallowed:
        yield Violation(Wrong.SWALLOWED, what, "can never run, and was accepted")


PROMISED: Final[Mapping[tuple[Away, Request], frozenset[int]]] = {
    (Away.REDIS, Request.READ): frozenset({200}),
    (Away.REDIS, Request.SUBMIT): frozenset({200, 202, 503}),
    (Away.RABBITMQ, Request.READ): frozenset({200}),
    (Away.RABBITMQ, Request.SUBMIT): frozenset({200, 202}),
    (Away.BLOCKED, Request.READ): frozenset({200}),
    (Away.BLOCKED, Request.SUBMIT): frozenset({200, 202, 503}),
}
"""How Commanders may answer while somebody is away: 503 only where the design allows it, with the time to come back."""
SETTLED_SECONDS: Final = 1.0
"""After an acceptance every Commander's memory has the mission; after a strike everybody has noticed."""


def _told_to_go_away(case: _Case) -> Iterator[Violation]:
    for one in case.history.answers:
        if one.status == 503 and not one.says_when:
            yield Violation(Wrong.UNSERVED, one.mission_id or one.request, "was answered 503 without Retry-After")


def _unserved(case: _Case) -> Iterator[Violation]:
    outage = case.history.outage
    if outage is None:
        return
    accepted_at = {one.mission_id: one.at for one in case.history.accepted}
    for one in case.history.answers:
        settled_at = SETTLED_SECONDS + max(outage.began_at, accepted_at.get(one.mission_id, 0.0))
        if not settled_at <= one.asked_at < outage.ended_at or 400 <= one.status < 500:
            continue  # what was refused for what it is, or denied, is judged elsewhere
        if one.status not in PROMISED[outage.who, one.request]:
            sentence = f"was answered {one.status} on {one.request} while {outage.who} was away"
            yield Violation(Wrong.UNSERVED, one.mission_id or one.request, sentence)


def _silent(case: _Case) -> Iterator[Violation]:
    outage = case.history.outage
    if outage is None or not case.history.accepted:
        return
    if not any(outage.began_at <= one.asked_at < outage.ended_at for one in case.history.answers):
        yield Violation(Wrong.UNSERVED, outage.who, "was away, and nobody was answered anything meanwhile")


def _too_many_repeats(case: _Case, allowed: int) -> Iterable[Violation]:
    repeats = case.repeats()
    total = sum(repeats.values())
    if total > allowed:
        example = max(repeats, key=lambda one: repeats[one])
        sentence = f"{total} executions too many, {allowed} can have been cut off; this one had {repeats[example]}"
        yield Violation(Wrong.REPEATS, example, sentence)


RULES: Final[Sequence[Rule]] = (
    _lost,
    _forgotten,
    _stuck,
    _never_accepted,
    _two_missions,
    _two_outcomes,
    _two_effects,
    _epoch_twice,
    _outcome_of_nobody,
    _backwards,
    _life_again,
    _disagreement,
    _blame,
    _nameless,
    _swallowed,
    _told_to_go_away,
    _unserved,
    _silent,
)


def _is_final(status: Status | None) -> bool:
    return status is not None and status.state.is_final


def _told(status: Status) -> str:
    reason = f" ({status.reason})" if status.reason else ""
    return f"{status.state}{reason} in attempt {status.attempt}, epoch {status.epoch}, sequence {status.sequence}"
