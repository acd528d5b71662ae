"""Thousands of made-up requests, fitting and not: no 5xx, and no answer that the description does not have."""

from contextlib import closing

import pytest
from support.api_fuzzing import Fuzzer, assert_widely_spread, commander_in_a_thread


@pytest.mark.timeout(600)
def test_two_thousand_requests() -> None:
    with commander_in_a_thread() as (url, authorizations), closing(Fuzzer(url, authorizations)) as fuzzer:
        fuzzer.try_bounds()
        fuzzer.try_at_random(examples=10)
        fuzzer.tell_stories(20)
    assert fuzzer.cases >= 2_000
    assert_widely_spread(fuzzer)


@pytest.mark.long
@pytest.mark.timeout(7_200)
def test_fifty_thousand_requests() -> None:
    with (
        commander_in_a_thread() as (url, authorizations),
        closing(Fuzzer(url, authorizations, is_repeatable=False)) as fuzzer,
    ):
        fuzzer.try_bounds()
        while fuzzer.cases < 50_000:
            fuzzer.try_at_random(examples=100)
            fuzzer.tell_stories(100)
    assert_widely_spread(fuzzer)
