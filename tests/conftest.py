"""The real servers, and a corner of each that one test has for itself.

Each server starts once per session, when the first test asks for it. STACK_PAIR says which RabbitMQ and Redis (see
tools/stack/pairs.py); RABBITMQ_URL, REDIS_URL and KUBECONFIG_TEST name servers to use instead. What cannot run here
skips its tests with the reason; with CI=true that fails.
"""

import contextlib
import itertools
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from support.ability import cannot_run, unless, why_no_api_server
from tools import stack
from tools.stack import binaries, pairs


def pytest_configure() -> None:
    """Let Ctrl-C reach the processes that tests start: a shell has whatever it runs behind its back ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def stack_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this session's servers keep their data and logs."""
    return tmp_path_factory.mktemp("stack")


# RabbitMQ


@pytest.fixture(scope="session")
def _our_rabbitmq(stack_state: Path) -> Iterator[stack.RabbitServer]:
    unless(pairs.why_not(pairs.chosen()))
    with stack.rabbitmq_server(stack_state) as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq_url(request: pytest.FixtureRequest) -> str:
    """One broker for the whole session; a test that wants it empty asks for `amqp_url`."""
    given = os.environ.get("RABBITMQ_URL")
    return given or str(request.getfixturevalue("_our_rabbitmq").url)


@pytest.fixture
def amqp_url(request: pytest.FixtureRequest) -> str:
    """A virtual host of the test's own, so fixed queue names never meet; a given RABBITMQ_URL is used as it is."""
    given = os.environ.get("RABBITMQ_URL")
    return given or str(request.getfixturevalue("_our_rabbitmq").fresh_vhost())


@pytest.fixture
def rabbitmq_server(_our_rabbitmq: stack.RabbitServer) -> Iterator[stack.RabbitServer]:
    """Our broker, to be killed or frozen; it serves again when the test is over."""
    with _mended(_our_rabbitmq):
        yield _our_rabbitmq


# Redis


@pytest.fixture(scope="session")
def _our_redis(stack_state: Path) -> Iterator[stack.RedisServer]:
    unless(pairs.why_not(pairs.chosen()))
    with stack.redis_server(stack_state) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    """One server for the whole session; a test that wants it empty asks for `redis_db`."""
    given = os.environ.get("REDIS_URL")
    return given or str(request.getfixturevalue("_our_redis").url)


@pytest.fixture(scope="session")
def _database_numbers() -> Iterator[int]:
    return itertools.cycle(range(1, stack.redis.DATABASES))


@pytest.fixture
def redis_db(request: pytest.FixtureRequest, _database_numbers: Iterator[int]) -> Iterator[str]:
    """The URL of an empty database that is the test's own; what it leaves is removed."""
    given = os.environ.get("REDIS_URL")
    url = given or request.getfixturevalue("_our_redis").database(next(_database_numbers))
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        if given and client.dbsize():
            pytest.fail(
                f"REDIS_URL names a database that is not empty: tests would wipe it, so name another one ({url})."
            )
        client.flushdb()
        yield url
        with contextlib.suppress(redis.ConnectionError):
            client.flushdb()


@pytest.fixture
def redis_server(_our_redis: stack.RedisServer) -> Iterator[stack.RedisServer]:
    """Our Redis, to be killed or frozen; it serves again when the test is over."""
    with _mended(_our_redis):
        yield _our_redis


# Kubernetes


@pytest.fixture(scope="session")
def _our_api_server(stack_state: Path) -> Iterator[stack.ApiServer]:
    unless(why_no_api_server())
    with stack.api_server(stack_state) as server:
        yield server


@pytest.fixture
def api_server(_our_api_server: stack.ApiServer) -> Iterator[stack.ApiServer]:
    """Our API server, to be killed or frozen; it serves again when the test is over."""
    with _mended(_our_api_server):
        yield _our_api_server


@pytest.fixture(scope="session")
def kube(request: pytest.FixtureRequest, stack_state: Path) -> stack.KubeAccess:
    """An administrator's access to an API server: ours, or the one that KUBECONFIG_TEST names."""
    given = os.environ.get("KUBECONFIG_TEST")
    if not given:
        access: stack.KubeAccess = request.getfixturevalue("_our_api_server").access
        return access
    kubectl = binaries.find("kubectl")
    if kubectl is None:
        cannot_run("kubectl is not installed, so KUBECONFIG_TEST cannot be used: run `make servers` to build it.")
    return stack.KubeAccess(kubeconfig=Path(given), kubectl_binary=kubectl, cache=stack_state / "kubectl-cache")


@pytest.fixture
def kube_namespace(kube: stack.KubeAccess) -> str:
    """A namespace of the test's own. It is not deleted: without a controller manager that never finishes."""
    name = f"test-{secrets.token_hex(4)}"
    kube.kubectl("create", "namespace", name)
    return name


# How all of them behave


@contextlib.contextmanager
def _mended(server: stack.Server) -> Iterator[None]:
    """Whatever a test did to the server, the next test finds it serving."""
    try:
        yield
    finally:
        server.thaw()
        server.start()
