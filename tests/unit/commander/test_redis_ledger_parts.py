"""The Redis ledger's decisions that need no Redis: whom to connect to and when, and what to tell people."""

from importlib import resources

import msgspec
import pytest
from redis import exceptions
from support.ledger_probe import a_mission, changed, dead, finished

from mission_commander.adapters import redis_codec, redis_errors
from mission_commander.adapters.ledger_rules import Indexes, indexes_of
from mission_commander.adapters.redis_durability import judge, judge_refusal
from mission_commander.adapters.redis_ledger import RedisSettings
from mission_commander.adapters.redis_nodes import LONGEST_REST_SECONDS, Nodes
from mission_commander.domain.record import Mission
from mission_commander.ports import Change, LedgerAwayError
from mission_contracts.envelope import Door
from mission_contracts.mission import Reason

DURABLE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}

# Indexes.


@pytest.mark.parametrize(
    ("mission", "expected"),
    [
        pytest.param(a_mission(), Indexes(is_live=True, purgeable_since=None, dead_since=None), id="one that waits"),
        pytest.param(
            finished(a_mission(), 5.0), Indexes(is_live=False, purgeable_since=5.0, dead_since=None), id="a final one"
        ),
        pytest.param(
            finished(a_mission(door=Door.CLUSTER), 5.0),
            Indexes(is_live=False, purgeable_since=None, dead_since=None),
            id="a final one whose object may not show it yet",
        ),
        pytest.param(
            finished(a_mission(door=Door.CLUSTER), 5.0, acknowledged=True),
            Indexes(is_live=False, purgeable_since=5.0, dead_since=None),
            id="a final one whose object shows it",
        ),
        pytest.param(
            dead(a_mission(), 5.0), Indexes(is_live=False, purgeable_since=5.0, dead_since=5.0), id="a dead letter"
        ),
    ],
)
def test_a_record_says_where_it_is_found(mission: Mission, expected: Indexes) -> None:
    assert indexes_of(mission) == expected


def test_a_change_fills_as_many_fields_as_the_script_reads() -> None:
    script = (resources.files("mission_commander.adapters") / "lua" / "commit.lua").read_text()
    one = a_mission()
    changes = [Change(changed(one), one.sequence, hands_out=True), Change(finished(one), one.sequence)]
    fields = list(redis_codec.arguments_of(changes))
    assert f"STRIDE = 11, {len(fields) // 2}\n" in script


def test_a_record_of_a_newer_commander_is_read_and_passed_on_word_for_word() -> None:
    known = redis_codec.encode(msgspec.structs.replace(a_mission(), reason=Reason.RUNNING))
    written = known.replace(b"\xa7Running", b"\xaeNotYetInvented")
    assert written != known, "the record names its reason"
    read = redis_codec.mission_of(written)
    assert read.reason == "NotYetInvented"
    assert redis_codec.encode(read) == written


@pytest.mark.parametrize("seconds", [0.1 + 0.2, 1_700_000_000.1234567, 1e-9, 0.0])
def test_a_time_is_written_so_that_it_reads_the_same(seconds: float) -> None:
    assert float(redis_codec.score(seconds)) == seconds


# Durability.


def test_settings_as_the_design_has_them_are_durable() -> None:
    assert judge(DURABLE).is_strong


@pytest.mark.parametrize(
    ("name", "held"), [("appendonly", "no"), ("appendfsync", "everysec"), ("maxmemory-policy", "allkeys-lru")]
)
def test_a_weak_setting_is_named_with_its_cure(name: str, held: str) -> None:
    found = judge({**DURABLE, name: held})
    assert not found.is_strong
    assert f"{name} {held}" in found.why_weak
    assert f"set {name} {DURABLE[name]}" in found.why_weak


def test_settings_that_redis_keeps_to_itself_are_weak() -> None:
    assert not judge({}).is_strong


