"""Two Commanders of any age, two keys that are used again and again, and a ledger that is purged, put back and wiped.

What an earlier mission of a key left behind (claims, reports, holds, orders, each with its true secret and seal) comes
at any time. The model knows the latest mission of each key, and its end; nothing else may ever be seen of the key.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.commander_stage import RETENTION_SECONDS, SOLDIER, a_pool, a_soldier
from support.lives import Commander, claim_of, order_of, report_on
from support.machines import machine_tests

from mission_broker.memory_server import MemoryServer
from mission_broker.rejecting import Rejects
from mission_commander.adapters.memory_ledger import MemoryData, MemoryLedger, MemoryStore
from mission_commander.domain.record import Mission, Phase
from mission_contracts import messages
from mission_contracts.mission import Instance, MissionId
from mission_contracts.soldiering import Verdict
from mission_contracts.testing import ERA, FakeClock

COMMANDERS = st.sampled_from([0, 1])
KEYS = st.sampled_from(["weekly", "daily"])
ANY = st.integers(0, 30)


@dataclass
class Life:
    """The latest mission of a key."""

    mission: Mission
    ended_at: float | None = None
    end: tuple[str, int] | None = None
    """State and epoch."""
    is_claimed: bool = False


@dataclass
class Key:
    """All that is known of one."""

    latest: Life | None = None
    top: int = 0
    """The highest number that any of its missions ever showed."""
    ids: set[MissionId] = field(default_factory=set)


class Lives(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock, self.server = FakeClock(), MemoryServer()
        self.store = MemoryStore(self.clock)
        self.store.data.era = ERA
        self.keys = {key: Key() for key in ("weekly", "daily")}
        self.left: list[Mission] = []
        """Hand-outs of any life, as whoever had them in hand remembers them."""
        self.backup: MemoryData | None = None
        self.tasks: list[asyncio.Task[None]] = []
        self.commanders = [self.runner.run(self.opened()), self.runner.run(self.opened())]

    # How.

    async def opened(self) -> Commander:
        """A Commander that came just now."""
        one = Commander(MemoryLedger(self.store), self.clock, self.server)
        one.recorder.horizon.enter(self.era)
        one.eras.enter(self.era)
        await one.garrison.declare(a_pool())
        await one.garrison.register(a_soldier())
        await one.feed.load()
        self.tasks.append(asyncio.create_task(one.recorder.run()))
        return one

    @property
    def era(self) -> Any:
        assert self.store.data.era is not None
        return self.store.data.era

    def teardown(self) -> None:
        async def end() -> None:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

        self.runner.run(end())
        self.runner.close()

    def live(self, mission_id: MissionId) -> Life | None:
        lives = [key.latest for key in self.keys.values()]
        return next((one for one in lives if one is not None and one.mission.id == mission_id), None)

    def is_free(self, life: Life) -> bool:
        return life.ended_at is not None and life.ended_at + RETENTION_SECONDS <= self.clock.now()

    # What is done.

    @rule(which=COMMANDERS, key=KEYS)
    def submit(self, which: int, key: str) -> None:
        known = self.keys[key]
        answer = self.runner.run(self.commanders[which].submit(key))
        is_free = known.latest is None or self.is_free(known.latest)
        assert answer.is_new is is_free, f"{answer} after {known.latest}"
        known.ids.add(answer.mission.id)
        assert len(known.ids) == 1, "one key is one id"
        if answer.is_new:
            assert min(answer.mission.sequence, answer.mission.epoch) > known.top, "above all that was shown"
            known.latest = Life(answer.mission)
            self.left.append(answer.mission)
        assert known.latest is not None
        assert answer.mission.envelope.accepted_at == known.latest.mission.envelope.accepted_at

    @precondition(lambda self: self.left)
    @rule(which=COMMANDERS, place=ANY, instance=st.sampled_from([SOLDIER, Instance("soldier-2")]))
    def claim(self, which: int, place: int, instance: Instance) -> None:
        handed_out = self.left[place % len(self.left)]
        claim = claim_of(handed_out, order=messages.encode(order_of(handed_out)))
        [answer] = self.runner.run(self.commanders[which].claims.answer_all(instance, [claim]))
        if answer.verdict is Verdict.RUN:
            self.is_of_the_latest(handed_out).is_claimed = True

    @precondition(lambda self: any(key.latest and key.latest.is_claimed for key in self.keys.values()))
    @rule(which=COMMANDERS, place=ANY)
    def report(self, which: int, place: int) -> None:
        """Of any hand-out there ever was, by its true secret: only the latest life of its key may end by it."""
        handed_out = self.left[place % len(self.left)]
        self.runner.run(self.reported(self.commanders[which], handed_out))

    async def reported(self, commander: Commander, mission: Mission) -> None:
        reporter = commander.a_reporter(Rejects(commander.broker, self.clock, count=commander.count_rejected))
        await reporter._decided([(SOLDIER, report_on(commander, mission))])

    @precondition(lambda self: self.left)
    @rule(which=COMMANDERS, place=ANY, is_told=st.booleans())
    def beat(self, which: int, place: int, is_told: bool) -> None:
        commander, handed_out = self.commanders[which], self.left[place % len(self.left)]
        if self.holds(handed_out):
            self.runner.run(commander.beat(commander.told(handed_out) if is_told else commander.hold(handed_out)))

    def holds(self, mission: Mission) -> bool:
        """A heartbeat lists what was granted: an earlier life's soldier may still list it, too."""
        latest = self.live(mission.id)
        return latest is not None and (latest.is_claimed or mission.epoch != latest.mission.epoch)

    @rule(which=COMMANDERS)
    def hear(self, which: int) -> None:
        self.runner.run(self.commanders[which].feed.load())

    @rule(which=COMMANDERS)
    def audit(self, which: int) -> None:
        commander = self.commanders[which]
        auditor = commander.auditor()

        async def look() -> None:
            for _ in range(3):
                await auditor.look()

        self.runner.run(look())
        assert not commander.eras.is_in_doubt, "nothing was lost that was not restored"

    @rule(share=st.sampled_from([0.1, 0.5, 1.01]))
    def time_passes(self, share: float) -> None:
        self.clock.turn(share * RETENTION_SECONDS)

    @rule(which=COMMANDERS)
    def purge(self, which: int) -> None:
        self.runner.run(self.commanders[which].purge())

    @rule(which=COMMANDERS)
    def a_commander_is_replaced(self, which: int) -> None:
        """Another one comes first, and loads what is live."""
        self.commanders[which] = self.runner.run(self.opened())

    @rule()
    def the_ledger_is_saved(self) -> None:
        self.backup = self.store.backup()

    @rule(is_wiped=st.booleans(), first=COMMANDERS)
    def the_ledger_loses_something(self, is_wiped: bool, first: int) -> None:
        """And both Commanders restore what they know, one after the other."""
        if is_wiped or self.backup is None:
            self.store.wipe()
        else:
            self.store.roll_back(self.backup)
        self.runner.run(self.restored(first))
        for key in self.keys.values():
            if key.latest is not None and not self.is_anywhere(key.latest):
                assert key.latest.end is not None, "what is live is remembered by both"
                key.latest = None  # an end that no living Commander saw

    async def restored(self, first: int) -> None:
        for which in (first, 1 - first):
            await self.commanders[which].restores()
        for commander in self.commanders:
            await commander.a_restorer().look()
            await commander.feed.load()
            commander.settle()

    def is_anywhere(self, life: Life) -> bool:
        accepted_at = life.mission.envelope.accepted_at
        held = [self.store.data.records.get(life.mission.id)]
        held += [one.memory.get(life.mission.id) for one in self.commanders]
        return any(one is not None and one.envelope.accepted_at == accepted_at for one in held)

    # What holds after every step.

    def is_of_the_latest(self, mission: Mission) -> Life:
        latest = self.live(mission.id)
        assert latest is not None
        assert latest.mission.envelope.accepted_at == mission.envelope.accepted_at, "an earlier life came back"
        return latest

    @invariant()
    def only_the_latest_mission_of_a_key_is_seen(self) -> None:
        for mission in tuple(self.store.data.records.values()):
            life = self.live(mission.id)
            if life is None:
                continue
            assert mission.envelope == life.mission.envelope, "the ledger holds an earlier life"
            self.note(mission, life)

    def note(self, mission: Mission, life: Life) -> None:
        key = next(one for one in self.keys.values() if one.latest is life)
        key.top = max(key.top, mission.sequence, mission.epoch)
        if mission.phase is Phase.OUT and mission.epoch != life.mission.epoch:
            life.mission, life.is_claimed = mission, False
            self.left.append(mission)
        if mission.is_final:
            end = mission.state.value, mission.epoch
            assert life.end in (None, end), "an end never changes"
            life.end, life.ended_at = end, mission.finished_at

    @invariant()
    def nothing_that_is_owed_is_lost(self) -> None:
        for key in self.keys.values():
            life = key.latest
            if life is None or self.is_free(life):
                continue
            held = self.store.data.records.get(life.mission.id)
            assert held is not None, "an accepted mission is gone"
            for commander in self.commanders:
                shown = self.runner.run(commander.shown(life.mission))
                assert shown is not None
                if shown.envelope != life.mission.envelope:
                    is_over = commander.memory.retention.is_over(shown, life.mission.envelope.accepted_at)
                    assert is_over, "what it has not heard of yet"


TestLives, TestLivesAtLength = machine_tests(Lives, steps=40, runs_services=True)
