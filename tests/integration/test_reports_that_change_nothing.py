"""Reports that nobody should believe, or that come too late, on a real broker: dropped, and counted by cause."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, NamedTuple

import aiormq
import msgspec
import pytest
from support.rest_door import RestDoor
from support.world import Servers, World

from mission_contracts import messages, topology
from mission_contracts.install_key import ClaimSecrets, InstallKey
from mission_contracts.messages import Report, ReportKind
from mission_contracts.metrics import REPORTS_DROPPED, Dropped
from mission_contracts.mission import NUMBERS_PER_ERA, Epoch, Era, Instance, MissionId
from mission_contracts.order_seals import OrderSeals
from mission_contracts.testing import a_mission, a_report

pytestmark = [pytest.mark.real, pytest.mark.timeout(90)]

PATIENCE_SECONDS = 20.0
LONG: Mapping[str, Any] = {"payload": {"min_seconds": 600, "max_seconds": 600, "success_rate": 1}}


@pytest.fixture(scope="module")
def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A Commander and one soldier; whatever is said to the Commander, it lives."""
    with World(servers, tmp_path_factory.mktemp("world")).running(drain_seconds="0") as world:
        yield world
        world.assert_well()


class Running(NamedTuple):
    """A mission that runs, as its soldier could report on it."""

    view: Mapping[str, Any]

    @property
    def instance(self) -> Instance:
        return Instance(self.view["soldier"])

    @property
    def epoch(self) -> Epoch:
        return Epoch(self.view["epoch"])

    def word(self, secrets: ClaimSecrets, kind: ReportKind = ReportKind.COMPLETED, **fields: Any) -> Report:
        told: dict[str, Any] = {"epoch": self.epoch, "instance": self.instance} | fields
        return a_report(a_mission(self.view["mission_id"]), kind, secrets=secrets, **told)


class Reporter:
    """Speaks to the Commander as soldiers do, and knows the install key."""

    def __init__(self, channel: aiormq.abc.AbstractChannel, rest: RestDoor, key: InstallKey) -> None:
        self._channel = channel
        self._rest = rest
        self.secrets = ClaimSecrets(key)
        self.seals = OrderSeals(key)

    async def say(self, *reports: Report, instance: Instance, era: int = 0) -> None:
        status = messages.StatusMessage(v=messages.VERSION, era=Era(era), instance=instance, reports=reports)
        queue = topology.STATUS
        await self._channel.basic_publish(
            messages.encode(status), exchange=queue.bound_to.name, routing_key=queue.key, timeout=PATIENCE_SECONDS
        )

    async def dropped(self) -> Mapping[str, int]:
        """How many reports changed nothing, by cause."""
        text = (await self._rest.client.get("/metrics")).raise_for_status().text
        found = {}
        for cause in Dropped:
            sample = f'{REPORTS_DROPPED.name}{{cause="{cause.value}"}} '
            lines = [line.removeprefix(sample) for line in text.splitlines() if line.startswith(sample)]
            found[cause.value] = int(float(lines[0])) if lines else 0
        return found

    async def until_dropped(self, before: Mapping[str, int], **more: int) -> None:
        """Wait until exactly so many more were dropped, for these causes and for no other."""
        wanted = {cause: number + more.get(cause, 0) for cause, number in before.items()}
        for _ in range(int(PATIENCE_SECONDS / 0.1)):
            if (now := await self.dropped()) == wanted:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"not within {PATIENCE_SECONDS:g} s: {more} more than {before}, but {now}")


@pytest.fixture
async def reporter(world: World, servers: Servers, rest: RestDoor) -> AsyncIterator[Reporter]:
    async with aiormq.connect(servers.rabbitmq_url) as connection:
        yield Reporter(await connection.channel(), rest, InstallKey(world.install_key.encode()))


@pytest.fixture
async def running(rest: RestDoor) -> AsyncIterator[Running]:
    """A mission that would run for ten minutes, and is cancelled when the test is over."""
    mission = await rest.submit("noted", **LONG)
    yield Running(await rest.until_it_is(mission["mission_id"], "IN_PROGRESS"))
    await rest.client.post(f"/missions/{mission['mission_id']}/cancel")
    await rest.until_final([mission["mission_id"]])


async def assert_untouched(rest: RestDoor, running: Running) -> None:
    assert await rest.get(running.view["mission_id"]) == running.view


