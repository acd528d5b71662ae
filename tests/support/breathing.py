"""Pools that are scaled in and out at random while missions run, and every soldier that was told to leave meanwhile."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from support.installation import Installation
from support.operator_stage import Object, Objects

POOL_LABEL: Final = "missioncontrol.dev/pool"
TEMPLATE_LABEL: Final = "pod-template-hash"
ROLLOUT: Final = "proof.example/rollout"


@dataclass(frozen=True)
class Leaving:
    """A soldier's pod that was told to end: by a rollout where a newer template was there already, else by scale-in."""

    pod: str
    at: datetime
    is_by_rollout: bool


@dataclass
class Leavings:
    """Follows the pods of soldiers; `seen` are those that were told to end, in order."""

    seen: list[Leaving] = field(default_factory=list)
    made: set[str] = field(default_factory=set)
    restarts: dict[str, str] = field(default_factory=dict)
    """Of pods whose container ended and was started again, how it ended: then nobody asked the soldier first."""
    _newest: dict[str, str] = field(default_factory=dict)

    async def follow(self, objects: Objects, *, after: str) -> None:
        """Follow until cancelled."""
        async for event in objects.watch("pods", after=after):
            self.take(event["object"], datetime.now(UTC))

    def take(self, body: Object, now: datetime) -> None:
        pod = body["metadata"]
        labels, name = pod.get("labels", {}), pod["name"]
        if POOL_LABEL not in labels:
            return
        if name not in self.made:
            self.made.add(name)
            self._newest[labels[POOL_LABEL]] = labels[TEMPLATE_LABEL]
        for container in body.get("status", {}).get("containerStatuses", ()):
            if container["restartCount"]:
                self.restarts[name] = f"{container['restartCount']} restarts, {container['lastState']}"
        if "deletionTimestamp" in pod and all(one.pod != name for one in self.seen):
            is_old = self._newest[labels[POOL_LABEL]] != labels[TEMPLATE_LABEL]
            self.seen.append(Leaving(name, now, is_old))


@dataclass
class Breath:
    """Scales pools by dice, as a person with kubectl would; `done` counts what was done."""

    installation: Installation
    pools: Sequence[str]
    most: int
    dice: random.Random
    done: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Scale now this one, now that one, until cancelled; at the end of that nothing is under way."""
        while True:
            await self._step(self.dice.choice(self.pools))
            await asyncio.sleep(self.dice.uniform(3, 9))

    async def roll_out(self, pool: str) -> None:
        """Change the template, as a new version of the handlers would."""
        self.done["rollout"] += 1
        number = {ROLLOUT: str(self.done["rollout"])}
        await self._patch(pool, {"spec": {"template": {"annotations": number}}})

    async def free(self, pool: str) -> None:
        """Have the autoscaler choose again."""
        self.done["freed"] += 1
        await self._patch(pool, {"spec": {"replicas": None}})

    async def _step(self, pool: str) -> None:
        if self.dice.random() < 0.3:
            await self.free(pool)
            return
        self.done["pinned"] += 1
        replicas = self.dice.randint(0, self.most)
        await asyncio.to_thread(self.installation.kubectl, "scale", "soldierpool", pool, f"--replicas={replicas}")

    async def _patch(self, pool: str, change: Mapping[str, Any]) -> None:
        patch = f"--patch={json.dumps(change)}"
        await asyncio.to_thread(self.installation.kubectl, "patch", "soldierpool", pool, "--type=merge", patch)
