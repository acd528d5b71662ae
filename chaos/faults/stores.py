"""Redis and the API server that die, restart, forget, or have no room."""

import asyncio
import contextlib
import subprocess
from pathlib import Path
from typing import Any, Final

import redis

from chaos.errors import ChaosError
from chaos.faults.base import ALL_SLOTS, Fault, Stuck
from chaos.ground import COMMANDERS, Ground, until
from chaos.history import Away

ROOM_BYTES: Final = 4096
"""What is left on the disk when it is full: enough for a few records and the half of one."""
DIE_SECONDS: Final = 20.0


class RedisKilled(Fault):
    name = "redis-killed"
    sentence = "kill -9 of Redis"
    away = Away.REDIS
    lasts_seconds = (1.5, 2.5)

    async def strike(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.redis.kill)

    async def end(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.redis.start)


class RedisRestarted(RedisKilled):
    name = "redis-restarted"
    sentence = "an orderly restart of Redis"

    async def strike(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.redis.stop)


class RedisWiped(Fault):
    name = "redis-wiped"
    sentence = "FLUSHALL"
    repeats = ALL_SLOTS
    forgets = True

    async def strike(self, ground: Ground) -> None:
        await asyncio.to_thread(tell, ground, "FLUSHALL")


class RedisRolledBack(Fault):
    name = "redis-rolled-back"
    sentence = "Redis is killed and starts with the data of some seconds before"
    repeats = ALL_SLOTS
    forgets = True
    lasts_seconds = (0.1, 0.3)

    async def prepare(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.redis.copy_data, _copy_of(ground))

    async def strike(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.redis.kill)

    async def end(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.redis.go_back_to, _copy_of(ground))
        await asyncio.to_thread(ground.servers.redis.start)


class RedisRefusesWrites(Fault):
    name = "redis-refuses-writes"
    sentence = (
        "Redis lacks a replica that it must write to, for about a lease: it answers reads and refuses every write"
    )
    away = Away.REDIS

    async def strike(self, ground: Ground) -> None:
        """Leases would end just when it takes writes again, were soldiers taken for silent that could not be heard."""
        await asyncio.to_thread(tell, ground, "CONFIG", "SET", "min-replicas-to-write", "1")
        await asyncio.sleep(0.6 * self.lease_seconds)

    async def end(self, ground: Ground) -> None:
        await asyncio.to_thread(tell, ground, "CONFIG", "SET", "min-replicas-to-write", "0")


class RedisDiskFull(Fault):
    name = "redis-disk-full"
    sentence = "Redis has no room on its disk: it dies in the middle of a write, and of the next one"

    async def strike(self, ground: Ground) -> None:
        """A limit on the size of files is a full disk that no administrator has to set up.

        Redis would get round it by beginning a new file; that is switched off until it starts again.
        """
        server = ground.servers.redis
        await asyncio.to_thread(tell, ground, "CONFIG", "SET", "auto-aof-rewrite-percentage", "0")
        written = max(_data(ground).glob("*.incr.aof"), key=lambda file: file.stat().st_mtime)
        await asyncio.to_thread(_limit_files, server.processes[0].pid, written.stat().st_size + ROOM_BYTES)
        await until(lambda: not server.is_running, "Redis dies of its full disk", DIE_SECONDS)

    async def end(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.redis.kill)
        await asyncio.to_thread(ground.servers.redis.start)


class CommandersAndRedisAway(Fault):
    name = "commanders-and-redis-away"
    sentence = "both Commanders and Redis are dead for two leases"

    async def strike(self, ground: Ground) -> None:
        await asyncio.gather(*(ground.parts[name].kill() for name in COMMANDERS))
        await asyncio.to_thread(ground.servers.redis.kill)
        await asyncio.sleep(2 * self.lease_seconds)

    async def end(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.redis.start)
        await asyncio.gather(*(ground.parts[name].start() for name in COMMANDERS))


class ApiServerKilled(Fault):
    name = "api-server-killed"
    sentence = "kill -9 of the API server"
    stuck = Stuck.OBJECTS

    async def strike(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.kube.processes[-1].kill)

    async def end(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.kube.start)


class ApiServerRestarted(ApiServerKilled):
    name = "api-server-restarted"
    sentence = "an orderly restart of the API server and its etcd"

    async def strike(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.servers.kube.stop)


def tell(ground: Ground, *command: str) -> Any:
    with contextlib.closing(redis.Redis.from_url(ground.servers.redis.url)) as client:
        return client.execute_command(*command)  # type: ignore[no-untyped-call]


def _limit_files(pid: int, most_bytes: int) -> None:
    """As the user that it runs as: nobody else may without a capability that containers do not have."""
    try:
        owner = Path(f"/proc/{pid}").stat()
    except FileNotFoundError:
        return
    command = ["prlimit", f"--pid={pid}", f"--fsize={most_bytes}:unlimited"]
    done = subprocess.run(
        command,
        user=owner.st_uid,
        group=owner.st_gid,
        extra_groups=[],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode:
        raise ChaosError(f"Redis' disk cannot be made full here: {done.stderr.strip()}")


def _data(ground: Ground) -> Path:
    """Where Redis keeps what was written."""
    folder = ground.servers.redis.processes[0].launch.log.parent / "appendonlydir"
    if not folder.is_dir():
        raise ChaosError(f"Redis keeps no files in {folder}: this fault needs a Redis that runs on this machine")
    return folder


def _copy_of(ground: Ground) -> Path:
    return _data(ground).with_name("some-seconds-before")


STORES: Final = (
    RedisKilled,
    RedisRestarted,
    RedisWiped,
    RedisRolledBack,
    RedisRefusesWrites,
    RedisDiskFull,
    CommandersAndRedisAway,
    ApiServerKilled,
    ApiServerRestarted,
)
