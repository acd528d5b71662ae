"""Which publish an answer of the broker belongs to."""

import asyncio

from mission_broker.port import Message, Outcome
from mission_broker.rabbitmq.backoff import Backoff
from mission_broker.rabbitmq.publishing import CHUNK_BYTES, CHUNK_MESSAGES, Chunk, Confirms, _chunked
from mission_contracts.topology import Exchange


def a_chunk(confirms: Confirms, count: int) -> Chunk:
    chunk = Chunk(confirms.last_tag + 1, count, asyncio.get_running_loop().create_future())
    confirms.expect(chunk)
    return chunk


async def test_one_answer_may_settle_several_publishes() -> None:
    confirms = Confirms()
    first, second, third = (a_chunk(confirms, 3) for _ in range(3))
    confirms.settle(7, multiple=True, outcome=Outcome.CONFIRMED)

    assert first.outcomes == second.outcomes == [Outcome.CONFIRMED] * 3
    assert third.outcomes == [Outcome.CONFIRMED, None, None]
    assert (first.answered.done(), third.answered.done(), len(confirms)) == (True, False, 2)


async def test_answers_out_of_order_find_their_messages() -> None:
    confirms = Confirms()
    chunk = a_chunk(confirms, 4)
    confirms.settle(3, multiple=False, outcome=Outcome.REFUSED)
    confirms.settle(4, multiple=False, outcome=Outcome.CONFIRMED)
    confirms.settle(2, multiple=True, outcome=Outcome.CONFIRMED)

    assert chunk.outcomes == [Outcome.CONFIRMED, Outcome.CONFIRMED, Outcome.REFUSED, Outcome.CONFIRMED]
    assert chunk.answered.done()


async def test_an_answer_to_all_is_an_answer_to_each() -> None:
    confirms = Confirms()
    chunk = a_chunk(confirms, 2)
    confirms.settle(0, multiple=True, outcome=Outcome.CONFIRMED)

    assert chunk.outcomes == [Outcome.CONFIRMED] * 2


async def test_a_returned_message_is_unroutable_though_it_is_confirmed() -> None:
    confirms = Confirms()
    chunk = a_chunk(confirms, 2)
    confirms.returned(2)
    assert not chunk.answered.done()
    confirms.settle(2, multiple=True, outcome=Outcome.CONFIRMED)

    assert chunk.outcomes == [Outcome.CONFIRMED, Outcome.UNROUTABLE]


async def test_an_answer_about_something_unknown_changes_nothing() -> None:
    confirms = Confirms()
    chunk = a_chunk(confirms, 1)
    confirms.returned(99)
    confirms.settle(99, multiple=False, outcome=Outcome.CONFIRMED)

    assert chunk.outcomes == [None]


async def test_the_end_wakes_everybody_and_keeps_what_was_said() -> None:
    confirms = Confirms()
    half, none = a_chunk(confirms, 2), a_chunk(confirms, 2)
    confirms.settle(1, multiple=False, outcome=Outcome.CONFIRMED)
    confirms.release_all()

    assert half.answered.done()
    assert none.answered.done()
    assert half.outcomes == [Outcome.CONFIRMED, None]


async def test_a_publisher_that_left_is_no_error() -> None:
    confirms = Confirms()
    chunk = a_chunk(confirms, 1)
    chunk.answered.cancel()
    confirms.settle(1, multiple=False, outcome=Outcome.CONFIRMED)

    assert len(confirms) == 0


def test_a_batch_is_cut_by_count_and_by_size_and_loses_nothing() -> None:
    small = [Message(exchange=Exchange("e"), key="k", body=b"x")] * (2 * CHUNK_MESSAGES + 1)
    large = [Message(exchange=Exchange("e"), key="k", body=b"x" * (CHUNK_BYTES // 2))] * 3

    assert [len(chunk) for chunk in _chunked(small)] == [CHUNK_MESSAGES, CHUNK_MESSAGES, 1]
    assert [len(chunk) for chunk in _chunked(large)] == [2, 1]
    assert list(_chunked([])) == []


def test_waits_grow_to_their_bound_and_are_never_all_alike() -> None:
    backoff = Backoff(0.05, 2)
    waits = [backoff.next() for _ in range(12)]

    assert 0.025 <= waits[0] <= 0.05
    assert all(1 <= wait <= 2 for wait in waits[7:])
    assert len(set(waits)) == len(waits)


def test_only_what_lasted_starts_the_waits_anew() -> None:
    backoff = Backoff(0.05, 2)
    for _ in range(10):
        backoff.next()
    backoff.lasted(0.1)
    assert backoff.next() >= 1
    backoff.lasted(60)
    assert backoff.next() <= 0.05