def away(error: Exception) -> LedgerAwayError:
    """The error as the wire raises it."""
    found = redis_errors.away(error)
    found.__cause__ = error
    return found


@pytest.mark.parametrize(
    "error",
    [
        exceptions.NoPermissionError("this user has no permissions"),
        exceptions.ResponseError("unknown command 'CONFIG'"),
    ],
    ids=["forbidden", "renamed"],
)
def test_settings_that_may_not_be_read_are_weak(error: Exception) -> None:
    assert "CONFIG GET" in judge_refusal(away(error)).why_weak


def test_a_redis_that_is_away_is_not_called_weak() -> None:
    with pytest.raises(LedgerAwayError):
        judge_refusal(away(exceptions.ConnectionError("gone")))


# Errors.


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (exceptions.OutOfMemoryError("OOM command not allowed"), "raise maxmemory"),
        (exceptions.ReadOnlyError("You can't write"), "failover"),
        (exceptions.MasterDownError("Link with MASTER is down"), "lost its primary"),
        (exceptions.BusyLoadingError("Redis is loading"), "loading its data"),
        (exceptions.AuthenticationError("invalid"), "check user and password"),
        (exceptions.NoPermissionError("no permissions"), "grant it by ACL"),
        (exceptions.ConnectionError("Connection reset"), "connection to Redis failed"),
        (exceptions.TimeoutError("Timeout"), "did not answer in time"),
        (TimeoutError(), "did not answer in time"),
        (OSError("Network is unreachable"), "connection to Redis failed"),
        (exceptions.ResponseError("MISCONF Errors writing to the AOF file"), "make room on the disk"),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas to write"), "lost the replicas"),
        (exceptions.ResponseError("BUSY Redis is busy running a script"), "BUSY"),
    ],
)
def test_each_error_is_told_in_one_sentence(error: Exception, sentence: str) -> None:
    text = str(redis_errors.away(error))
    assert sentence in text
    assert "\n" not in text


def test_a_long_answer_is_cut() -> None:
    assert len(str(redis_errors.away(exceptions.ResponseError("x" * 9000 + "\nmore")))) < 400


# Nodes.


class Time:
    """A monotonic clock that a test turns by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def nodes(*hosts: str, time: Time) -> Nodes:
    return Nodes([f"redis://{host}:6379/0" for host in hosts], client_name="test", monotonic=time)


def host(found: Nodes) -> str:
    return str(getattr(found.connection(), "host", ""))


def test_the_nodes_are_tried_in_turn_before_anybody_rests() -> None:
    found = nodes("a", "b", time=Time())
    assert host(found) == "a"
    found.failed(found.generation)
    assert host(found) == "b"
    found.failed(found.generation)
    with pytest.raises(LedgerAwayError, match="tried again in"):
        found.connection()


def test_rests_grow_up_to_a_bound_and_end() -> None:
    time = Time()
    found = nodes("a", time=time)
    for _ in range(30):
        found.failed(found.generation)
        time.seconds += LONGEST_REST_SECONDS
        assert host(found) == "a"


def test_one_failure_counts_once_however_many_felt_it() -> None:
    found = nodes("a", "b", "c", time=Time())
    generation = found.generation
    for _ in range(50):
        found.failed(generation)
    assert host(found) == "b"


def test_a_node_that_works_ends_the_count() -> None:
    time = Time()
    found = nodes("a", time=time)
    for _ in range(10):
        found.failed(found.generation)
    time.seconds += LONGEST_REST_SECONDS
    found.works()
    found.failed(found.generation)
    time.seconds += 0.05
    assert host(found) == "a"


def test_a_ledger_without_url_is_refused() -> None:
    with pytest.raises(ValueError, match="give at least one"):
        Nodes([], client_name="test")


def test_settings_never_show_a_password() -> None:
    assert "secret" not in repr(RedisSettings(urls=("redis://user:secret@localhost:6379/0",)))
