"""Missions, made true on both sides: what objects ask for at the Commander, what the Commander says in objects.

Everything arrives here as a look (at an object) or as a view (from the Commander), in any order and any number of
times. Both are handled at once and without waiting; what takes time is handed to a queue that persists.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol, assert_never

import msgspec
import structlog

from mission_contracts.clock import Clock
from mission_contracts.errors import Problem
from mission_contracts.mission import MissionId, Reason
from mission_contracts.rest import BatchItem, MissionView
from mission_operator.announcing import Announcer
from mission_operator.canary import Echoes
from mission_operator.commander.acknowledging import Acknowledger
from mission_operator.commander.deeds import Deeds
from mission_operator.commander.outbox import Outbox, Pending
from mission_operator.commander.reachability import Reachability
from mission_operator.kube import Answer, Partial
from mission_operator.missions import deciding, refusing, status
from mission_operator.missions.deciding import decide, expiry_of
from mission_operator.missions.expiring import Deleting, Expiry
from mission_operator.missions.index import UNKNOWN, Cancelling, Index
from mission_operator.missions.leaving import Leavers, ReadingMissions
from mission_operator.missions.observing import Observed, observe
from mission_operator.missions.rendering import Renderer
from mission_operator.missions.submitting import submission
from mission_operator.missions.writing import Fate, StatusApi, StatusWriter

_log: Final = structlog.get_logger()

UNREACHABLE_AFTER_SECONDS: Final = 2.0
_MAX_FORGOTTEN: Final = 20_000
"""Ids of ended missions; the Commander speaks of one for the last time some seconds after it was forgotten."""


class MissionsOfCommander(Protocol):
    """The Commander, as far as missions go."""

    async def submit(self, bodies: Sequence[bytes]) -> Sequence[BatchItem]: ...
    async def acknowledge(self, ids: Sequence[MissionId]) -> None: ...
    async def set_suspend(self, mission_id: MissionId, suspend: bool) -> MissionView | None: ...
    async def cancel(self, mission_id: MissionId, *, deleted: bool) -> MissionView | None: ...


class MissionObjects(StatusApi, Deleting, ReadingMissions, Protocol):
    """The API server, as far as Mission objects go."""


class MissionReconciler:
    """Looks at objects, takes views, and keeps each informed of the other."""

    def __init__(
        self,
        commander: MissionsOfCommander,
        objects: MissionObjects,
        reachability: Reachability,
        announcer: Announcer,
        echoes: Echoes,
        clock: Clock,
        *,
        on_room: Callable[[], None],
        patches_in_flight: int = 32,
        hold_seconds: float = 0.1,
        leaves_out_ended: bool = False,
    ) -> None:
        self._commander = commander
        self._reachability = reachability
        self._announcer = announcer
        self._echoes = echoes
        self._clock = clock
        self._on_room = on_room
        self._left_out = False
        self._unseen: dict[MissionId, MissionView] = {}
        self._leaves_out_ended = leaves_out_ended
        self._forgotten: OrderedDict[MissionId, None] = OrderedDict()
        self._leavers = Leavers(
            objects,
            has_ended=lambda mission_id: self.index.of(mission_id).is_final,
            on_ended=self._found_ended,
            on_gone=self._found_deleted,
        )
        self.index = Index()
        self.outbox = Outbox(
            commander, reachability, on_accepted=self._accepted, on_refused=self._refused, on_held_up=self._held_up
        )
        self._deeds = Deeds(reachability)
        self._acknowledger = Acknowledger(commander, reachability, self._acknowledged)
        self._expiry = Expiry(objects, clock)
        self.writer = StatusWriter(
            objects,
            Renderer(self.index, clock),
            sequence_shown=lambda mission_id: self.index.of(mission_id).sequence,
            on_fate=self._written,
            in_flight=patches_in_flight,
            hold_seconds=hold_seconds,
        )

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for part in (self.outbox, self._deeds, self._acknowledger, self._expiry, self.writer, self._leavers):
                group.create_task(part.run())
            group.create_task(self._show_that_the_commander_is_away())

    # Looks: from objects to the Commander.

    def look(self, body: Mapping[str, Any], *, is_gone: bool = False) -> None:
        """Look at an object, and do what it calls for. Whatever is wrong with it stays with it."""
        try:
            self._look(body, is_gone=is_gone)
        except Exception as error:  # noqa: BLE001 - one object must not end the service of all others
            _log.error("an object was passed over", object=_identity(body), why=repr(error))

    def _look(self, body: Mapping[str, Any], *, is_gone: bool) -> None:
        observed = observe(body, is_gone=is_gone)
        self._echoes.seen(observed.resource_version)
        if self.index.is_stale(observed):
            return
        if is_gone and self._leaves_out_ended and not observed.is_final:
            self._leave(observed)
            return
        self._act(observed, body)

    def _act(self, observed: Observed, body: Mapping[str, Any]) -> None:
        known = self.index.see(observed)
        if expiry_of(observed) is None:
            self._expiry.drop(observed.mission_id)
        for action in decide(observed, known):
            self._apply(action, observed, body)
        if view := self._unseen.pop(observed.mission_id, None):
            self.take_view(view)

    def look_at_ended(self, body: Mapping[str, Any], is_gone: bool) -> None:
        """Look at an object that ended and has a time to live, or had one. It is remembered for its deletion alone."""
        observed = observe(body, is_gone=is_gone)
        at = expiry_of(observed)
        if at is None:
            self._expiry.drop(observed.mission_id)
        else:
            self._expiry.plan(observed.mission_id, observed.namespace, observed.name, at)

    # Objects that left the watch.

    def _leave(self, observed: Observed) -> None:
        if self.index.of(observed.mission_id).is_final:
            self._forget_ended(observed.mission_id)
        else:
            self._leavers.take(observed)

    def _found_ended(self, observed: Observed, body: Mapping[str, Any] | None) -> None:
        """It ended, by our own hand or, as its body shows, by another's; or it is there after all."""
        if body is not None:
            self.look(body)
        if self.index.of(observed.mission_id).is_final:
            self._forget_ended(observed.mission_id)

    def _found_deleted(self, observed: Observed) -> None:
        if not self.index.is_stale(observed):
            self._act(msgspec.structs.replace(observed, is_gone=True), {})

    def _forget_ended(self, mission_id: MissionId) -> None:
        """Remember what has ended until the Commander knows that it shows its end, and no longer."""
        known = self.index.mark_gone(mission_id)
        if known.is_acknowledged or not known.is_accepted:
            self._forget(mission_id)

    def _forget(self, mission_id: MissionId) -> None:
        """What the Commander still says of it (that it counted the acknowledgement) is of no interest."""
        self.index.forget(mission_id)
        self._forgotten[mission_id] = None
        if len(self._forgotten) > _MAX_FORGOTTEN:
            self._forgotten.popitem(last=False)

    def look_again(self, body: Mapping[str, Any]) -> None:
        """Look at an object as if for the first time: the Commander does not know what it was told about it."""
        self.index.change(
            MissionId(body["metadata"]["uid"]),
            is_submitted=False, is_accepted=False, suspend=None, cancelling=Cancelling.NO,
        )  # fmt: skip
        self.look(body)

    def found_gone(self, mission_id: MissionId) -> None:
        """An object turned out to be gone; its deletion was not seen."""
        unseen = self._unseen.pop(mission_id, None)
        known = self.index.mark_gone(mission_id)
        if known.is_final or (unseen is not None and unseen.state.is_final):
            self._acknowledger.offer(mission_id)
        elif known.cancelling is not Cancelling.DELETED:
            self._cancel(mission_id, deleted=True)

    def found_told(self, mission_id: MissionId) -> None:
        """The Commander keeps a final mission whose object shows its end, or is gone."""
        self._acknowledger.offer(mission_id)

    def _apply(self, action: deciding.Action, observed: Observed, body: Mapping[str, Any]) -> None:
        match action:
            case deciding.Submit():
                self._submit(observed, body)
            case deciding.SetSuspend(suspend):
                self._set_suspend(observed.mission_id, suspend)
            case deciding.Cancel(deleted):
                self._cancel(observed.mission_id, deleted=deleted)
            case deciding.Acknowledge():
                self._acknowledger.offer(observed.mission_id)
            case deciding.Expire(at):
                self._expiry.plan(observed.mission_id, observed.namespace, observed.name, at)
            case _:
                assert_never(action)

    def _submit(self, observed: Observed, body: Mapping[str, Any]) -> None:
        if why := refusing.why_unfit(body):
            self.index.change(observed.mission_id, is_submitted=True)
            self._refuse(observed.mission_id, observed.namespace, observed.name, why)
        elif self.outbox.offer(submission(observed, body.get("spec") or {})):
            self.index.change(observed.mission_id, is_submitted=True, suspend=observed.suspend)
        else:
            self._left_out = True

    def _set_suspend(self, mission_id: MissionId, suspend: bool) -> None:
        self.index.change(mission_id, suspend=suspend)

        async def tell() -> None:
            await self.outbox.settled(mission_id)
            view = await self._commander.set_suspend(mission_id, suspend)
            if view is not None:
                self.take_view(view)

        self._deeds.do(mission_id, "suspend", tell)

    def _cancel(self, mission_id: MissionId, *, deleted: bool) -> None:
        self.index.change(mission_id, cancelling=Cancelling.DELETED if deleted else Cancelling.ASKED)
        if deleted:
            self.outbox.withdraw(mission_id)

        async def tell() -> None:
            await self.outbox.settled(mission_id)
            view = await self._commander.cancel(mission_id, deleted=deleted)
            if view is not None:
                self.take_view(view)
            elif deleted:
                self._forget(mission_id)

        self._deeds.do(mission_id, "cancel", tell)

    # Views: from the Commander to objects.

    def unseen(self) -> tuple[MissionId, ...]:
        """Missions that the Commander spoke of, and whose objects were not looked at yet, if they exist."""
        return tuple(self._unseen)

    def take_view(self, view: MissionView) -> None:
        """Take the Commander's word on a mission; an older one than what is shown changes nothing."""
        known = self.index.of(view.mission_id)
        if known is UNKNOWN and view.mission_id in self._forgotten:
            return
        if known is UNKNOWN:
            self._unseen[view.mission_id] = view  # an operator that just started: what the object shows comes first
            return
        if known.is_gone:
            if view.state.is_final:
                self._acknowledger.offer(view.mission_id)
            return
        if known.is_final:
            return  # nothing follows an end: the ledger only counts on when it is acknowledged
        self.writer.offer(view)
        self._announcer.tell_of(view)

    def _accepted(self, pending: Pending, view: MissionView) -> None:
        self.index.change(pending.mission_id, is_accepted=True)
        self.take_view(view)
        if self._left_out and self.outbox.is_empty:
            self._left_out = False
            self._on_room()

    def _refused(self, pending: Pending, problem: Problem) -> None:
        self._refuse(pending.mission_id, pending.namespace, pending.name, refusing.sentence(problem))

    def _refuse(self, mission_id: MissionId, namespace: str, name: str, why: str) -> None:
        known = self.index.of(mission_id)
        if known.sequence > 0:
            # It was accepted once: its fate is the ledger's to tell, and a refusal now is a fault of ours or theirs.
            _log.error(
                "a mission was refused that had been accepted before; its object is left as it is",
                mission_id=mission_id, name=name, why=why,
            )  # fmt: skip
            return
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        self.take_view(status.refused(mission_id, namespace, name, why, sequence=max(known.sequence, 0) + 1, now=now))

    def _held_up(self, pending: Pending, problem: Problem) -> None:
        if self.index.of(pending.mission_id).sequence <= 0:  # else it was accepted once, and shows what became of it
            one = status.not_admitted_yet(pending.mission_id, pending.namespace, pending.name, problem.detail)
            self.writer.offer(one)

    def _written(self, view: MissionView, fate: Fate, answer: Answer | None) -> None:
        match fate:
            case Fate.WRITTEN:
                self._note_written(view, answer)
            case Fate.GONE:
                self._note_gone(view)
            case Fate.REFUSED:
                _log.error("no status of this mission is taken by the API server", mission_id=view.mission_id)
            case Fate.STALE:
                pass

    def _note_written(self, view: MissionView, answer: Answer | None) -> None:
        known = self.index.of(view.mission_id)
        is_final = known.is_final or view.state.is_final
        self.index.change(view.mission_id, sequence=max(view.sequence, known.sequence), is_final=is_final)
        if answer is not None:
            self._echoes.expect(int(answer.read(Partial).metadata.resource_version or 0))
        if view.state.is_final and view.reason != Reason.REFUSED:
            self._acknowledger.offer(view.mission_id)

    def _note_gone(self, view: MissionView) -> None:
        known = self.index.mark_gone(view.mission_id)
        if view.state.is_final:
            self._acknowledger.offer(view.mission_id)
        elif known.cancelling is not Cancelling.DELETED:
            self._cancel(view.mission_id, deleted=True)

    def _acknowledged(self, mission_id: MissionId) -> None:
        known = self.index.change(mission_id, is_acknowledged=True)
        if known is not UNKNOWN and known.is_gone:
            self._forget(mission_id)

    async def _show_that_the_commander_is_away(self) -> None:
        while True:
            await asyncio.sleep(UNREACHABLE_AFTER_SECONDS / 4)
            if self._reachability.away_seconds >= UNREACHABLE_AFTER_SECONDS:
                for one in self.outbox.waiting():
                    self.writer.offer(status.unreachable(one.mission_id, one.namespace, one.name))


def _identity(body: Mapping[str, Any]) -> str:
    metadata = body.get("metadata")
    return str(metadata.get("name") or metadata.get("uid")) if isinstance(metadata, Mapping) else ""
