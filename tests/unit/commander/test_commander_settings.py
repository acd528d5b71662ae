"""What the Commander's environment may look like."""

import pytest
from pydantic import ValidationError

from mission_commander.domain.rates import Rate
from mission_commander.settings import CommanderSettings, rate_of


@pytest.fixture(autouse=True)
def _install_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMANDER_INSTALL_KEY", "k" * 32)


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("amqp://a:5672/,amqp://b:5672/", id="separated by commas, as soldiers read it"),
        pytest.param(" amqp://a:5672/ , amqp://b:5672/ ,", id="with spaces and a last comma"),
        pytest.param('["amqp://a:5672/", "amqp://b:5672/"]', id="as JSON"),
    ],
)
def test_the_brokers_nodes_may_be(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMANDER_RABBITMQ_URLS", written)
    assert CommanderSettings().rabbitmq_urls == ["amqp://a:5672/", "amqp://b:5672/"]


def test_broken_json_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMANDER_RABBITMQ_URLS", '["amqp://a:5672/"')
    with pytest.raises(ValidationError, match="rabbitmq_urls"):
        CommanderSettings()


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        ("50000 per 10 seconds", Rate(50_000, 10)),
        ("600/minute", Rate(600, 60)),
        ("1 per 2 hours", Rate(1, 7_200)),
        ("off", None),
    ],
)
def test_a_limit_may_be_written(written: str, rate: Rate | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMMANDER_LIMIT_SUBMIT", written)
    assert rate_of(CommanderSettings().limit_submit) == rate


@pytest.mark.parametrize("written", ["", "many", "-5 per minute", "0 per minute", "5 per fortnight"])
def test_a_limit_that_is_none_is_refused_with_the_way_to_write_it(
    written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMMANDER_LIMIT_SUBMIT", written)
    with pytest.raises(ValidationError, match='write "600 per minute"'):
        CommanderSettings()
