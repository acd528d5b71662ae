"""SoldierPools, their Deployments and their pods at the API server."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from mission_operator.kube import Answer, Kube, deployments_path, pods_path, pools_path
from mission_operator.pools.deployment import name_of, selector_text
from mission_operator.pools.observing import Pool


class PoolApi:
    """Reads and writes what belongs to pools."""

    def __init__(self, api: Kube, namespace: str) -> None:
        self._kube = api
        self._namespace = namespace

    @property
    def namespace(self) -> str:
        return self._namespace

    async def names(self) -> AbstractSet[str]:
        """The pools that there are."""
        return {one["metadata"]["name"] async for page in self._kube.pages(pools_path(self._namespace)) for one in page}

    async def read_deployment(self, pool: Pool) -> Answer:
        return await self._kube.request("GET", deployments_path(pool.namespace, name_of(pool.name)))

    async def apply_deployment(self, pool: Pool, manifest: Mapping[str, Any]) -> Answer:
        return await self._kube.apply(deployments_path(pool.namespace, name_of(pool.name)), manifest)

    async def list_pods(self, pool: Pool) -> Answer:
        """All pods of a pool, also those that are leaving."""
        selector = {"labelSelector": selector_text(pool.name)}
        return await self._kube.request("GET", pods_path(pool.namespace), params=selector)

    async def annotate_pod(self, pool: Pool, name: str, annotations: Mapping[str, str | None]) -> Answer:
        """Set annotations of one pod; None removes one."""
        return await self._kube.merge_patch(
            pods_path(pool.namespace, name), {"metadata": {"annotations": dict(annotations)}}
        )

    async def patch_status(self, pool: Pool, patch: bytes) -> Answer:
        return await self._kube.json_patch(f"{pools_path(pool.namespace, pool.name)}/status", patch)

    async def create(self, body: Mapping[str, Any]) -> Answer:
        """Create a pool; 409 says that there is one of this name."""
        return await self._kube.request("POST", pools_path(self._namespace), msgspec.json.encode(body))
