"""What is wrong with single queues: told as it stands, and in the log now and then."""

import pytest

from mission_broker.rabbitmq.troubles import Deed, Troubles


def test_what_went_well_again_is_told_no_more() -> None:
    troubles = Troubles()
    troubles.tell("work", Deed.DECLARE, "it exists with other arguments")
    troubles.tell("work", Deed.CONSUME, "nobody answers")
    assert troubles.told() == {"work": "it exists with other arguments; nobody answers"}
    troubles.over("work", Deed.CONSUME)
    assert troubles.told() == {"work": "it exists with other arguments"}
    troubles.forget("work")
    assert troubles.told() == {}


def test_a_trouble_that_lasts_is_logged_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles()
    for _ in range(100):
        troubles.tell("work", Deed.CONSUME, "nobody answers")
    assert [record.getMessage() for record in caplog.records] == [
        f"nobody answers (time {time})" for time in (1, 2, 4, 8, 16, 32, 64)
    ]


def test_a_new_sentence_is_logged_at_once(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles()
    for sentence in ("one", "one", "one", "other"):
        troubles.tell("work", Deed.CONSUME, sentence)
    assert caplog.records[-1].getMessage() == "other (time 1)"


def test_what_was_well_in_between_is_new(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles()
    for _ in range(3):
        troubles.tell("work", Deed.CONSUME, "lost")
        troubles.over("work", Deed.CONSUME)
    assert [record.getMessage() for record in caplog.records] == ["lost (time 1)"] * 3
