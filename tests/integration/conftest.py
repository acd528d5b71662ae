"""What tests of a whole installation share: its servers, and its processes' last words when a test fails."""

import os
from collections.abc import AsyncIterator, Generator, Iterator

import pytest
from support.cluster_door import ClusterDoor
from support.rest_door import RestDoor
from support.world import Servers, World
from tools.installation import a_cluster
from tools.stack import KubeAccess


@pytest.fixture(scope="module")
def servers(request: pytest.FixtureRequest) -> Servers:
    """A virtual host of the module's own, and a Redis in which each world's keys have a prefix of its own."""
    given = os.environ.get("RABBITMQ_URL")
    rabbitmq_url = given or request.getfixturevalue("_our_rabbitmq").fresh_vhost()
    return Servers(rabbitmq_url=rabbitmq_url, redis_url=request.getfixturevalue("redis_url"))


@pytest.fixture(scope="module")
def world(servers: Servers, kube: KubeAccess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Commander, one soldier and operator as processes; whatever a module's tests ask for, nothing crashes."""
    state = tmp_path_factory.mktemp("world")
    with World(servers, state, cluster=a_cluster(kube, state)).running() as world:
        yield world
        world.assert_well()


@pytest.fixture
async def cluster(world: World) -> AsyncIterator[ClusterDoor]:
    """The world's cluster door."""
    async with world.objects() as objects:
        yield ClusterDoor(world.cluster, objects)


@pytest.fixture
async def commander(world: World) -> AsyncIterator[RestDoor]:
    """The Commander as the operator sees it."""
    async with world.door("operator") as door:
        yield door


@pytest.fixture
async def rest(world: World) -> AsyncIterator[RestDoor]:
    """The Commander as a user sees it."""
    async with world.door() as door:
        yield door


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of each process's log to a failure."""
    report = yield
    world = getattr(item, "funcargs", {}).get("world")
    if report.failed and isinstance(world, World):
        report.sections.extend(world.last_words())
    return report
