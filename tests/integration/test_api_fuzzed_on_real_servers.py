"""Made-up requests at a Commander on real RabbitMQ and Redis: what the memory adapters take, these have to take too."""

from collections.abc import Iterator

import pytest
from support.api_fuzzing import Fuzzer, assert_widely_spread
from support.world import Servers, World
from tools.installation import ROLES

from mission_contracts.tokens import Role

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]


@pytest.fixture
def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A Commander, and no soldier."""
    with World(servers, tmp_path_factory.mktemp("fuzzed")).running(soldiers=0) as world:
        yield world
        world.assert_well()


def test_no_5xx_and_no_answer_that_is_not_described(world: World) -> None:
    fuzzer = Fuzzer(world.url, {Role(client_id): f"Bearer {world.token(client_id)}" for client_id in ROLES})
    fuzzer.try_at_random(examples=4)
    fuzzer.tell_stories(10)
    assert_widely_spread(fuzzer)
