"""What only a real Redis can do to a ledger: die, freeze, forget, refuse, and cut connections in the middle."""

import asyncio
import contextlib
import itertools
import math
import random
from collections.abc import AsyncIterator
from functools import partial
from importlib import resources

import pytest
import redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from support.ledger_probe import (
    ERA,
    NONE,
    PATIENCE_SECONDS,
    PAYLOAD,
    RedisStage,
    a_mission,
    all_live,
    changed,
    creation,
    dead,
    finished,
    must,
    put,
    redis_stage,
    step,
    waiting_for_events,
    when_back,
)
from support.patience import until
from tools import stack
from tools.stack.ports import free_port

from mission_commander.adapters import redis_codec as codec
from mission_commander.adapters.redis_ledger import RedisLedger, RedisSettings, connect
from mission_commander.domain.owners import MISSION_BYTES
from mission_commander.domain.record import Mission
from mission_commander.ports import (
    Change,
    Committed,
    EraChangedError,
    LedgerAwayError,
    LedgerFullError,
    RolledBackError,
    Stored,
    StoreMemory,
    order_of,
)
from mission_contracts.mission import Era, MissionId

pytestmark = pytest.mark.real

OPERATION_SECONDS = 0.5


@pytest.fixture
async def stage(redis_server: stack.RedisServer) -> AsyncIterator[RedisStage]:
    """Our own Redis, empty: these tests break it."""
    async with redis_stage(redis_server.url, operation_seconds=OPERATION_SECONDS) as ours:
        await ours.command("FLUSHALL")
        yield ours
        await asyncio.to_thread(redis_server.thaw)
        await asyncio.to_thread(redis_server.start)
        await ours.command("FLUSHALL")


@pytest.fixture
async def ledger(stage: RedisStage) -> RedisLedger:
    ledger = await stage.another()
    await ledger.begin_era(ERA)
    return ledger


async def test_every_change_that_was_answered_survives_kill_9(
    ledger: RedisLedger, redis_server: stack.RedisServer
) -> None:
    answered: dict[MissionId, Mission] = {}
    enough = asyncio.Event()

    async def write(writer: int) -> None:
        for number in range(10_000):
            mission = a_mission(f"{writer}-{number}")
            [answer] = await ledger.commit(ERA, [creation(mission, hands_out=True)])
            assert isinstance(answer, Committed)
            answered[mission.id] = mission
            if len(answered) > 200:
                enough.set()

    writers = [asyncio.create_task(write(writer)) for writer in range(8)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        await enough.wait()
        await asyncio.to_thread(redis_server.kill)
        ends = await asyncio.gather(*writers, return_exceptions=True)
    assert [type(end) for end in ends] == [LedgerAwayError] * 8

    await asyncio.to_thread(redis_server.start)
    assert await when_back(ledger.era) == ERA
    live = await all_live(ledger)
    assert {mission_id: live.get(mission_id) for mission_id in answered} == answered
    assert set(answered) <= {entry.mission_id for entry in await ledger.outbox(100_000)}
    # What was under way may be there or not, but never more than one commit of each writer.
    assert len(live) <= len(answered) + 8


async def test_a_restart_while_nothing_was_asked_is_not_noticed(
    ledger: RedisLedger, redis_server: stack.RedisServer
) -> None:
    mission = a_mission()
    await put(ledger, mission)
    await asyncio.to_thread(redis_server.restart)
    # Neither the idle connection, which is dead, nor the script, which is forgotten, costs an answer.
    await must(ledger, step(mission, changed(mission)))
    assert await ledger.fetch([mission.id]) == [Stored(changed(mission), PAYLOAD)]


async def test_a_flushed_redis_is_in_no_era_and_takes_nothing(ledger: RedisLedger, stage: RedisStage) -> None:
    mission = a_mission()
    await put(ledger, mission)
    await stage.command("FLUSHALL")
    assert await ledger.era() is None
    with pytest.raises(EraChangedError):
        await ledger.commit(ERA, [step(mission, changed(mission)), creation(a_mission("new"))])
    assert await stage.command("DBSIZE") == 0


async def test_a_frozen_redis_is_away_within_the_deadline_and_answers_rightly_when_it_thaws(
    ledger: RedisLedger, redis_server: stack.RedisServer
) -> None:
    one, two = a_mission("one"), a_mission("two")
    await put(ledger, one, two)
    await asyncio.to_thread(redis_server.freeze)
    async with asyncio.timeout(PATIENCE_SECONDS):
        ends = await asyncio.gather(
            ledger.commit(ERA, [step(one, changed(one))]),
            ledger.fetch([two.id]),
            ledger.era(),
            return_exceptions=True,
        )
    assert [type(end) for end in ends] == [LedgerAwayError] * 3
    await asyncio.to_thread(redis_server.thaw)

    assert await when_back(lambda: ledger.fetch([two.id])) == [Stored(two, PAYLOAD)]
    assert await ledger.era() == ERA
    # The frozen commit may have been read before the line was cut: it was written whole, or not at all.
    assert await ledger.fetch([one.id]) in ([Stored(one, PAYLOAD)], [Stored(changed(one), PAYLOAD)])


async def test_a_reader_that_waits_is_told_when_redis_dies(
    ledger: RedisLedger, redis_server: stack.RedisServer
) -> None:
    reader = await waiting_for_events(ledger, "0-0")
    await asyncio.to_thread(redis_server.kill)
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(LedgerAwayError):
            await reader


async def test_while_redis_is_gone_callers_are_told_at_once_instead_of_queueing(
    ledger: RedisLedger, redis_server: stack.RedisServer
) -> None:
    await asyncio.to_thread(redis_server.kill)
    async with asyncio.timeout(PATIENCE_SECONDS):
        ends = await asyncio.gather(*(ledger.era() for _ in range(500)), return_exceptions=True)
    assert {type(end) for end in ends} == {LedgerAwayError}


async def test_cut_connections_never_bring_another_command_s_answer(ledger: RedisLedger, stage: RedisStage) -> None:
    missions = [a_mission(f"m-{number}") for number in range(16)]
    await put(ledger, *missions)
    async with _cuts(stage.url), asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*(_read_until_cut(ledger, one, times=3) for one in missions))


