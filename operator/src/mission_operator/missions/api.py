"""Mission objects at the API server: the four requests that are made about them."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from mission_contracts.mission import MissionId
from mission_contracts.rest import MissionView
from mission_operator import kube
from mission_operator.kube import Answer, Kube, missions_path


class MissionApi:
    """Reads, patches and deletes Mission objects."""

    def __init__(self, api: Kube, namespace: str) -> None:
        self._kube = api
        self._namespace = namespace

    async def patch_status(self, view: MissionView, patch: bytes) -> Answer:
        return await self._kube.json_patch(f"{missions_path(view.namespace, view.name)}/status", patch)

    async def get(self, view: MissionView) -> Answer:
        return await self.read(view.namespace, view.name)

    async def read(self, namespace: str, name: str) -> Answer:
        return await self._kube.request("GET", missions_path(namespace, name))

    async def delete(self, namespace: str, name: str, mission_id: MissionId) -> Answer:
        """Delete this very object, not a new one of its name."""
        body = msgspec.json.encode({"preconditions": {"uid": mission_id}})
        return await self._kube.request("DELETE", missions_path(namespace, name), body)

    def pages(self) -> AsyncIterator[tuple[dict[str, Any], ...]]:
        return self._kube.pages(missions_path(self._namespace))

    async def listing(self) -> kube.Listing:
        return await self._kube.listing(missions_path(self._namespace))
