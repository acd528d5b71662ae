"""The cluster of the end-to-end tests: made when the first of them asks for it, ended after the last."""

import os
from collections.abc import Callable, Iterator

import pytest
from support import nodes
from tools import cluster as clusters
from tools.cluster import programs
from tools.stack import containers


@pytest.fixture(scope="session")
def layout() -> clusters.Layout:
    """The files of the tests' cluster."""
    return clusters.layout(nodes.NAME, os.environ)


@pytest.fixture(scope="session")
def a_node(layout: clusters.Layout) -> Iterator[Callable[[], nodes.Node]]:
    """Gives the cluster, made again where a test has ended it."""
    _unless(None if containers.docker_answers() else programs.why_no_node())
    yield lambda: nodes.start(layout)
    nodes.make("cluster-down")


def _unless(reason: str | None) -> None:
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
