"""The processes of Mission Control, as users run them: what each is told, and how one knows that it serves."""

import contextlib
import json
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mission_contracts.resources import API_VERSION, SOLDIER_POOL
from missionctl import context_file
from tools.demo.errors import DemoError
from tools.installation import answers
from tools.stack import KubeAccess
from tools.stack.ports import LOOPBACK, free_port
from tools.stack.process import Launch, Process

NAMESPACE: Final = "default"
SLOTS: Final = 4
"""Few on purpose, so that some missions of the samples are seen waiting."""


@dataclass(frozen=True, kw_only=True)
class Commander:
    """Where the Commander is, and the operator's and a person's way in."""

    url: str
    operator_id: str
    operator_secret: str = field(repr=False)
    environment: Mapping[str, str]
    """What points missionctl there."""


@contextlib.contextmanager
def running(launch: Launch) -> Iterator[None]:
    """Have the process serve while the block lasts."""
    process = Process(launch)
    try:
        process.start()
        yield
    finally:
        process.stop()
        process.discard()


# All in one process, on the memory broker and ledger


def dev(state: Path) -> Launch:
    """`missionctl dev`: Commander and soldiers in one process; ready once it has left its note."""
    note = state / "missionctl"
    return _launch(
        "missionctl",
        ("missionctl", "dev", "--port", "0", "--concurrency", str(SLOTS), "--drain-seconds", "1"),
        state,
        is_ready=lambda: context_file.read(context_file.path_in(note)) is not None,
        environment={context_file.STATE_DIR_VARIABLE: str(note)},
    )


def commander_of_dev(state: Path) -> Commander:
    """Read the note that `missionctl dev` leaves for the commands that follow it."""
    note = state / "missionctl"
    context = context_file.read(context_file.path_in(note))
    if context is None:
        raise DemoError(f"`missionctl dev` took its note away again: see {state / 'missionctl.log'}")
    return Commander(
        url=context.url,
        operator_id=context.operator.client_id,
        operator_secret=context.operator.client_secret,
        environment={context_file.STATE_DIR_VARIABLE: str(note)},
    )


# As separate processes, on RabbitMQ and Redis


@dataclass(frozen=True, kw_only=True)
class Servers:
    """The RabbitMQ and Redis that the user named."""

    rabbitmq_url: str = field(repr=False)
    redis_url: str = field(repr=False)


def servers_in(environment: Mapping[str, str]) -> Servers | None:
    """Both or neither: half of them is a mistake worth a word."""
    rabbitmq_url, redis_url = environment.get("RABBITMQ_URL"), environment.get("REDIS_URL")
    if bool(rabbitmq_url) != bool(redis_url):
        raise DemoError("only one of RABBITMQ_URL and REDIS_URL is set: set both to use real servers, or neither")
    return Servers(rabbitmq_url=rabbitmq_url, redis_url=redis_url) if rabbitmq_url and redis_url else None


def commander_on(servers: Servers, state: Path) -> tuple[Commander, Launch, Launch]:
    """`mission-commander` and `mission-soldier`, with secrets of this run; the ledger's keys are this run's too."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    keys = {name: secrets.token_hex(32) for name in ("install", "operator", "soldier", "user")}
    commander = Commander(
        url=url,
        operator_id="operator",
        operator_secret=keys["operator"],
        environment={
            "MISSIONCTL_URL": url,
            "MISSIONCTL_CLIENT_ID": "user",
            "MISSIONCTL_CLIENT_SECRET": keys["user"],
        },
    )
    clients = {role: {"secret": keys[role], "role": role} for role in ("operator", "soldier", "user")}
    serving = _launch(
        "commander",
        ("mission_commander",),
        state,
        is_ready=lambda: answers(f"{url}/readyz"),
        environment={
            "COMMANDER_INSTALL_KEY": keys["install"],
            "COMMANDER_CLIENTS": json.dumps(clients),
            "COMMANDER_NAMESPACE": NAMESPACE,
            "COMMANDER_LISTEN_PORT": str(port),
            "COMMANDER_RABBITMQ_URLS": json.dumps([servers.rabbitmq_url]),
            "COMMANDER_REDIS_URL": servers.redis_url,
            "COMMANDER_REDIS_PREFIX": f"demo-{secrets.token_hex(4)}:",
        },
    )
    return commander, serving, _soldier(commander, servers, keys["soldier"], state)


def _soldier(commander: Commander, servers: Servers, secret: str, state: Path) -> Launch:
    port = free_port()
    return _launch(
        "soldier",
        ("mission_soldier",),
        state,
        is_ready=lambda: answers(f"http://{LOOPBACK}:{port}/livez"),
        environment={
            "SOLDIER_COMMANDER_URL": commander.url,
            "SOLDIER_CLIENT_SECRET": secret,
            "SOLDIER_RABBITMQ_URLS": servers.rabbitmq_url,
            "SOLDIER_NAMESPACE": NAMESPACE,
            "SOLDIER_CONCURRENCY": str(SLOTS),
            "SOLDIER_PROBE_PORT": str(port),
        },
    )


# Beside an API server


def operator(commander: Commander, kube: KubeAccess, state: Path, *, may_make_pods: bool) -> Launch:
    """`python -m mission_operator`, with a kubeconfig of ours and the default pool that a chart would bring."""
    port = free_port()
    pool = state / "default-pool.json"
    pool.write_text(json.dumps(_default_pool(may_make_pods=may_make_pods)))
    return _launch(
        "operator",
        ("mission_operator",),
        state,
        is_ready=lambda: answers(f"http://{LOOPBACK}:{port}/readyz"),
        environment={
            **kube.environment(),
            "OPERATOR_COMMANDER_URL": commander.url,
            "OPERATOR_CLIENT_ID": commander.operator_id,
            "OPERATOR_CLIENT_SECRET": commander.operator_secret,
            "OPERATOR_NAMESPACE": NAMESPACE,
            "OPERATOR_DEFAULT_POOL_FILE": str(pool),
            "OPERATOR_LEASE_SECONDS": "15",  # nobody competes for it, and nobody would start this operator again
            "OPERATOR_PROBE_HOST": LOOPBACK,
            "OPERATOR_PROBE_PORT": str(port),
        },
    )


def _default_pool(*, may_make_pods: bool) -> dict[str, object]:
    """The soldiers run on this machine: where a kubelet would start pods for the pool too, it asks for none."""
    pods = {"replicas": 0} if may_make_pods else {}
    return {
        "apiVersion": API_VERSION,
        "kind": SOLDIER_POOL.kind,
        "metadata": {"name": "default"},
        "spec": {"concurrency": SLOTS, **pods},
    }


def _launch(
    name: str,
    module_and_arguments: tuple[str, ...],
    state: Path,
    *,
    is_ready: Callable[[], bool],
    environment: Mapping[str, str],
) -> Launch:
    return Launch(
        name=name,
        command=(sys.executable, "-m", *module_and_arguments),
        is_ready=is_ready,
        log=state / f"{name}.log",
        environment=environment,
    )
