"""RabbitMQ as an Erlang node of its own: own name, own ports, own epmd, own cookie, own data.

Nothing of an installed system service is read, used or stopped.
"""

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.stack import containers, pairs, probes
from tools.stack.errors import StackError
from tools.stack.folder import own_folder
from tools.stack.installations import Installation
from tools.stack.pairs import Pair
from tools.stack.ports import LOOPBACK, free_port
from tools.stack.process import Launch, Process
from tools.stack.server import Server

USER = "mission"
MANAGEMENT = "rabbitmq_management"
ONE_YEAR_MILLISECONDS = 365 * 24 * 3600 * 1000
ERLANG_OPTIONS = (
    # Erlang's schedulers spin while they wait, which a machine with two cores feels.
    *("+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"),
    *("-kernel", "inet_dist_use_interface", "{127,0,0,1}"),
    "-noinput",
)


@dataclass(frozen=True, kw_only=True)
class Node:
    """Everything that sets one Erlang node apart from any other on this machine."""

    folder: Path
    port: int
    distribution_port: int
    epmd_port: int
    password: str
    home: Installation | None
    """Where its programs are; None: in a container."""
    plugins: tuple[str, ...] = ()
    management_port: int = 0
    more_settings: str = ""
    """Lines for rabbitmq.conf."""

    @property
    def name(self) -> str:
        return f"mission-{self.port}@localhost"

    @property
    def url(self) -> str:
        return f"amqp://{USER}:{self.password}@{LOOPBACK}:{self.port}/"


VHOSTS_AT_ONCE = 16
"""Each costs 25 ms, the question half a second."""