async def test_cancelled_callers_never_leave_their_answer_to_the_next(ledger: RedisLedger) -> None:
    missions = [a_mission(f"m-{number}") for number in range(16)]
    await put(ledger, *missions)
    dice = random.Random(7)
    for _ in range(300):
        asked = asyncio.create_task(ledger.fetch([dice.choice(missions).id]))
        await asyncio.wait((asked,), timeout=dice.random() / 2000)
        asked.cancel()
        mission = dice.choice(missions)
        assert await ledger.fetch([mission.id]) == [Stored(mission, PAYLOAD)]
        await asyncio.gather(asked, return_exceptions=True)


async def test_a_commit_whose_line_is_cut_is_written_whole_or_not_at_all(
    ledger: RedisLedger, stage: RedisStage
) -> None:
    numbers = itertools.count()
    lost_answers = 0
    async with _cuts(stage.url), asyncio.timeout(PATIENCE_SECONDS):
        while lost_answers < 10:
            pair = [a_mission(f"{next(numbers)}-{side}") for side in ("left", "right")]
            try:
                await ledger.commit(ERA, [creation(one) for one in pair])
                wanted = {True}
            except LedgerAwayError:
                lost_answers += 1
                wanted = {True, False}
            written = {one is not None for one in await when_back(partial(ledger.fetch, [one.id for one in pair]))}
            assert len(written) == 1, "half of a commit was written"
            assert written <= wanted, "a commit that was answered is gone"


async def test_a_demoted_node_is_away_and_serves_again_when_promoted(ledger: RedisLedger, stage: RedisStage) -> None:
    await stage.command("REPLICAOF", "127.0.0.1", free_port())
    try:
        with pytest.raises(LedgerAwayError, match="failover") as caught:
            await ledger.commit(ERA, [creation(a_mission())])
        assert isinstance(caught.value.__cause__, ReadOnlyError)
        with pytest.raises(LedgerAwayError):
            await ledger.touch()
    finally:
        await stage.command("REPLICAOF", "NO", "ONE")
    await when_back(lambda: ledger.commit(ERA, [creation(a_mission())]))
    assert list(await all_live(ledger)) == ["m-1"]


