"""All rounds of a run, one after the other on one ground, and a last look at whether every end has stayed as it was."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from benchmarks import kube
from tools.stack import StackError

from chaos import doors
from chaos.doors import ObjectDoor, RestDoor
from chaos.errors import ChaosError
from chaos.faults import FAULTS
from chaos.ground import Ground
from chaos.history import History, Status
from chaos.measures import Outcome
from chaos.recorder import Recorder, recording
from chaos.rounds import Round, Tell
from chaos.schedule import Plan
from mission_commander.adapters.redis_ledger import RedisSettings

LAST_LOOK_SECONDS: Final = 30.0
SHOWN: Final = 5
SURPRISE: Final = "Traceback"
MEND_SECONDS: Final = 120.0


class Campaign:
    """Plays plans, and keeps what they came to."""

    def __init__(self, ground: Ground, recorder: Recorder, rest: RestDoor, objects: ObjectDoor, state: Path) -> None:
        self._ground = ground
        self._recorder = recorder
        self._rest = rest
        self._objects = objects
        self._state = state
        self._ends: dict[str, End] = {}
        self._object_ends: dict[str, Status] = {}

    async def play(self, plan: Plan, *, lease_seconds: float, tell: Tell) -> Outcome:
        """Play one round on a ground where all is well; its history is kept where it shows a violation."""
        async with asyncio.timeout(MEND_SECONDS):
            await self._ground.mend()
        fault = FAULTS[plan.fault](plan.seed, lease_seconds=lease_seconds)
        if fault.forgets:
            self._forget_what_a_loss_may_take()
        began_at = time.time()
        played = Round(self._ground, fault, plan, self._recorder, self._rest, self._objects, tell)
        try:
            outcome, history = await played.run()
        finally:
            async with asyncio.timeout(MEND_SECONDS):
                await fault.live_after(self._ground)
        if fault.purges:
            self._ends.clear()
        else:
            self._ends |= {one: End(told, began_at) for one, told in history.in_ledger.items() if told.state.is_final}
        self._object_ends |= {one: told for one, told in history.in_objects.items() if told.state.is_final}
        if not outcome.verdict.is_clean:
            self._keep(plan, outcome, history)
        return outcome

    async def surprises(self) -> list[str]:
        """What went wrong beside the rounds: ends that changed after theirs, answers 500, processes that crashed."""
        return [*await self._changed_ends(), *self._rest.surprises[:SHOWN], *self._crashes()]

    def _forget_what_a_loss_may_take(self) -> None:
        """The ledger is about to lose everything. A Commander's memory brings back what it saw become final; what was
        final before the older Commander began may be gone, and then only its object knows the end."""
        since = self._ground.remembered_since
        self._ends = {one: end for one, end in self._ends.items() if end.round_began_at > since}

    async def _changed_ends(self) -> list[str]:
        async with asyncio.timeout(LAST_LOOK_SECONDS):
            by_rest = await self._rest.look_up(list(self._ends))
            by_objects = await self._objects.look_up(self._object_ends)
        ends = {one: end.status for one, end in self._ends.items()}
        return [*changed("mission", ends, by_rest), *changed("object", self._object_ends, by_objects)]

    def _crashes(self) -> list[str]:
        found = []
        for part in self._ground.parts.values():
            said = part.log.read_text(errors="replace") if part.log.exists() else ""
            if SURPRISE in said:
                found.append(f"{part.name} was surprised:\n{said[said.index(SURPRISE) :][:2000]}")
        return found

    def _keep(self, plan: Plan, outcome: Outcome, history: History) -> None:
        folder = self._state / "violations"
        folder.mkdir(exist_ok=True)
        content = {
            "outcome": msgspec.to_builtins(outcome),
            "plan": msgspec.to_builtins(plan),
            "history": msgspec.to_builtins(history),
        }
        file = folder / f"{plan.fault}-{plan.number}.json"
        file.write_bytes(msgspec.json.format(msgspec.json.encode(content)))


class End(msgspec.Struct, frozen=True):
    """How a mission was told when its round ended, and when that round began."""

    status: Status
    round_began_at: float


def changed(what: str, before: Mapping[str, Status], after: Mapping[str, Status]) -> list[str]:
    """Say of each end that is told differently now what it was and what it is."""
    wrong = [
        f"{what} {one} was {_told(then)} when its round ended, and {_told(now)} at the end of the run"
        for one, then in before.items()
        if (now := after.get(one)) is None or (now.state, now.epoch) != (then.state, then.epoch)
    ]
    return wrong[:SHOWN]


def _told(status: Status | None) -> str:
    return "unknown" if status is None else f"{status.state} in epoch {status.epoch}"


@asynccontextmanager
async def campaign(ground: Ground, state: Path) -> AsyncIterator[Campaign]:
    """Open the doors and the recorder on a ground."""
    secrets = ground.installation.client_secrets
    ledger = RedisSettings(urls=(ground.servers.redis.url,), prefix=ground.installation.prefix)
    async with kube.connect(ground.servers.kube) as client, doors.session(ground.url) as session:
        # The operator's identity sees the missions of both doors.
        rest = RestDoor(session, "operator", secrets["operator"])
        async with recording(client, ground.namespace, ledger) as recorder:
            yield Campaign(ground, recorder, rest, ObjectDoor(client, ground.namespace), state)


async def play_all(
    ground: Ground,
    plans: Sequence[Plan],
    state: Path,
    *,
    lease_seconds: float,
    say: Callable[[int, str, int, int], None],
) -> tuple[list[Outcome], list[str]]:
    """Play every round. One that could not be played to its end proves nothing, which is told; the others go on."""
    outcomes: list[Outcome] = []
    surprises: list[str] = []
    async with campaign(ground, state) as here:
        for index, plan in enumerate(plans):
            try:
                outcomes.append(await here.play(plan, lease_seconds=lease_seconds, tell=partial(say, index)))
            except (ChaosError, StackError, TimeoutError) as error:
                surprises.append(f"{plan.fault} (round {plan.number}) proved nothing: {error}")
        return outcomes, [*surprises, *await here.surprises()]
