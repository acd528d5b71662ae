"""The judge finds every violation in histories that were forged to hold it, and nothing in one that is well."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from chaos import judge as judging
from chaos import sink
from chaos.history import (
    Accepted,
    Answered,
    Asked,
    Away,
    Door,
    History,
    Kind,
    Outage,
    Request,
    Sighting,
    Source,
    Status,
)
from chaos.judge import RULES, Rule, Wrong, judge
from chaos.sink import Deed

from mission_contracts.mission import MissionState

ID = "m-1"
QUEUED = Status(state=MissionState.QUEUED, sequence=1, epoch=1, reason="WaitingForSoldier")
RUNNING = Status(state=MissionState.IN_PROGRESS, sequence=2, epoch=1, attempt=1, reason="Running")
COMPLETED = Status(state=MissionState.COMPLETED, sequence=3, epoch=1, attempt=1, reason="Completed")
FAILED = Status(state=MissionState.FAILED, sequence=3, epoch=1, attempt=1, reason="GaveUp")


def changed(status: Status, **fields: Any) -> Status:
    return msgspec.structs.replace(status, **fields)


def seen(*statuses: Status, source: Source = Source.OBJECT) -> Sequence[Sighting]:
    return [Sighting(source=source, mission_id=ID, status=one, at=float(at)) for at, one in enumerate(statuses)]


def again(*statuses: Status) -> Sequence[Sighting]:
    """What a ledger shows that was put back to an earlier time."""
    return [msgspec.structs.replace(one, at=one.at + 10, stream=1) for one in seen(*statuses)]


def deed(what: str, epoch: int = 1, *, key: str = ID, attempt: int = 1) -> Deed:
    return Deed(deed=what, key=key, mission_id=ID, epoch=epoch, attempt=attempt, process=7)


def a_history(**other: Any) -> History:
    """One mission as an object, that went well, but for what is forged."""
    well = History(
        asked=[Asked(key="a", door=Door.OBJECT, kind=Kind.WORK)],
        accepted=[Accepted(key="a", mission_id=ID, at=0)],
        sightings=seen(QUEUED, RUNNING, COMPLETED),
        deeds=[deed(sink.BEGAN), deed(sink.ENDED)],
        in_ledger={ID: COMPLETED},
        in_objects={ID: COMPLETED},
    )
    return msgspec.structs.replace(well, **other)


def of_kind(kind: Kind) -> Sequence[Asked]:
    return [Asked(key="a", door=Door.REST, kind=kind)]


def both(status: Status) -> dict[str, Any]:
    return {"in_ledger": {ID: status}, "in_objects": {ID: status}, "sightings": seen(QUEUED, status)}


def test_a_history_that_is_well_is_clean() -> None:
    verdict = judge(a_history(), repeats_allowed=0)
    assert verdict.is_clean, verdict.violations
    assert (verdict.accepted, verdict.final, verdict.extra_executions) == (1, 1, 0)


def answer(status: int, *, request: Request = Request.READ, asked_at: float = 12, says_when: bool = True) -> Answered:
    mission_id = ID if request is Request.READ else ""
    return Answered(request=request, status=status, asked_at=asked_at, says_when=says_when, mission_id=mission_id)


def while_away(who: Away, *answers: Answered) -> History:
    return a_history(answers=answers, outage=Outage(who=who, began_at=10, ended_at=14))


FORGED = [
    pytest.param(a_history(in_ledger={}), Wrong.LOST, id="the Commander does not know it"),
    pytest.param(a_history(in_objects={}), Wrong.LOST, id="its object is gone"),
    pytest.param(a_history(forgotten=[ID]), Wrong.LOST, id="a Commander denied it"),
    pytest.param(a_history(**both(RUNNING)), Wrong.STUCK, id="it still runs"),
    pytest.param(a_history(in_objects={ID: RUNNING}), Wrong.STUCK, id="only its object does not know the end"),
    pytest.param(a_history(accepted=[], deeds=[]), Wrong.STUCK, id="it was never accepted"),
    pytest.param(
        a_history(accepted=[Accepted(key="a", mission_id=one, at=0) for one in (ID, "m-2")]),
        Wrong.DOUBLE,
        id="one submission became two missions",
    ),
    pytest.param(a_history(in_ledger={ID: FAILED}), Wrong.DOUBLE, id="the doors tell two outcomes"),
    pytest.param(
        a_history(sightings=seen(changed(COMPLETED, epoch=2))), Wrong.DOUBLE, id="it was completed by two epochs"
    ),
    pytest.param(
        a_history(
            deeds=[deed(sink.BEGAN), deed(sink.ENDED), deed(sink.BEGAN, 2, key="b"), deed(sink.ENDED, 2, key="b")]
        ),
        Wrong.DOUBLE,
        id="two keys, two effects",
    ),
    pytest.param(
        a_history(deeds=[deed(sink.BEGAN), deed(sink.BEGAN), deed(sink.ENDED)]), Wrong.DOUBLE, id="epoch twice"
    ),
    pytest.param(a_history(deeds=[deed(sink.BEGAN)]), Wrong.BLAME, id="completed, and nobody ended it"),
    pytest.param(a_history(sightings=seen(RUNNING, QUEUED)), Wrong.BACKWARDS, id="the sequence fell"),
    pytest.param(
        a_history(sightings=[*seen(QUEUED), *again(RUNNING, QUEUED)]),
        Wrong.BACKWARDS,
        id="it fell in a ledger that was put back",
    ),
    pytest.param(
        a_history(sightings=[*seen(COMPLETED), *again(RUNNING, FAILED)]),
        Wrong.DOUBLE,
        id="a ledger that was put back tells another end",
    ),
    pytest.param(
        a_history(sightings=seen(QUEUED, changed(RUNNING, sequence=1))), Wrong.BACKWARDS, id="one sequence, two states"
    ),
    pytest.param(a_history(sightings=seen(changed(QUEUED, epoch=5), RUNNING)), Wrong.BACKWARDS, id="the epoch fell"),
    pytest.param(
        a_history(sightings=seen(COMPLETED, changed(RUNNING, sequence=9), source=Source.LEDGER)),
        Wrong.BACKWARDS,
        id="it ran again after its end",
    ),
    pytest.param(
        a_history(earlier={ID: changed(COMPLETED, epoch=1, sequence=1)}), Wrong.BACKWARDS, id="a number twice"
    ),
    pytest.param(
        a_history(earlier={"m-0": changed(COMPLETED, epoch=0, sequence=0)}),
        Wrong.LOST,
        id="a key that names another id",
    ),
    pytest.param(
        a_history(
            earlier={ID: changed(COMPLETED, epoch=0, sequence=0)},
            by_commander={"one": {ID: COMPLETED}, "other": {ID: changed(COMPLETED, epoch=0)}},
        ),
        Wrong.DOUBLE,
        id="two Commanders tell two lives",
    ),
    pytest.param(
        a_history(
            earlier={ID: changed(COMPLETED, epoch=0, sequence=0)}, by_commander={"one": {ID: COMPLETED}, "other": {}}
        ),
        Wrong.DOUBLE,
        id="one Commander knows it, and one does not",
    ),
    pytest.param(a_history(**both(changed(COMPLETED, attempt=2))), Wrong.BLAME, id="an innocent was charged"),
    pytest.param(a_history(**both(FAILED)), Wrong.BLAME, id="an innocent failed"),
    pytest.param(
        a_history(**both(changed(FAILED, state=MissionState.CANCELLED))), Wrong.BLAME, id="cancelled, and nobody asked"
    ),
    pytest.param(a_history(asked=of_kind(Kind.POISON)), Wrong.BLAME, id="the poison is not to blame"),
    pytest.param(
        a_history(deeds=[deed(sink.BEGAN), deed(sink.BEGAN, 2), deed(sink.ENDED, 2), deed(sink.ENDED)]),
        Wrong.REPEATS,
        id="it ran once more than a fault can explain",
    ),
    pytest.param(a_history(**both(changed(COMPLETED, reason=""))), Wrong.NAMELESS, id="an end without a reason"),
    pytest.param(a_history(swallowed=["a body"]), Wrong.SWALLOWED, id="bad input was accepted"),
    pytest.param(
        a_history(answers=[answer(503, says_when=False)]), Wrong.UNSERVED, id="sent away without a time to come back"
    ),
    pytest.param(while_away(Away.REDIS, answer(503)), Wrong.UNSERVED, id="Redis away, a status was not served"),
    pytest.param(
        while_away(Away.RABBITMQ, answer(503, request=Request.SUBMIT)), Wrong.UNSERVED, id="RabbitMQ away, refused"
    ),
    pytest.param(while_away(Away.RABBITMQ, answer(200, asked_at=99)), Wrong.UNSERVED, id="nobody was answered"),
]


@pytest.mark.parametrize(("history", "expected"), FORGED)
def test_a_violation_is_found(history: History, expected: Wrong) -> None:
    verdict = judge(history, repeats_allowed=0)
    assert expected in {one.wrong for one in verdict.violations}, verdict.violations
    assert verdict.count(expected) >= 1
    assert not verdict.is_clean


def test_every_violation_has_a_forged_history() -> None:
    assert {case.values[1] for case in FORGED} == set(Wrong)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_each_rule_has_a_forged_history_that_no_other_finds_out_for_the_same_reason(
    rule: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the rule one forged history passes, at least for what it was forged to hold: so the rule can fail."""
    with_all = [found(case) for case in FORGED]
    monkeypatch.setattr(judging, "RULES", [one for one in RULES if one is not rule])
    assert [found(case) for case in FORGED] != with_all


