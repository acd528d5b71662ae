"""How much of Redis' memory a finished mission takes, with its indexes, once the event stream has its bound.

    python -m benchmarks.ledger_memory [missions]

The stream of events is bounded in bytes, so it is filled first; what grows then is missions alone.
"""

import asyncio
import contextlib
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import redis
from tools import stack

from mission_commander.adapters.redis_ledger import RedisLedger, RedisSettings, connect
from mission_commander.domain import life
from mission_commander.domain.life import Moment
from mission_commander.domain.record import Mission, Phase
from mission_commander.ports import Change, OutboxEntry
from mission_contracts import mission as m
from mission_contracts.envelope import Envelope

ERA: Final = m.Era(29_000_000)
BATCH: Final = 500
MISSIONS: Final = 20_000
SOLDIER: Final = m.Instance("default-7c9d8f6b5-x2x4z")

Used = Callable[[], int]


async def measure(url: str, missions: int) -> tuple[float, float]:
    """Return the bytes for each finished noop, and for each that was purged."""
    with contextlib.closing(redis.Redis.from_url(url)) as client:

        def used() -> int:
            return int(client.info("memory")["used_memory"])

        async with connect(RedisSettings(urls=(url,))) as ledger:
            await ledger.begin_era(ERA)
            await _finish(ledger, missions)
            await ledger.trim_events()
            before = used()
            await _finish(ledger, missions)
            await ledger.trim_events()
            each = (used() - before) / missions
            before = used()
            while await ledger.purge(time.time() + 1, 1_000):
                pass
            return each, each - (before - used()) / (2 * missions)


async def _finish(ledger: RedisLedger, missions: int) -> None:
    for _ in range(0, missions, BATCH):
        accepted = [_accepted() for _ in range(BATCH)]
        await ledger.commit(ERA, [Change(one, m.Sequence(0), b"{}", hands_out=True) for one in accepted])
        await ledger.confirmed([OutboxEntry(one.id, one.epoch) for one in accepted])
        claimed = [_claimed(one) for one in accepted]
        await _commit(ledger, claimed)
        await _commit(ledger, [_finished(one) for one in claimed])


async def _commit(ledger: RedisLedger, missions: Sequence[Mission]) -> None:
    await ledger.commit(ERA, [Change(one, m.Sequence(one.sequence - 1)) for one in missions])


def _accepted() -> Mission:
    envelope = Envelope(
        mission_id=m.MissionId(secrets.token_hex(16)),
        namespace="default",
        pool="default",
        type="noop",
        accepted_at=time.time(),
        subject="user",
        digest=secrets.token_hex(16),
        trace_id=secrets.token_hex(8),
    )
    return life.accept(envelope, Moment(time.time(), ERA), life.OPEN_FIELD)


def _claimed(mission: Mission) -> Mission:
    return msgspec.structs.replace(
        mission,
        sequence=m.Sequence(mission.sequence + 1),
        phase=Phase.CLAIMED,
        state=m.MissionState.IN_PROGRESS,
        reason=m.Reason.RUNNING,
        attempt=1,
        holder=SOLDIER,
        claimed_at=time.time(),
        started_at=time.time(),
    )


def _finished(mission: Mission) -> Mission:
    return msgspec.structs.replace(
        mission,
        sequence=m.Sequence(mission.sequence + 1),
        phase=Phase.FINAL,
        state=m.MissionState.COMPLETED,
        reason=m.Reason.COMPLETED,
        holder=m.Instance(""),
        claimed_at=None,
        finished_at=time.time(),
        result=b"null",
    )


def main() -> None:
    missions = int(sys.argv[1]) if len(sys.argv) > 1 else MISSIONS
    with tempfile.TemporaryDirectory() as folder, stack.redis_server(Path(folder)) as server:
        each, purged = asyncio.run(measure(server.url, missions))
    print(f"{each:.0f} bytes for each finished noop, {purged:.0f} for each that was purged ({missions} missions)")


if __name__ == "__main__":
    main()
