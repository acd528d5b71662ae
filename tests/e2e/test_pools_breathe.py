"""Pools on a real node: awake from zero at once, out and in again, and blind, when nothing may happen."""

import asyncio
import secrets
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final, NamedTuple

import pytest
from benchmarks.pools.place import Place
from benchmarks.pools.trials import FloodSize, Trial, cold_starts
from support.cluster_door import ClusterDoor, a_pool, conditions_of
from support.installation import RELEASE, Installation
from support.operator_stage import Object
from support.patience import until
from support.rest_door import RestDoor

from mission_contracts.mission import NUMBERS_PER_ERA

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

PATIENCE_SECONDS: Final = 120
BEYOND_THE_POD_SECONDS: Final = 0.5
"""What we may add to a pod's own start, from the acceptance of the mission that asked for it."""
BLIND_SECONDS: Final = 25
"""More than an idle pool needs to shrink whose numbers are there."""
SMALL: Final = {"requests": {"cpu": "20m", "memory": "64Mi"}}

Say = Callable[[str], None]


@pytest.fixture
async def trials(pools: Installation) -> AsyncIterator[Sequence[Trial]]:
    """Some pools to try things with."""
    place = Place(namespace=pools.namespace, environment=pools.node.access.environment())
    async with place.control() as control:
        made = [Trial(kubectl=place.kubectl, control=control, pool=f"try-{secrets.token_hex(2)}") for _ in range(4)]
        yield made
        await place.kubectl.run("delete", "soldierpools", "--ignore-not-found", *(one.pool for one in made))


@pytest.fixture
async def rest(pools: Installation) -> AsyncIterator[RestDoor]:
    async with pools.rest() as door:
        yield door


@pytest.fixture
async def cluster(pools: Installation) -> AsyncIterator[ClusterDoor]:
    async with pools.cluster() as door:
        yield door


async def test_from_zero_the_handler_begins_half_a_second_after_the_pods_own_start_at_the_latest(
    trials: Sequence[Trial], say: Say
) -> None:
    starts = await cold_starts(trials, 10, lambda _: None)
    # A mission that does nothing has ended: its handler's first line lies before.
    first_line = statistics.median(one.ended for one in starts)
    pods_own = statistics.median(one.pods_own for one in starts)
    created = statistics.median(one.pod_created for one in starts)
    say(
        f"from zero, median of {len(starts)}: pod created after {created:.2f} s, handler's first line after "
        f"{first_line:.2f} s at the latest; the pod's own start takes {pods_own:.2f} s"
    )
    assert first_line <= pods_own + BEYOND_THE_POD_SECONDS


async def test_a_hundred_missions_take_a_pool_from_zero_to_its_maximum_and_back(
    trials: Sequence[Trial], say: Say
) -> None:
    trial, size = trials[0], FloodSize()
    await trial.prepare_for(size)
    async with trial.kubectl.watching("get", "soldierpools", "-w") as lines:
        table = Table(trial.pool)
        following = asyncio.create_task(table.follow(lines))
        out, back = await trial.flood(size)
        await until(lambda: bool(table.rows) and not any(table.rows[-1]), "the last row shows an empty pool")
        following.cancel()
    say("\n".join(table.printed))
    assert not any(table.rows[0]), "it began at zero"
    assert max(row.desired for row in table.rows) == max(row.ready for row in table.rows) == size.soldiers
    assert max(row.queued + row.in_flight for row in table.rows) > size.soldiers * size.concurrency
    assert back.last_pod_told >= size.idle_seconds, "to zero only after idleSeconds"
    assert out.all_pods_created < out.all_missions_ended


class Row(NamedTuple):
    """The numbers of one line of `kubectl get soldierpools`."""

    ready: int
    desired: int
    busy: int
    queued: int
    in_flight: int


class Table:
    """What `kubectl get soldierpools -w` printed of one pool."""

    def __init__(self, pool: str) -> None:
        self._pool = pool
        self.rows: list[Row] = []
        self.printed: list[str] = []

    async def follow(self, lines: AsyncIterator[tuple[float, str]]) -> None:
        async for _, line in lines:
            words = line.split()
            if words[0] == "NAME":
                assert words[1:6] == ["READY", "DESIRED", "BUSY", "QUEUED", "IN-FLIGHT"], line
                self.printed.append(line)
            elif words[0] == self._pool:
                self.rows.append(Row(*map(int, words[1:6])))
                self.printed.append(line)