FORGED = {
    "no secret": lambda word: msgspec.structs.replace(word, secret=""),
    "a wrong secret": lambda word: msgspec.structs.replace(word, secret="f" * 64),
    "the secret of another epoch": lambda word: msgspec.structs.replace(word, epoch=Epoch(word.epoch + 1)),
    "an epoch of a future era": lambda word: msgspec.structs.replace(word, epoch=Epoch(word.epoch + NUMBERS_PER_ERA)),
    "another mission's envelope": lambda word: msgspec.structs.replace(word, envelope=a_mission("another")),
    "another mission's id": lambda word: msgspec.structs.replace(word, mission_id=MissionId("another")),
}


@pytest.mark.parametrize("forgery", FORGED)
async def test_what_is_not_genuine_is_dropped(
    reporter: Reporter, rest: RestDoor, running: Running, forgery: str
) -> None:
    before, era = await reporter.dropped(), (await rest.status())["era"]
    await reporter.say(FORGED[forgery](running.word(reporter.secrets)), instance=running.instance)
    await reporter.until_dropped(before, wrong_secret=1)
    await assert_untouched(rest, running)
    assert (await rest.status())["era"] == era, "nobody's word but a genuine one begins an era"


async def test_another_instances_word_is_dropped(reporter: Reporter, rest: RestDoor, running: Running) -> None:
    before = await reporter.dropped()
    await reporter.say(running.word(reporter.secrets), instance=Instance("soldier-else"))
    await reporter.until_dropped(before, wrong_secret=1)
    await assert_untouched(rest, running)


async def test_a_word_of_an_instance_that_does_not_hold_it_is_dropped(
    reporter: Reporter, rest: RestDoor, running: Running
) -> None:
    before, other = await reporter.dropped(), Instance("soldier-else")
    await reporter.say(running.word(reporter.secrets, instance=other), instance=other)
    await reporter.until_dropped(before, not_held=1)
    await assert_untouched(rest, running)


@pytest.mark.parametrize("back", [1, NUMBERS_PER_ERA], ids=["of this era", "of an era before"])
async def test_a_word_of_an_older_epoch_is_dropped(
    reporter: Reporter, rest: RestDoor, running: Running, back: int
) -> None:
    before = await reporter.dropped()
    late = running.word(reporter.secrets, epoch=running.epoch - back)
    await reporter.say(late, instance=running.instance)
    await reporter.until_dropped(before, old_epoch=1)
    await assert_untouched(rest, running)


@pytest.mark.parametrize("era", [0, 1, 8_000_000_000], ids=["none", "of the past", "of the future"])
async def test_the_era_that_a_message_claims_changes_nothing_a_genuine_word_counts(
    reporter: Reporter, rest: RestDoor, running: Running, era: int
) -> None:
    in_force = (await rest.status())["era"]
    word = running.word(reporter.secrets, ReportKind.PROGRESS, progress=50.0)
    await reporter.say(word, instance=running.instance, era=era)
    for _ in range(int(PATIENCE_SECONDS / 0.1)):
        if (view := await rest.get(running.view["mission_id"])).get("progress") == 50:
            break
        await asyncio.sleep(0.1)
    assert view.get("progress") == 50
    assert (await rest.status())["era"] == in_force


async def test_after_the_end_and_twice_is_dropped(reporter: Reporter, rest: RestDoor, running: Running) -> None:
    before = await reporter.dropped()
    word = running.word(reporter.secrets, result=msgspec.Raw(b'"first"'))
    again = running.word(reporter.secrets, result=msgspec.Raw(b'"second"'))
    failed = running.word(reporter.secrets, ReportKind.FAILED)
    await reporter.say(word, word, instance=running.instance)
    await reporter.say(again, failed, instance=running.instance)
    await reporter.until_dropped(before, final=3)
    view = await rest.get(running.view["mission_id"])
    assert (view["state"], view["result"]) == ("COMPLETED", "first")


async def test_a_genuine_word_on_a_mission_that_the_ledger_lacks_rebuilds_it(
    reporter: Reporter, rest: RestDoor
) -> None:
    before, era = await reporter.dropped(), (await rest.status())["era"]
    instance, epoch = Instance("soldier-before"), (era - 1) * NUMBERS_PER_ERA + 7
    envelope = a_mission("3b9f0a52-0000-4000-8000-00000000feed", accepted_at=era * 60.0, subject="user")
    word = a_report(
        envelope,
        epoch=epoch,
        instance=instance,
        secrets=reporter.secrets,
        seals=reporter.seals,
        result=msgspec.Raw(b"42"),
    )
    await reporter.say(word, instance=instance)
    view = (await rest.until_final([envelope.mission_id]))[envelope.mission_id]
    assert (view["state"], view["result"], view["attempt"]) == ("COMPLETED", 42, 1)
    assert await reporter.dropped() == before
