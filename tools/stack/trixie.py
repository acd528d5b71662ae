"""RabbitMQ 4.0 and Redis 8 of Debian trixie, in a root file system that is made once per user."""

import hashlib
from pathlib import Path

from tools.stack import debian
from tools.stack.installations import STATE, InDebian

PACKAGES = ("rabbitmq-server", "redis-server")
SCRIPT = f"""
mkdir {STATE}
echo '127.0.0.1 localhost' > /etc/hosts
rm -rf /var/lib/rabbitmq/.erlang.cookie /var/lib/rabbitmq/mnesia
"""
"""Erlang finds itself as `localhost`; the cookie that the package made must not be everybody's."""


def installation() -> InDebian:
    return InDebian(_root())


def is_made() -> bool:
    return _root().is_dir()


def make() -> None:
    """Make it if it is missing: about two minutes the first time."""
    root = _root()
    with debian.only_maker(root.parent, "making.lock"):
        if not root.is_dir():
            _make(root)


def _make(root: Path) -> None:
    plain = debian.plain()
    print("Installing RabbitMQ and Redis into a Debian trixie of their own, once on this machine.", flush=True)
    with debian.unfinished(root.parent, f"making {root.name}") as scratch:
        made = scratch / "root"
        meaning = "there is no second pair of servers"
        debian.furnish(made, plain, PACKAGES, SCRIPT, meaning=meaning, log=root.parent / f"{root.name}.log")
        made.rename(root)


def _root() -> Path:
    """Name it after its recipe: another recipe makes another root, and servers that run in this one are left alone."""
    recipe = hashlib.sha256(repr((PACKAGES, SCRIPT)).encode()).hexdigest()[:12]
    return debian.home() / "roots" / f"servers-{recipe}"
