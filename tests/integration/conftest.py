"""What tests of a whole installation share: its servers, and its processes' last words when a test fails."""

import os
from collections.abc import Generator

import pytest
from support.world import Servers, World


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest) -> Servers:
    """A virtual host of the module's own, and a Redis in which each world's keys have a prefix of its own."""
    given = os.environ.get("RABBITMQ_URL")
    rabbitmq_url = given or request.getfixturevalue("_our_rabbitmq").fresh_vhost()
    return Servers(rabbitmq_url=rabbitmq_url, redis_url=request.getfixturevalue("redis_url"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of each process's log to a failure."""
    report = yield
    world = getattr(item, "funcargs", {}).get("world")
    if report.failed and isinstance(world, World):
        report.sections.extend(world.last_words())
    return report
