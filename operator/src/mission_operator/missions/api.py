"""Mission objects at the API server: the four requests that are made about them."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from mission_contracts.mission import MissionId
from mission_contracts.rest import MissionView
from mission_operator import kube
from mission_operator.kube import Answer, Kube, missions_path
from mission_operator.missions.selecting import ENDED_WITH_A_TTL


class MissionApi:
    """Reads, patches and deletes Mission objects. Lists leave out what has ended, where the API server can do that."""

    def __init__(self, api: Kube, namespace: str, *, selector: str = "") -> None:
        self._kube = api
        self._namespace = namespace
        self._selector = selector

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
        return self._kube.pages(missions_path(self._namespace), self._selector)

    async def listing(self) -> kube.Listing:
        return await self._kube.listing(missions_path(self._namespace), self._selector)

    async def can_select(self, selector: str) -> bool:
        return await self._kube.can_select(missions_path(self._namespace), selector)

    async def ended_version(self) -> str:
        return await self._kube.version(missions_path(self._namespace))

    def ended_pages(self) -> AsyncIterator[tuple[dict[str, Any], ...]]:
        return self._kube.pages(missions_path(self._namespace), ENDED_WITH_A_TTL)

    def ended_events(self, version: str) -> AsyncIterator[dict[str, Any]]:
        return self._kube.events(missions_path(self._namespace), ENDED_WITH_A_TTL, version)