@pytest.mark.parametrize(
    ("away", "reason"),
    [
        pytest.param(f"deployment/{RELEASE}-commander", "NumbersOld", id="the Commander is away"),
        pytest.param(f"statefulset/{RELEASE}-redis", "LedgerAway", id="the ledger is away"),
        pytest.param(f"statefulset/{RELEASE}-rabbitmq", "BrokerAway", id="the broker is away"),
    ],
)
async def test_blind_it_changes_nothing_and_says_so(
    pools: Installation, cluster: ClusterDoor, rest: RestDoor, away: str, reason: str
) -> None:
    pool = f"blind-{secrets.token_hex(2)}"
    work = {"min_seconds": 8, "max_seconds": 8, "success_rate": 1}
    await cluster.apply(a_pool(pool, minReplicas=0, maxReplicas=2, concurrency=2, idleSeconds=0, resources=SMALL))
    ids = await rest.submit_many(4, "simulate", payload=work, pool=pool)
    await cluster.until_pool(pool, ready=2, inFlight=4)

    await cluster.kubectl("scale", away, "--replicas=0")
    stale = await until_condition(cluster, pool, "MetricsStale", "True", reason)
    assert "nothing scales in" in stale["message"]
    soldiers, size = set(pools.pods(f"soldier-{pool}-")), await replicas(cluster, pool)
    assert (len(soldiers), size) == (2, 2)
    seen_until = time.monotonic() + BLIND_SECONDS
    while time.monotonic() < seen_until:
        assert set(await asyncio.to_thread(pools.pods, f"soldier-{pool}-")) == soldiers
        assert await replicas(cluster, pool) == size
        await asyncio.sleep(0.5)
    await until_condition(cluster, pool, "MetricsStale", "True", reason)

    await cluster.kubectl("scale", away, "--replicas=1")
    views = await rest.until_final(ids, seconds=PATIENCE_SECONDS)
    assert Counter(view["state"] for view in views.values()) == {"COMPLETED": 4}
    assert {view["epoch"] % NUMBERS_PER_ERA for view in views.values()} == {1}, "each was handed out once"
    await until_condition(cluster, pool, "MetricsStale", "False", "NumbersFresh")
    await cluster.objects.until_status(
        "soldierpools", pool, lambda status: status["desired"] == 0, "it sleeps", seconds=PATIENCE_SECONDS
    )
    await cluster.kubectl("delete", "soldierpool", pool)


async def replicas(cluster: ClusterDoor, pool: str) -> int:
    return int((await cluster.objects.get("deployments", f"soldier-{pool}"))["spec"]["replicas"])


async def until_condition(cluster: ClusterDoor, pool: str, kind: str, status: str, reason: str) -> Object:
    """Wait until a condition of a pool says this; gives the condition."""

    def holds(shown: Object) -> bool:
        found = conditions_of({"conditions": (), **shown}).get(kind, {})
        return (found.get("status"), found.get("reason")) == (status, reason)

    what = f"{kind} is {status}, {reason}"
    shown = await cluster.objects.until_status("soldierpools", pool, holds, what, seconds=PATIENCE_SECONDS)
    found: Object = conditions_of(shown)[kind]
    return found


@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [
        pytest.param(
            {"image": "nowhere.invalid/soldier:1"},
            "ImageUnavailable",
            ["Pull", "correct spec.image"],
            id="no such image",
        ),
        pytest.param(
            {"handlers": "no_such_module"},
            "SoldiersCrashing",
            ["exit code 1", "mission-soldier cannot start: there is no module 'no_such_module'"],
            id="no such handler module",
        ),
        pytest.param(
            {"template": {"nodeSelector": {"proof.example/none": "such"}}},
            "Unschedulable",
            ["node(s) didn't match Pod's node affinity/selector"],
            id="no such node",
        ),
    ],
)
async def test_what_keeps_soldiers_from_coming_up_is_said_by_the_pool(
    cluster: ClusterDoor, spec: Object, reason: str, says: Iterable[str], say: Say
) -> None:
    pool = f"wrong-{secrets.token_hex(2)}"
    await cluster.apply(a_pool(pool, **spec))
    ready = await until_condition(cluster, pool, "Ready", "False", reason)
    say(f"Ready is False, {reason}: {ready['message']}")
    assert all(words in ready["message"] for words in says), ready["message"]
    described = await cluster.kubectl("describe", "soldierpool", pool)
    events = described.partition("\nEvents:")[2]
    assert reason in events, described
    await cluster.kubectl("delete", "soldierpool", pool)
