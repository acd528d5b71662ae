"""How to tell that a server serves: one question on its port, no client library."""

import socket
import ssl
import urllib.request
from pathlib import Path

from tools.stack.ports import LOOPBACK

TIMEOUT_SECONDS = 2.0


def redis_answers(port: int) -> bool:
    """Say PING: while Redis loads its file it answers LOADING, which is not yet an answer."""
    return _ask(port, b"PING\r\n").startswith(b"+PONG")


def rabbitmq_answers(port: int) -> bool:
    """Say the protocol header: a booted broker answers with a method frame (type 1), Connection.Start."""
    return _ask(port, b"AMQP\x00\x00\x09\x01").startswith(b"\x01")


def accepts(port: int, host: str = LOOPBACK) -> bool:
    """Whether anything listens there."""
    try:
        socket.create_connection((host, port), TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True


def accepts_unix(path: Path) -> bool:
    """Whether anything listens on this socket; a file that a killed program left does not."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def https_is_ok(url: str, authority: Path) -> bool:
    """GET says 200, from a server that this authority vouches for."""
    context = ssl.create_default_context(cafile=str(authority))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(url, timeout=TIMEOUT_SECONDS):
            return True
    except OSError:
        return False


def _ask(port: int, question: bytes) -> bytes:
    try:
        with socket.create_connection((LOOPBACK, port), TIMEOUT_SECONDS) as connection:
            connection.sendall(question)
            return connection.recv(64)
    except OSError:
        return b""