async def test_a_full_redis_refuses_new_missions_as_a_whole_and_writes_everything_else(
    ledger: RedisLedger, stage: RedisStage
) -> None:
    mission = a_mission()
    await put(ledger, mission)
    await stage.fill()
    try:
        with pytest.raises(LedgerFullError) as caught:
            await ledger.commit(ERA, [step(mission, changed(mission)), creation(a_mission("new"))], admits=True)
        assert isinstance(caught.value.__cause__, LedgerAwayError)
        assert isinstance(caught.value.__cause__.__cause__, OutOfMemoryError)
        assert await all_live(ledger) == {mission.id: mission}, "nothing was written"
        await must(ledger, step(mission, finished(mission)))
        assert await all_live(ledger) == {}, "what is there ends"
    finally:
        await stage.make_room()


async def test_a_record_that_an_older_version_wrote_counts_from_its_next_change_on(
    ledger: RedisLedger, stage: RedisStage
) -> None:
    known, ended = a_mission("changed"), a_mission("never-changed")
    await put(ledger, known)
    await must(ledger, creation(ended))
    await must(ledger, step(ended, finished(ended)))
    for mission in (known, ended):
        await stage.command("HDEL", f"test:m:{mission.id}", "o")
    await stage.command("DEL", "test:usage")

    await must(ledger, step(known, changed(known, message="x")))
    everybody, [own] = await ledger.usage(["rest/"])
    assert everybody == own
    assert own.held > MISSION_BYTES
    await must(ledger, step(changed(known, message="x"), finished(changed(known))))
    assert await ledger.purge(3000.0, 10) == 2
    assert (await ledger.usage(["rest/"]))[0].held == 0


async def test_a_stream_of_large_events_keeps_fewer_of_them(stage: RedisStage) -> None:
    ledger = await stage.another(events_kept=100_000, events_bytes=1_000_000)
    await ledger.begin_era(ERA)
    first = (await put(ledger, a_mission("first")))[0].event
    for start in range(0, 4_000, 500):
        large = [changed(a_mission(f"m-{start + i}"), result=b"x" * 2_000) for i in range(500)]
        await put(ledger, *large)
    last = (await put(ledger, a_mission("last")))[0].event
    assert await stage.command("MEMORY", "USAGE", "test:events", "SAMPLES", 0) > 4_000_000

    await ledger.trim_events()
    assert await stage.command("MEMORY", "USAGE", "test:events", "SAMPLES", 0) <= 1_000_000
    assert await ledger.events(first, wait_seconds=0) is None, "a reader that is far behind is told so"
    assert await ledger.events(last, wait_seconds=0) == []
    await ledger.commit(ERA, (), seen=first)  # dropped by its age: that is no rollback


async def test_a_redis_that_cannot_write_to_its_disk_says_what_to_do_and_loses_nothing(
    ledger: RedisLedger, stage: RedisStage, redis_server: stack.RedisServer
) -> None:
    mission = a_mission()
    await put(ledger, mission)
    async with _unwritable_disk(stage, redis_server):
        with pytest.raises(LedgerAwayError, match="make room on the disk"):
            await ledger.commit(ERA, [step(mission, changed(mission)), creation(a_mission("new"))])
        with pytest.raises(LedgerAwayError, match="make room on the disk"):
            await ledger.touch()
        assert await all_live(ledger) == {mission.id: mission}, "what is there can be read"
    await when_back(ledger.touch)
    assert await all_live(ledger) == {mission.id: mission}


async def test_hundreds_of_large_payloads_are_read_within_the_deadline_of_one_answer(ledger: RedisLedger) -> None:
    large = b'"' + b"x" * (256 * 1024 - 2) + b'"'
    missions = [a_mission(f"m-{number:03}") for number in range(200)]
    for few in (missions[at : at + 4] for at in range(0, 200, 4)):  # a busy machine writes as slowly as it likes
        await must(ledger, *(Change(one, NONE, large) for one in few))
    ids = [one.id for one in missions]
    assert await ledger.fetch(ids) == [Stored(one, large) for one in missions]
    assert await ledger.payloads([*ids, MissionId("missing")]) == [*[large] * 200, None]
    assert len(await all_live(ledger)) == 200


async def test_a_node_that_is_not_there_is_passed_over(stage: RedisStage, ledger: RedisLedger) -> None:
    urls = (f"redis://127.0.0.1:{free_port()}/0", stage.url)
    async with connect(RedisSettings(urls=urls, prefix="test:")) as other:
        assert await other.era() == ERA


