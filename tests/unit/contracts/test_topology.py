"""Exchanges and queues as values."""

import pytest

from mission_contracts.mission import Priority
from mission_contracts.topology import DEAD, FIXED_QUEUES, MISSIONS, STATUS, Queue, orders_of, queues_of


def test_a_pools_queues_come_high_first() -> None:
    assert [queue.name for queue in queues_of("shop", "images")] == [
        "missions.orders.shop.images.high",
        "missions.orders.shop.images",
    ]


def test_no_two_pools_share_a_queue() -> None:
    """A DNS label holds no dot, so the parts of a name cannot be confused."""
    places = [("a", "b"), ("a", "b-high"), ("a-b", "high"), ("b", "a")]
    names = {queue.name for place in places for queue in queues_of(*place)}
    assert len(names) == 2 * len(places)


@pytest.mark.parametrize("priority", Priority)
def test_orders_go_to_the_dead_letters_when_they_are_returned_too_often(priority: Priority) -> None:
    arguments = orders_of("shop", "images", priority).arguments()
    assert (arguments["x-queue-type"], arguments["x-delivery-limit"]) == ("quorum", 50)
    assert (arguments["x-dead-letter-exchange"], arguments["x-dead-letter-routing-key"]) == (MISSIONS.name, DEAD.key)
    # Quorum queues dead-letter at least once only together with this.
    assert (arguments["x-dead-letter-strategy"], arguments["x-overflow"]) == ("at-least-once", "reject-publish")


@pytest.mark.parametrize("queue", FIXED_QUEUES, ids=lambda queue: queue.name)
def test_fixed_queues_never_drop_what_was_returned(queue: Queue) -> None:
    assert queue.arguments()["x-delivery-limit"] == 1_000_000
    assert "x-dead-letter-exchange" not in queue.arguments()


def test_one_commander_at_a_time_reads_the_reports() -> None:
    assert [queue for queue in FIXED_QUEUES if "x-single-active-consumer" in queue.arguments()] == [STATUS]


def test_a_processes_own_queue_is_bounded() -> None:
    assert Queue(name="mine", bound_to=MISSIONS, key="mine", transient=True).arguments() == {
        "x-max-length": 10_000,
        "x-max-length-bytes": 16 * 1024 * 1024,
    }
