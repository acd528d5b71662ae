"""Every way to break the product that we know, by name."""

from collections.abc import Mapping
from typing import Final

from chaos.faults.base import Clock, Fault, Stuck
from chaos.faults.floods import FLOODS
from chaos.faults.keys import KEYS
from chaos.faults.network import NETWORK
from chaos.faults.processes import PROCESSES
from chaos.faults.queues import QUEUES
from chaos.faults.stores import STORES

FAULTS: Final[Mapping[str, type[Fault]]] = {
    kind.name: kind for kind in (*PROCESSES, *NETWORK, *QUEUES, *STORES, *FLOODS, *KEYS)
}

__all__ = ["FAULTS", "Clock", "Fault", "Stuck"]