async def test_a_ledger_can_be_made_before_redis_is_there(stage: RedisStage, redis_server: stack.RedisServer) -> None:
    await asyncio.to_thread(redis_server.kill)
    ledger = await stage.another()
    with pytest.raises(LedgerAwayError, match="connection to Redis failed"):
        await ledger.era()
    await asyncio.to_thread(redis_server.start)
    assert await when_back(ledger.era) is None


async def test_prefixes_keep_installations_apart(ledger: RedisLedger, stage: RedisStage) -> None:
    await put(ledger, a_mission())
    neighbour = await stage.another(prefix="neighbour:")
    assert await neighbour.era() is None
    assert await all_live(neighbour) == {}
    await neighbour.begin_era(ERA)
    await put(neighbour, a_mission())
    assert {key.partition(b":")[0] for key in await stage.command("KEYS", "*")} == {b"test", b"neighbour"}


async def test_a_commit_is_one_command(ledger: RedisLedger, stage: RedisStage) -> None:
    await put(ledger, a_mission("warm"))
    await stage.command("CONFIG", "RESETSTAT")
    await put(ledger, *(a_mission(f"m-{number}") for number in range(50)))
    with contextlib.closing(redis.Redis.from_url(stage.url)) as client:
        calls = {name: int(found["calls"]) for name, found in client.info("commandstats").items()}
    assert {name: count for name, count in calls.items() if "eval" in name} == {"cmdstat_evalsha": 1}


async def test_a_purged_mission_leaves_a_tombstone_and_no_other_key(ledger: RedisLedger, stage: RedisStage) -> None:
    mission = a_mission()
    await must(ledger, creation(mission, hands_out=True))
    await must(ledger, step(mission, dead(mission)))
    assert await stage.command("EXISTS", "test:live") == 0
    await ledger.confirmed(await ledger.outbox(10))
    await ledger.purge(9999.0, 10)
    assert set(await stage.command("KEYS", "*")) == {b"test:era", b"test:floor", b"test:events", b"test:t:m-1"}


async def test_event_ids_grow_also_when_wipes_follow_within_a_millisecond(stage: RedisStage) -> None:
    script = (resources.files("mission_commander.adapters") / "lua" / "commit.lua").read_text()
    keys = ("era", "live", "outbox", "purgeable", "dead", "events", "lanes", "floor", "usage")
    arguments = (
        ERA,
        "m:",
        "ns:",
        100,
        "0-0",
        "l:",
        0,
        "",
        "t:",
        MISSION_BYTES,
        *codec.arguments_of([creation(a_mission())]),
    )
    with contextlib.closing(redis.Redis.from_url(stage.url)) as client, client.pipeline(transaction=False) as at_once:
        for _ in range(50):
            at_once.flushall()
            at_once.set("era", ERA)
            at_once.eval(script, len(keys), *keys, *arguments)
        events = [order_of(answer[0].decode()) for answer in at_once.execute()[2::3]]
    assert events == sorted(set(events))


async def test_a_ledger_of_an_older_version_takes_a_new_mission_in_a_new_era_only(
    ledger: RedisLedger, stage: RedisStage
) -> None:
    """Nobody noted which numbers its purged missions showed."""
    await stage.command("DEL", "test:floor")
    await must(ledger, creation(a_mission("restored")))
    new = Change(a_mission(), NONE, is_new=True)
    with pytest.raises(RolledBackError, match="a new era has to begin"):
        await ledger.commit(ERA, [new])
    assert await ledger.fetch([new.mission.id]) == [None]
    era = await ledger.begin_era(Era(ERA + 1), replaces=ERA)
    assert isinstance((await ledger.commit(era, [new]))[0], Committed)


async def test_a_tombstone_of_an_older_version_stands_for_every_life(ledger: RedisLedger, stage: RedisStage) -> None:
    await stage.command("SET", "test:t:m-1", "")
    assert await ledger.purged([a_mission().id]) == {"m-1": math.inf}


async def test_a_tombstone_stands_as_long_as_it_was_told_to(ledger: RedisLedger, stage: RedisStage) -> None:
    await put(ledger, finished(a_mission()))
    await ledger.purge(9999.0, 10)
    left: int = await stage.command("TTL", "test:t:m-1")
    assert 6 * 86_400 < left <= 7 * 86_400


# Durability.