def found(case: Any) -> set[tuple[Wrong, str]]:
    history: History = case.values[0]
    return {(one.wrong, one.sentence) for one in judge(history, repeats_allowed=0).violations}


INNOCENT = [
    pytest.param(
        a_history(
            asked=of_kind(Kind.FLAKY),
            deeds=[deed(sink.BEGAN), deed(sink.BEGAN, 2), deed(sink.ENDED, 2)],
            **both(changed(COMPLETED, attempt=2, epoch=2)),
        ),
        id="a flaky mission needs two attempts",
    ),
    pytest.param(
        a_history(asked=of_kind(Kind.HOPELESS), deeds=[deed(sink.BEGAN)], **both(FAILED)), id="a hopeless one gives up"
    ),
    pytest.param(
        a_history(cancelled=[ID], deeds=[], **both(changed(COMPLETED, state=MissionState.CANCELLED))),
        id="it was cancelled, as asked",
    ),
    pytest.param(
        a_history(
            earlier={ID: changed(COMPLETED, epoch=0, sequence=0)},
            by_commander={"one": {ID: COMPLETED}, "other": {ID: COMPLETED}},
        ),
        id="a key was used again, and both Commanders say so",
    ),
    pytest.param(a_history(cancelled=[ID]), id="it was completed before its cancellation could be heard"),
    pytest.param(a_history(sightings=seen(QUEUED, COMPLETED)), id="a status in between was not seen"),
    pytest.param(
        a_history(sightings=seen(RUNNING, changed(QUEUED, sequence=3), changed(COMPLETED, sequence=4))),
        id="it ran again",
    ),
    pytest.param(
        a_history(sightings=[*seen(QUEUED, RUNNING, COMPLETED), *again(RUNNING, COMPLETED)]),
        id="a ledger that was put back shows what one restored, then what another did",
    ),
    pytest.param(while_away(Away.REDIS, answer(200)), id="Redis away, a status was served"),
    pytest.param(
        while_away(Away.REDIS, answer(503, request=Request.SUBMIT)), id="Redis away, and told when to come back"
    ),
    pytest.param(while_away(Away.REDIS, answer(202, request=Request.SUBMIT)), id="Redis away, and accepted"),
    pytest.param(while_away(Away.RABBITMQ, answer(202, request=Request.SUBMIT)), id="RabbitMQ away, and accepted"),
    pytest.param(while_away(Away.REDIS, answer(503, asked_at=10.5)), id="asked while nobody had noticed yet"),
    pytest.param(while_away(Away.REDIS, answer(200), answer(422, request=Request.SUBMIT)), id="refused for what it is"),
]


@pytest.mark.parametrize("history", INNOCENT)
def test_nothing_is_found_where_nothing_is_wrong(history: History) -> None:
    assert judge(history, repeats_allowed=0).violations == ()


def test_extra_executions_are_counted_and_allowed_up_to_what_the_fault_cut_off() -> None:
    again = a_history(
        deeds=[deed(sink.BEGAN), deed(sink.BEGAN, 2), deed(sink.ENDED, 2)], **both(changed(COMPLETED, epoch=2))
    )
    verdict = judge(again, repeats_allowed=1)
    assert verdict.is_clean, verdict.violations
    assert verdict.extra_executions == 1


def test_a_sink_that_checks_takes_the_first_effect_of_the_newest_epoch() -> None:
    late = [deed(sink.BEGAN), deed(sink.BEGAN, 2), deed(sink.ENDED, 1), deed(sink.ENDED, 2), deed(sink.ENDED, 3)]
    assert [one.epoch for one in sink.applied(late)] == [2]