class RabbitServer(Server):
    """A running RabbitMQ; `url` is its AMQP address, user and password included."""

    def __init__(self, processes: list[Process], node: Node) -> None:
        super().__init__(processes)
        self.node = node
        self._spare_vhosts: list[str] = []

    @property
    def port(self) -> int:
        return self.node.port

    @property
    def url(self) -> str:
        return self.node.url

    @property
    def management_url(self) -> str:
        """Its management API, user and password included; only where that plugin was asked for."""
        node = self.node
        return f"http://{USER}:{node.password}@{LOOPBACK}:{node.management_port}"

    def fresh_vhost(self) -> str:
        """Return the URL of an empty virtual host that nobody else was given: same names, other queues."""
        if not self._spare_vhosts:
            self._spare_vhosts = [f"v-{secrets.token_hex(4)}" for _ in range(VHOSTS_AT_ONCE)]
            self.evaluate(_make_vhosts(self._spare_vhosts))
        return self.url + self._spare_vhosts.pop()

    def settle(self) -> None:
        """Make sure that queues declared just now survive a kill.

        The broker saves a quorum queue's registration half a second late (3.10's ra keeps it in a DETS table); killed
        before that, the queue comes back without a leader and never answers again. Messages are not concerned.
        """
        self.evaluate("[dets:sync(Table) || Table <- dets:all()].")

    def evaluate(self, erlang: str) -> str:
        """Run an Erlang expression inside the broker, for what AMQP cannot ask; returns its value as text."""
        return self.control("eval", erlang)

    def control(self, *arguments: str) -> str:
        """Do what an administrator does with rabbitmqctl; returns what it prints."""
        done = subprocess.run(
            _control(self.node, *arguments),
            env={**os.environ, **_environment(self.node)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            raise StackError(f"RabbitMQ refused `{' '.join(arguments)}`: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()


def _make_vhosts(names: list[str]) -> str:
    """Erlang's own calls: rabbitmqctl has no command for many at once."""
    all_of_it = ", ".join(['<<".*">>'] * 3)
    return (
        " ".join(
            f'ok = rabbit_vhost:add(<<"{name}">>, <<"{USER}">>), '
            f'rabbit_auth_backend_internal:set_permissions(<<"{USER}">>, <<"{name}">>, {all_of_it}, <<"{USER}">>),'
            for name in names
        ).removesuffix(",")
        + "."
    )


def _control(node: Node, *arguments: str) -> tuple[str, ...]:
    if node.home is None:
        return ("docker", "exec", containers.name("rabbitmq", node.port), "rabbitmqctl", *arguments)
    return node.home.command(node.folder, "rabbitmqctl", *arguments)


@contextlib.contextmanager
def rabbitmq_server(
    state: Path, pair: Pair | None = None, *, plugins: tuple[str, ...] = (), more_settings: str = ""
) -> Iterator[RabbitServer]:
    """Run a RabbitMQ of our own in `<state>/rabbitmq`, on a free port, until the block ends.

    Plugins and settings are for tests that need more than AMQP of it; a container has none of them.
    """
    with own_folder(state, "rabbitmq") as folder:
        node = _new_node(folder, pair or pairs.chosen(), plugins, more_settings)
        server = RabbitServer([Process(launch) for launch in _launches(node)], node)
        with server.running():
            yield server


def _new_node(folder: Path, pair: Pair, plugins: tuple[str, ...], more_settings: str) -> Node:
    return Node(
        plugins=plugins,
        management_port=free_port() if MANAGEMENT in plugins else 0,
        more_settings=more_settings,
        folder=folder,
        port=free_port(),
        distribution_port=free_port(),
        epmd_port=free_port(),
        password=secrets.token_hex(12),
        home=pairs.installation(pair, "rabbitmq-server"),
    )


def _launches(node: Node) -> list[Launch]:
    if node.home is None:
        return [containers.rabbitmq(node.folder, node.port, user=USER, password=node.password)]
    _write_settings(node)
    node.home.hand_over(node.folder)
    return [_epmd(node, node.home), _broker(node, node.home)]


def _epmd(node: Node, home: Installation) -> Launch:
    """Started by us in the foreground, because the one that Erlang starts is a daemon nobody ends."""
    return Launch(
        name="epmd (Erlang's port mapper)",
        command=home.command(node.folder, "epmd", "-port", str(node.epmd_port), "-address", LOOPBACK),
        environment=home.environment,
        is_ready=lambda: probes.accepts(node.epmd_port),
        log=node.folder / "epmd.log",
    )


def _broker(node: Node, home: Installation) -> Launch:
    return Launch(
        name="RabbitMQ",
        command=home.command(node.folder, "rabbitmq-server"),
        environment=_environment(node),
        is_ready=lambda: probes.rabbitmq_answers(node.port),
        log=node.folder / "rabbitmq.log",
        patience_seconds=120,
    )


def _write_settings(node: Node) -> None:
    (node.folder / "conf.d").mkdir()
    (node.folder / "rabbitmq.conf").write_text(_settings(node))
    (node.folder / "advanced.config").write_text("[].\n")
    (node.folder / "enabled_plugins").write_text(f"[{','.join(node.plugins)}].\n")
    (node.folder / "rabbitmq-env.conf").write_text("")


def _settings(node: Node) -> str:
    management = f"management.tcp.ip = {LOOPBACK}\nmanagement.tcp.port = {node.management_port}\n"
    more = (management if node.management_port else "") + node.more_settings
    return f"""\
listeners.tcp.1 = {LOOPBACK}:{node.port}
default_user = {USER}
default_pass = {node.password}
consumer_timeout = {ONE_YEAR_MILLISECONDS}
disk_free_limit.absolute = 50MB
log.console = true
log.console.level = info
log.connection.level = warning
{more}"""


def _environment(node: Node) -> dict[str, str]:
    if node.home is None:
        return {}
    folder = node.home.inside(node.folder)
    return {
        **node.home.environment,
        "HOME": str(folder),  # the cookie is made here
        "ERL_EPMD_PORT": str(node.epmd_port),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RABBITMQ_NODENAME": node.name,
        "RABBITMQ_DIST_PORT": str(node.distribution_port),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONFIG_FILES": str(folder / "conf.d"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": " ".join(ERLANG_OPTIONS),
        "RABBITMQ_ALLOW_INPUT": "1",  # the script becomes the server, so that its death is the server's
    }
