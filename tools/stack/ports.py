"""Free ports on the loopback address."""

import random
import socket

from tools.stack.errors import StackError

LOOPBACK = "127.0.0.1"
CANDIDATES = range(20_000, 32_000)
"""Below the range that the kernel lends to outgoing connections.

A server of ours is killed and started again on the same port; a client that retries meanwhile must not be lent
that very port as its own end, nor connect to itself.
"""


def free_port() -> int:
    """Return a port that nothing listens on now; another program may still take it before we do."""
    for port in random.sample(CANDIDATES, k=200):
        if _is_free(port):
            return port
    span = f"{CANDIDATES.start} and {CANDIDATES.stop}"
    raise StackError(f"No free port found between {span} on {LOOPBACK}: stop a few servers and retry.")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
