"""Which addresses a node uses: one /16 of its own, the first that no route of this machine already knows."""

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from tools.cluster.errors import ClusterError

CANDIDATES = tuple(IPv4Network(f"10.{number}.0.0/16") for number in range(200, 220))


@dataclass(frozen=True)
class Addresses:
    """The parts of one block."""

    block: IPv4Network

    @property
    def host(self) -> IPv4Address:
        """This machine's end of the link."""
        return self.block[1]

    @property
    def node(self) -> IPv4Address:
        """The node's end: API server, kubelet and DNS are here."""
        return self.block[2]

    @property
    def pods(self) -> IPv4Network:
        return self._quarters[1]

    @property
    def services(self) -> IPv4Network:
        return self._quarters[2]

    @property
    def api_service(self) -> IPv4Address:
        """What pods know as `kubernetes.default`."""
        return self.services[1]

    @property
    def _quarters(self) -> list[IPv4Network]:
        return list(self.block.subnets(new_prefix=18))


def choose(taken: Iterable[IPv4Network]) -> Addresses:
    """Take the first candidate that overlaps with nothing."""
    known = list(taken)
    free = (block for block in CANDIDATES if not any(block.overlaps(other) for other in known))
    block = next(free, None)
    if block is None:
        raise ClusterError(
            f"Every network from {CANDIDATES[0]} to {CANDIDATES[-1]} has a route already, so a node would hide "
            "something: end another cluster (make cluster-down CLUSTER=…), or remove one of these routes."
        )
    return Addresses(block)


def routed() -> list[IPv4Network]:
    """Return where this machine already knows a way to, but for the default route."""
    told = subprocess.run(["ip", "-json", "-4", "route"], capture_output=True, text=True, check=True, timeout=10).stdout
    destinations = (str(route["dst"]) for route in json.loads(told or "[]"))
    return [IPv4Network(destination) for destination in destinations if destination != "default"]
