"""The cluster of the end-to-end tests: made when the first of them asks for it, ended after the last."""

import os
import secrets
import sys
from collections.abc import Callable, Generator, Iterator

import pytest
from support import nodes
from support.ability import unless
from support.installation import HAS_FAILED, Installation, installed
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
    unless(None if containers.docker_answers() else programs.why_no_node())
    yield lambda: nodes.start(layout)
    if nodes.OWN_CLUSTER not in os.environ:
        nodes.make("cluster-down")


@pytest.fixture(scope="module")
def pools(a_node: Callable[[], nodes.Node]) -> Iterator[Installation]:
    """The product without any pool, for tests that make their own."""
    node = a_node()
    nodes.make("images")
    # A name that nobody had before, and what an earlier installation left to the cluster is taken over: after a test
    # that failed, or on a cluster that is kept.
    namespace = f"pools-{secrets.token_hex(3)}"
    settings = "defaultPool.enabled=false,commander.tokenSeconds=3600"
    with installed(node, namespace, "--take-ownership", "--set", settings) as installation:
        yield installation


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note a failure where the test's fixtures see it: they repair what it may have left broken."""
    report = yield
    if report.failed:
        item.stash[HAS_FAILED] = True
    return report


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a figure where whoever runs the tests sees it."""

    def said(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")
            sys.stdout.flush()

    return said
