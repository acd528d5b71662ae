"""A RabbitMQ that makes users, and one that asks us for each permission: what soldiers and Commander really use."""

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs

from tools.stack.ports import LOOPBACK

from mission_contracts.broker_rights import Grants

MANAGEMENT: Final = "rabbitmq_management"
ASKS_OVER_HTTP: Final = "rabbitmq_auth_backend_http"


class Judge:
    """Grants what it was told to, and remembers by which of its grants."""

    def __init__(self) -> None:
        self.grants: dict[str, Grants] = {}
        """By the user's name."""
        self.used: dict[str, set[tuple[str, str]]] = {}
        """By the user's name: permission and pattern."""
        self.refused: set[tuple[str, str, str]] = set()
        """User, permission and the resource's name."""

    def allows(self, user: str, permission: str, name: str) -> bool:
        if user not in self.grants:
            return True  # the administrator
        patterns: tuple[str, ...] = getattr(self.grants[user], permission)
        fitting = {(permission, pattern) for pattern in patterns if re.fullmatch(pattern, name)}
        self.used.setdefault(user, set()).update(fitting)
        if not fitting:
            self.refused.add((user, permission, name))
        return bool(fitting)


@contextlib.contextmanager
def judging(judge: Judge) -> Iterator[str]:
    """Answer RabbitMQ's questions; gives the settings that make it ask them."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self._answer("allow" if self._is_allowed({name: values[0] for name, values in asked.items()}) else "deny")

        def _is_allowed(self, asked: Mapping[str, str]) -> bool:
            if self.path != "/resource":
                return True
            return judge.allows(asked["username"], asked["permission"], asked["name"])

        def _answer(self, text: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
            """Say nothing."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield _settings(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _settings(port: int) -> str:
    paths = "".join(f"auth_http.{path}_path = http://{LOOPBACK}:{port}/{path}\n" for path in
                    ("user", "vhost", "resource", "topic"))  # fmt: skip
    backends = "auth_backends.1.authn = internal\nauth_backends.1.authz = http\nauth_http.http_method = post\n"
    return backends + paths