async def test_redis_as_the_design_sets_it_is_durable(ledger: RedisLedger) -> None:
    assert (await ledger.durability()).is_strong


@pytest.mark.parametrize(
    ("name", "weak", "good"),
    [("appendfsync", "everysec", "always"), ("maxmemory-policy", "allkeys-lru", "noeviction")],
)
async def test_a_weaker_setting_is_named(
    ledger: RedisLedger, stage: RedisStage, name: str, weak: str, good: str
) -> None:
    await stage.command("CONFIG", "SET", name, weak)
    try:
        found = await ledger.durability()
    finally:
        await stage.command("CONFIG", "SET", name, good)
    assert not found.is_strong
    assert f"{name} {weak}" in found.why_weak
    assert f"set {name} {good}" in found.why_weak


async def test_settings_that_may_not_be_read_count_as_weak(stage: RedisStage, ledger: RedisLedger) -> None:
    await stage.command("ACL", "SETUSER", "plain", "on", ">secret", "~*", "+@all", "-config")
    try:
        limited = await stage.another(url=stage.url.replace("redis://", "redis://plain:secret@"))
        assert await limited.era() == ERA
        found = await limited.durability()
    finally:
        await stage.command("ACL", "DELUSER", "plain")
    assert not found.is_strong
    assert "CONFIG GET" in found.why_weak


async def test_a_redis_that_does_not_show_its_memory_serves_as_ever(stage: RedisStage, ledger: RedisLedger) -> None:
    await stage.command("ACL", "SETUSER", "plain", "on", ">secret", "~*", "+@all", "-info", "-memory")
    try:
        limited = await stage.another(url=stage.url.replace("redis://", "redis://plain:secret@"))
        assert await limited.memory() == StoreMemory(used=0, limit=None)
        await limited.trim_events()
        await put(limited, a_mission())
    finally:
        await stage.command("ACL", "DELUSER", "plain")


async def test_wrong_credentials_are_named(stage: RedisStage) -> None:
    stranger = await stage.another(url=stage.url.replace("redis://", "redis://nobody:wrong@"))
    with pytest.raises(LedgerAwayError, match="refused the credentials") as caught:
        await stranger.era()
    assert "wrong@" not in str(caught.value)


# How faults are made.


@contextlib.asynccontextmanager
async def _unwritable_disk(stage: RedisStage, server: stack.RedisServer) -> AsyncIterator[None]:
    """Let a snapshot fail, as it does on a full disk: from then on Redis refuses changes."""
    in_the_way = server.folder / "dump.rdb" / "in the way"
    in_the_way.mkdir(parents=True)
    await stage.command("CONFIG", "SET", "save", "3600 1")
    try:
        await stage.command("BGSAVE")
        await _until_persistence(stage, "err")
        yield
    finally:
        in_the_way.rmdir()
        in_the_way.parent.rmdir()
        await stage.command("BGSAVE")
        await _until_persistence(stage, "ok")
        await stage.command("CONFIG", "SET", "save", "")


async def _until_persistence(stage: RedisStage, status: str) -> None:
    with contextlib.closing(redis.Redis.from_url(stage.url)) as client:

        def ended() -> bool:
            found = client.info("persistence")
            return not found["rdb_bgsave_in_progress"] and found["rdb_last_bgsave_status"] == status

        await until(ended, f"the snapshot ends with {status}")


@contextlib.asynccontextmanager
async def _cuts(url: str) -> AsyncIterator[None]:
    """Cut all connections but its own, every 20 ms or so, wherever their commands are."""
    cutting = asyncio.create_task(_cut_for_ever(url))
    try:
        yield
    finally:
        cutting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await cutting


async def _cut_for_ever(url: str) -> None:
    dice = random.Random(11)
    with contextlib.closing(redis.Redis.from_url(url)) as administrator:
        while True:
            administrator.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(dice.random() / 25)


async def _read_until_cut(ledger: RedisLedger, mission: Mission, *, times: int) -> None:
    """Read one mission until some answers were lost. Each that came must be the right one."""
    lost_answers = right_answers = 0
    while lost_answers < times or right_answers < 50:
        try:
            found = await ledger.fetch([mission.id])
        except LedgerAwayError:
            lost_answers += 1
            await asyncio.sleep(0.005)
        else:
            assert found == [Stored(mission, PAYLOAD)]
            right_answers += 1
