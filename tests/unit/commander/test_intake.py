"""What a consumer holds is bounded in bytes, and what goes back keeps its order."""

import asyncio
from collections.abc import Mapping
from typing import Any

from mission_commander.services.intake import MAX_BATCH, MAX_BATCH_BYTES, Intake, size_of

MIB = 1024 * 1024


class Message:
    """A delivery, as far as an intake looks at it."""

    redelivered, is_alive = False, True
    headers: Mapping[str, str] = {}

    def __init__(self, number: int, size: int) -> None:
        self.number, self.size, self.body, self.said = number, size, b"x" * size, ""

    def give_back(self) -> None:
        self.said = "given back"

    def ack(self) -> None:
        self.said = "acknowledged"

    def dead_letter(self) -> None:
        self.said = "dead-lettered"

    def forget_body(self) -> None:
        self.body = b""


class Subscription:
    """Notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.is_consuming = True

    def set_prefetch(self, count: int) -> None:
        self.asked.append(count)

    async def hold(self, count: int) -> None:
        self.asked.append(count)

    async def pause(self) -> None:
        self.is_consuming = False


def messages(count: int, size: int) -> list[Message]:
    return [Message(number, size) for number in range(count)]


async def settle_one_batch(intake: Intake, consumer: Subscription) -> list[Any]:
    batch = await intake.next_batch(consumer)
    intake.settled(consumer, size_of(batch))
    return list(batch)


async def test_what_exceeds_the_bound_goes_back_with_all_that_follows() -> None:
    intake = Intake(200, max_bytes=10 * MIB)
    arrived = [*messages(3, 4 * MIB), *messages(1, 10)]
    intake.take(arrived)
    assert [one.said for one in arrived] == ["", "", "given back", "given back"]
    assert intake.held_bytes == 8 * MIB


async def test_then_nothing_is_taken_until_half_is_settled_and_fewer_afterwards() -> None:
    intake, consumer = Intake(200, max_bytes=10 * MIB), Subscription()
    intake.take(messages(3, 4 * MIB))
    assert len(await settle_one_batch(intake, consumer)) == 1
    assert consumer.asked == [0, 2], "as many as fit at the size of the largest"
    assert intake.held_bytes == 4 * MIB


async def test_after_enough_small_ones_as_many_are_held_as_at_first() -> None:
    intake, consumer = Intake(200, max_bytes=10 * MIB), Subscription()
    intake.take(messages(3, 4 * MIB))
    for _ in range(2):
        await settle_one_batch(intake, consumer)
    for _ in range(3):
        intake.take(messages(100, 10))
        await settle_one_batch(intake, consumer)
    assert consumer.asked == [0, 2, 200]


async def test_a_single_message_is_held_however_large_it_is() -> None:
    intake, consumer = Intake(200, max_bytes=MIB), Subscription()
    [only] = messages(1, 4 * MIB)
    intake.take([only])
    assert await settle_one_batch(intake, consumer) == [only]
    assert intake.held_bytes == 0


async def test_a_batch_is_bounded_in_number_and_in_bytes() -> None:
    intake, consumer = Intake(1_000), Subscription()
    intake.take([*messages(MAX_BATCH + 1, 10), *messages(3, MAX_BATCH_BYTES // 2)])
    sizes = [len(await settle_one_batch(intake, consumer)) for _ in range(3)]
    assert sizes == [MAX_BATCH, 2, 2]


async def test_an_end_of_the_subscription_frees_all() -> None:
    intake, consumer = Intake(200, max_bytes=MIB), Subscription()
    intake.take(messages(5, MIB))
    intake.clear()
    assert intake.held_bytes == 0
    waiting = asyncio.ensure_future(intake.next_batch(consumer))
    await asyncio.sleep(0)
    intake.take(messages(1, 10))
    assert len(await waiting) == 1
    assert consumer.asked == []
