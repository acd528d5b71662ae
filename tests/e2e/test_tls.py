"""The product with TLS on: missions complete, clients check certificates, and nothing listens without TLS."""

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from support.cluster_door import a_mission, file_of
from support.installation import RELEASE, Installation, installed
from support.nodes import Node, make

from mission_operator.pools.pods import CONTAINER

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]


@pytest.fixture(scope="module")
def installation(a_node: Callable[[], Node]) -> Iterator[Installation]:
    node = a_node()
    make("images")
    namespace = f"tls-{secrets.token_hex(3)}"
    with installed(node, namespace, "--take-ownership", "--set", "tls.enabled=true") as found:
        yield found


async def test_missions_complete_by_both_doors(installation: Installation) -> None:
    installation.kubectl("apply", "-f", "-", stdin=file_of(a_mission(f"one-{number}") for number in range(5)))
    wait = ("wait", "--for=condition=Succeeded", "missions", "--all", "--timeout=180s")
    await asyncio.to_thread(installation.kubectl, *wait)
    said = installation.helm("test")
    assert "REST" in said
    assert "FAILED" not in said


SPEAKING: Final = """
import json, os, socket, ssl, sys

release, namespace = %(release)r, %(namespace)r

def plain(component, port, says):
    \"\"\"What a server answers to who speaks without TLS.\"\"\"
    try:
        with socket.create_connection((f"{release}-{component}", port), timeout=5) as link:
            link.sendall(says)
            return link.recv(64).decode("latin-1")
    except OSError as error:
        return "closed"

def encrypted(component, port, authority):
    context = ssl.create_default_context(cafile=authority)
    try:
        with socket.create_connection((f"{release}-{component}", port), timeout=5) as link:
            with context.wrap_socket(link, server_hostname=f"{release}-{component}") as secured:
                return secured.version()
    except ssl.SSLCertVerificationError:
        return "not believed"

AUTHORITY = os.environ["SOLDIER_AUTHORITY_FILE"]
SERVERS = {"commander": 8484, "rabbitmq": 5671, "redis": 6379}
print(json.dumps({
    "with the authority": {name: encrypted(name, port, AUTHORITY) for name, port in SERVERS.items()},
    "without it": {name: encrypted(name, port, None) for name, port in SERVERS.items()},
    "management": encrypted("rabbitmq", 15671, AUTHORITY),
    "plain ports": [plain("rabbitmq", port, b"AMQP\\0\\0\\x09\\x01") for port in (5672, 15672)],
    "plain Redis": plain("redis", 6379, b"PING\\r\\n"),
    "plain AMQP": plain("rabbitmq", 5671, b"AMQP\\0\\0\\x09\\x01"),
    "plain HTTP": plain("commander", 8484, b"GET /health HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"),
}))
"""


def test_every_server_speaks_tls_and_nothing_else(installation: Installation) -> None:
    program = SPEAKING % {"release": RELEASE, "namespace": installation.namespace}
    execute = ("exec", "-i", "deployment/soldier-default", "-c", CONTAINER, "--", "python", "-")
    found = json.loads(installation.kubectl(*execute, stdin=program))
    assert set(found["with the authority"].values()) <= {"TLSv1.3", "TLSv1.2"}
    assert found["management"] in {"TLSv1.3", "TLSv1.2"}
    assert set(found["without it"].values()) == {"not believed"}
    assert found["plain ports"] == ["closed", "closed"]
    for answer in (found["plain Redis"], found["plain AMQP"], found["plain HTTP"]):
        assert "PONG" not in answer
        assert "AMQP" not in answer
        assert "200" not in answer


def test_an_upgrade_keeps_the_certificates_and_restarts_nothing(installation: Installation) -> None:
    def now() -> tuple[str, str]:
        secret = installation.kubectl("get", "secret", f"{RELEASE}-redis-tls", "-o", "jsonpath={.data}")
        path = "jsonpath={range .items[*]}{.metadata.name}={.metadata.generation} {end}"
        return secret, installation.kubectl("get", "deployments,statefulsets", "-o", path)

    before = now()
    installation.helm("upgrade", "--wait", "--set", "tls.enabled=true")
    assert now() == before
