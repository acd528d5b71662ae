"""The page of queues names what is declared, and what a rejected message tells."""

from pathlib import Path

import pytest

from mission_broker import rejecting
from mission_contracts import topology
from mission_contracts.mission import Priority

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "queues.md").read_text()
OF_A_POOL = [topology.orders_of("<namespace>", "<pool>", priority) for priority in Priority]
HEADERS = [
    rejecting.REASON_HEADER,
    rejecting.DEFECT_HEADER,
    rejecting.QUEUE_HEADER,
    rejecting.BYTES_HEADER,
    rejecting.AT_HEADER,
]


@pytest.mark.parametrize("queue", [*topology.FIXED_QUEUES, *OF_A_POOL], ids=lambda queue: queue.name)
def test_each_queue_is_told(queue: topology.Queue) -> None:
    assert f"\n| `{queue.name}` |" in PAGE


@pytest.mark.parametrize("header", HEADERS)
def test_each_header_is_told(header: str) -> None:
    assert f"\n| `{header}` |" in PAGE


def test_the_bounds_are_those_in_force() -> None:
    assert f"at most {rejecting.MOST_KEPT_BYTES // 1024} KiB" in PAGE
    assert f"came back {topology.ORDERS_DELIVERY_LIMIT} times" in PAGE
