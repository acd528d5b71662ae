"""Two Commanders of any age, two keys that are used again and again, and a ledger that is purged, put back and wiped.

What an earlier mission of a key left behind (claims, reports, holds, orders, each with its true secret and seal) comes
at any time. The model knows the missions of each key, and their ends; only the latest may ever be seen.

Each Commander hears of an end within its retention, as the event stream brings it within seconds. One that is cut off
for longer takes the mission for live, and nothing that is left says otherwise: it answers so, and restores it so.

A loss undoes an end where no living Commander knows it, or where its retention was over: nobody keeps those. What the
ledger then shows of the key is its latest mission; where it shows nothing, whoever has the last one's order in hand may
bring it back, and a submission begins the next one.
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
    """One mission of a key."""

    mission: Mission
    ended_at: float | None = None
    end: tuple[str, int] | None = None
    """State and epoch."""
    is_claimed: bool = False
    is_lost: bool = False
    """Its end was, and nothing was left of it."""

    def is_of(self, mission: Mission) -> bool:
        return self.mission.envelope.accepted_at == mission.envelope.accepted_at

    def has_ended(self, mission: Mission, at: float) -> None:
        end = mission.state.value, mission.epoch
        assert self.end in (None, end), "an end never changes"
        if self.end is None:
            self.end, self.ended_at = end, at

    def goes_on(self) -> None:
        """Its end is undone."""
        self.end, self.ended_at, self.is_lost = None, None, False


@dataclass
class Key:
    """All that is known of one."""

    lives: list[Life] = field(default_factory=list)
    top: int = 0
    """The highest number that any of its missions ever showed."""
    ids: set[MissionId] = field(default_factory=set)

    @property
    def latest(self) -> Life | None:
        return self.lives[-1] if self.lives else None


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
        self.heard_at = [self.clock.now()] * 2

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
        """Whether the key is that of no mission: its retention is over, or its end is lost."""
        is_over = life.ended_at is not None and life.ended_at + RETENTION_SECONDS <= self.clock.now()
        return is_over or life.is_lost

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
            known.lives.append(Life(answer.mission))
            self.left.append(answer.mission)
        assert known.latest is not None
        assert known.latest.is_of(answer.mission)

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
        self.heard_at[which] = self.clock.now()

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
        for which, heard_at in enumerate(self.heard_at):
            if self.clock.now() + share * RETENTION_SECONDS >= heard_at + RETENTION_SECONDS:
                self.hear(which)
        self.clock.turn(share * RETENTION_SECONDS)

    @rule(which=COMMANDERS)
    def purge(self, which: int) -> None:
        self.runner.run(self.commanders[which].purge())

    @rule(which=COMMANDERS)
    def a_commander_is_replaced(self, which: int) -> None:
        """Another one comes first, and loads what is live."""
        self.commanders[which] = self.runner.run(self.opened())
        self.heard_at[which] = self.clock.now()

    @rule()
    def the_ledger_is_saved(self) -> None:
        self.backup = self.store.backup()

    @rule(is_wiped=st.booleans(), first=COMMANDERS)
    def the_ledger_loses_something(self, is_wiped: bool, first: int) -> None:
        """And both Commanders restore what they know, one after the other."""
        owed = [life for life in self.latest() if self.is_known(life) and not self.is_free(life)]
        if is_wiped or self.backup is None:
            self.store.wipe()
        else:
            self.store.roll_back(self.backup)
        self.runner.run(self.restored(first))
        for key in self.keys.values():
            if key.latest is not None and key.latest not in owed:
                self.undo(key)

    async def restored(self, first: int) -> None:
        for which in (first, 1 - first):
            await self.commanders[which].restores()
        for which, commander in enumerate(self.commanders):
            await commander.a_restorer().look()
            await commander.feed.load()
            self.heard_at[which] = self.clock.now()
            commander.settle()

    def latest(self) -> list[Life]:
        return [key.latest for key in self.keys.values() if key.latest is not None]

    def is_known(self, life: Life) -> bool:
        """Whether a Commander knows it as it is: that it is live, or how it ended."""
        held = [one.memory.get(life.mission.id) for one in self.commanders]
        return any(one is not None and life.is_of(one) and one.is_final is (life.end is not None) for one in held)

    def undo(self, key: Key) -> None:
        """Take the ledger's word on a key of which nobody knew better."""
        [*_, life] = key.lives
        assert life.end is not None, "what is live is remembered"
        held = self.store.data.records.get(life.mission.id)
        if held is None:
            life.is_lost |= not self.is_free(life)
            return
        while not key.lives[-1].is_of(held):
            key.lives.pop()
        key.lives[-1].is_lost = False
        if not held.is_final:
            key.lives[-1].goes_on()

    # What holds after every step.

    def is_of_the_latest(self, mission: Mission) -> Life:
        latest = self.live(mission.id)
        assert latest is not None
        assert latest.is_of(mission), "an earlier life came back"
        if latest.is_lost:
            latest.goes_on()
        return latest

    @invariant()
    def only_the_latest_mission_of_a_key_is_seen(self) -> None:
        for mission in tuple(self.store.data.records.values()):
            life = self.is_of_the_latest(mission)
            assert mission.envelope == life.mission.envelope
            self.note(mission, life)

    def note(self, mission: Mission, life: Life) -> None:
        key = next(one for one in self.keys.values() if one.latest is life)
        key.top = max(key.top, mission.sequence, mission.epoch)
        if mission.phase is Phase.OUT and mission.epoch != life.mission.epoch:
            life.mission, life.is_claimed = mission, False
            self.left.append(mission)
        if mission.is_final:
            life.has_ended(mission, self.clock.now())
        else:
            assert life.end is None, "what has ended goes on"

    @invariant()
    def nothing_that_is_owed_is_lost(self) -> None:
        for life in self.latest():
            if self.is_free(life):
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
