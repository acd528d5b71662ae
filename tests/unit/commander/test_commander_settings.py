"""What the Commander's environment may look like."""

import pytest
from pydantic import ValidationError

from mission_commander.settings import CommanderSettings


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
