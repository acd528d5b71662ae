"""The servers that every other integration test relies on: they serve, survive being killed, and leave nothing."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aio_pika
import pytest
import redis
from support.ability import unless
from tools import stack
from tools.stack import pairs
from tools.stack.installations import NOBODY, InDebian
from tools.stack.process import is_alive

ROOT = Path(__file__).parents[3]
BOOT_SECONDS = 90


def eventually(is_true: Callable[[], bool], *, within_seconds: float = 10) -> bool:
    deadline = time.monotonic() + within_seconds
    while not is_true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return is_true()


@pytest.mark.real
class TestRedis:
    def test_an_acknowledged_write_survives_sigkill(self, redis_server: stack.RedisServer, redis_db: str) -> None:
        with redis.Redis.from_url(redis_db) as client:
            client.set("mission", "accepted")
            redis_server.kill()
            redis_server.start()
            assert client.get("mission") == b"accepted"

    def test_it_is_set_as_the_design_asks(self, redis_server: stack.RedisServer, redis_db: str) -> None:
        wanted = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
        with redis.Redis.from_url(redis_db) as client:
            assert {name: client.config_get(name)[name] for name in wanted} == wanted

    def test_frozen_it_keeps_the_connection_and_says_nothing(
        self, redis_server: stack.RedisServer, redis_db: str
    ) -> None:
        with redis.Redis.from_url(redis_db, socket_timeout=0.2, retry=None) as client:
            client.ping()
            redis_server.freeze()
            with pytest.raises(redis.TimeoutError):
                client.ping()
            redis_server.thaw()
            assert client.ping()


@pytest.mark.real
@pytest.mark.timeout(BOOT_SECONDS)
class TestRabbitMQ:
    async def test_a_confirmed_message_survives_sigkill(
        self, rabbitmq_server: stack.RabbitServer, amqp_url: str
    ) -> None:
        async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
            queue = await channel.declare_queue("orders", durable=True, arguments={"x-queue-type": "quorum"})
            message = aio_pika.Message(b"work", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(message, queue.name)
        rabbitmq_server.settle()
        rabbitmq_server.kill()
        rabbitmq_server.start()
        async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
            queue = await channel.get_queue("orders")
            delivered = await queue.get(no_ack=True, timeout=10)
            assert delivered is not None
            assert delivered.body == b"work"

    async def test_two_virtual_hosts_share_nothing(self, rabbitmq_server: stack.RabbitServer) -> None:
        one, other = rabbitmq_server.fresh_vhost(), rabbitmq_server.fresh_vhost()
        async with await aio_pika.connect(one) as connection, connection.channel() as channel:
            await channel.declare_queue("orders")
        async with await aio_pika.connect(other) as connection, connection.channel() as channel:
            with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
                await channel.declare_queue("orders", passive=True)


@pytest.mark.kube
@pytest.mark.timeout(BOOT_SECONDS)
class TestApiServer:
    def test_objects_survive_sigkill(self, api_server: stack.ApiServer, kube_namespace: str) -> None:
        api_server.kubectl("-n", kube_namespace, "create", "configmap", "kept", "--from-literal=a=b")
        api_server.kill()
        api_server.start()
        assert api_server.kubectl("-n", kube_namespace, "get", "configmap", "kept", "-o=jsonpath={.data.a}") == "b"

    def test_it_says_which_kubernetes_it_is(self, kube: stack.KubeAccess) -> None:
        assert "Server Version: v1." in kube.kubectl("version")

    def test_it_has_admission_policies(self, kube: stack.KubeAccess) -> None:
        assert "validatingadmissionpolicies" in kube.kubectl("api-resources", "--no-headers")

    def test_kubectl_failing_is_told_in_a_sentence(self, kube: stack.KubeAccess) -> None:
        with pytest.raises(stack.StackError, match="`kubectl get unicorns` failed"):
            kube.kubectl("get", "unicorns")


@pytest.fixture
def started_elsewhere(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", int]]:
    """A Redis that another program of ours started, and that server's pid."""
    program = "import sys; from pathlib import Path; from tools import stack\n"
    program += "with stack.redis_server(Path(sys.argv[1])) as server:\n"
    program += "    print(server.processes[0].pid, flush=True); sys.stdin.read()\n"
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        yield starter, int(starter.stdout.readline())


@pytest.mark.real
class TestNothingIsLeft:
    def test_when_the_starter_is_killed(self, started_elsewhere: tuple["subprocess.Popen[str]", int]) -> None:
        starter, server = started_elsewhere
        starter.kill()
        assert eventually(lambda: not is_alive(server))

    def test_when_the_starter_ends(self, started_elsewhere: tuple["subprocess.Popen[str]", int]) -> None:
        starter, server = started_elsewhere
        starter.communicate(timeout=60)
        assert not is_alive(server)

    def test_a_killed_runs_state_is_no_obstacle(
        self, started_elsewhere: tuple["subprocess.Popen[str]", int], tmp_path: Path
    ) -> None:
        starter, _ = started_elsewhere
        starter.send_signal(signal.SIGKILL)
        with stack.redis_server(tmp_path) as server:
            assert server.is_running


@pytest.mark.real
@pytest.mark.long
@pytest.mark.timeout(BOOT_SECONDS)
class TestTrixie:
    """RabbitMQ 4.0 and Redis 8 in a root file system of their own, whatever pair the other tests use."""

    @pytest.fixture
    def rabbitmq(self, tmp_path: Path) -> Iterator[stack.RabbitServer]:
        _unless_it_can_run()
        with stack.rabbitmq_server(tmp_path, stack.Pair.TRIXIE) as server:
            yield server

    @pytest.fixture
    def redis_8(self, tmp_path: Path) -> Iterator[stack.RedisServer]:
        _unless_it_can_run()
        with stack.redis_server(tmp_path, stack.Pair.TRIXIE) as server:
            yield server

    def test_it_is_rabbitmq_4_and_serves_again_after_sigkill(self, rabbitmq: stack.RabbitServer) -> None:
        assert rabbitmq.evaluate("rabbit_misc:version().").startswith('"4.')
        vhost = rabbitmq.fresh_vhost().rpartition("/")[2]
        rabbitmq.settle()
        rabbitmq.kill()
        rabbitmq.start()
        assert rabbitmq.evaluate(f'rabbit_vhost:exists(<<"{vhost}">>).') == "true"

    def test_it_is_redis_8_and_keeps_what_it_acknowledged(self, redis_8: stack.RedisServer) -> None:
        with redis.Redis.from_url(redis_8.url) as client:
            assert client.info("server")["redis_version"].startswith("8.")
            client.set("mission", "accepted")
            redis_8.kill()
            redis_8.start()
            assert client.get("mission") == b"accepted"

    def test_it_is_nobody_and_its_mounts_are_seen_by_nobody(self, redis_8: stack.RedisServer) -> None:
        home = pairs.installation(stack.Pair.TRIXIE, "redis-server")
        if not isinstance(home, InDebian):
            pytest.skip("it runs in a container here, whose user and mounts are Docker's")
        (server,) = redis_8.processes
        status = Path(f"/proc/{server.pid}/status").read_text()
        assert f"Uid:\t{NOBODY}" in status
        assert "Groups:\t \n" in status or f"Groups:\t{NOBODY} \n" in status
        assert str(home.root) not in Path("/proc/mounts").read_text()
        redis_8.kill()
        assert not is_alive(server.pid)


def _unless_it_can_run() -> None:
    unless(pairs.why_not(stack.Pair.TRIXIE))
