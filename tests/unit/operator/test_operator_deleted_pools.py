"""Pools that the Commander knows and the cluster does not: deleted while no operator lived."""

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from support import pool_stage
from support.patience import until
from support.pool_builders import INSTALLATION

from mission_contracts.rest import PoolDeclaration, PoolView
from mission_contracts.testing import FakeClock
from mission_operator.announcing import Regarding
from mission_operator.kube import KubeAwayError
from mission_operator.pools.reconciling import PoolReconciler

HERE, ELSEWHERE = "default", "another-namespace"


class FakeCommander:
    def __init__(self, *pools: tuple[str, str]) -> None:
        self.known = set(pools)
        self.asked = 0

    async def declare_pool(self, namespace: str, name: str, declaration: PoolDeclaration) -> PoolView:
        raise AssertionError("no pool is watched here")

    async def forget_pool(self, namespace: str, name: str) -> None:
        self.known.discard((namespace, name))

    async def pools(self) -> Sequence[PoolView]:
        self.asked += 1
        return [
            PoolView(namespace=namespace, name=name, paused=False, queued=0, waiting=0, in_flight=0)
            for namespace, name in self.known
        ]


class FakeCluster(pool_stage.FakeCluster):
    namespace = HERE

    def __init__(self, *names: str, is_away: bool = False) -> None:
        super().__init__()
        self.there = set(names)
        self.is_away = is_away

    async def names(self) -> AbstractSet[str]:
        if self.is_away:
            raise KubeAwayError("away")
        return self.there


class NobodyToTell:
    def tell(self, regarding: Regarding, reason: str, note: str, *, is_bad: bool = False) -> None:
        raise AssertionError(f"{reason}: {note}")


async def after_some_rounds(commander: FakeCommander, cluster: FakeCluster) -> set[tuple[str, str]]:
    reconciler = PoolReconciler(commander, cluster, INSTALLATION, NobodyToTell(), FakeClock(), every_seconds=0.01)
    work = asyncio.create_task(reconciler.run())
    try:
        await until(lambda: commander.asked > 3, "it compared several times")
    finally:
        work.cancel()
        await asyncio.wait([work])
    return commander.known


async def test_a_pool_whose_object_is_gone_is_forgotten() -> None:
    assert await after_some_rounds(FakeCommander((HERE, "gone")), FakeCluster()) == set()


async def test_a_pool_that_is_there_and_not_watched_yet_is_kept() -> None:
    """The operator has just started, or cannot read this pool's spec."""
    known = (HERE, "new")
    assert await after_some_rounds(FakeCommander(known), FakeCluster("new")) == {known}


async def test_another_namespaces_pool_is_not_ours_to_forget() -> None:
    known = (ELSEWHERE, "gone")
    assert await after_some_rounds(FakeCommander(known), FakeCluster()) == {known}


async def test_while_the_api_server_is_away_nothing_is_forgotten() -> None:
    known = (HERE, "unsure")
    assert await after_some_rounds(FakeCommander(known), FakeCluster(is_away=True)) == {known}
