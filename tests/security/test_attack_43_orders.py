"""Attack 43: a soldier of one pool makes up missions, or changes whose a mission is, with nothing but its token.

Each way in which a Commander takes a mission's content from outside is tried: claim, report, heartbeat, dead letter.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from support.commander_api import SECRET, Api, Soldier, serving
from support.commander_stage import eventually

from mission_broker.port import Message
from mission_contracts import messages, metrics, topology
from mission_contracts.envelope import Door, Envelope
from mission_contracts.install_key import InstallKey
from mission_contracts.messages import Order
from mission_contracts.mission import NUMBERS_PER_ERA, Epoch, Era, MissionId, Priority
from mission_contracts.order_seals import OrderSeals
from mission_contracts.soldiering import ClaimAnswer, Verdict

OWN = {"role": "soldier", "secret": SECRET, "namespace": "default", "pool": "own"}
OTHER_KEY = InstallKey(b"of another installation, and of no use")
CHANGES: Sequence[Any] = (
    pytest.param({"subject": "operator", "door": Door.CLUSTER}, id="another's"),
    pytest.param({"priority": Priority.HIGH}, id="more urgent"),
    pytest.param({"pool": "other"}, id="of another pool"),
    pytest.param({"namespace": "kube-system"}, id="of another namespace"),
    pytest.param({"deadline_seconds": 10_000_000.0}, id="for longer"),
)


class Thief(Soldier):
    """A soldier whose token is good for pool "own" only."""

    client_id = "soldiers-of-own"

    async def tell(self, order: Order) -> ClaimAnswer:
        return await self.claim(order, told=True)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving(
        more_clients={"soldiers-of-own": OWN}, limit_live=20, heartbeat_seconds=0.3, lease_seconds=1.0
    ) as api:
        for pool in ("own", "other"):
            await api.declare_pool(pool)
        await eventually(lambda: api.commander.eras.is_settled, "the era has settled")
        yield api


@pytest.fixture
async def thief(api: Api) -> Thief:
    thief = Thief(api, "thief", pool="own")
    assert (await thief.register()).status_code == 200
    return thief


def made_up(api: Api, mission_id: str = "made-up", **fields: Any) -> Order:
    """An order of an earlier era, as it would be after a loss of the ledger's data."""
    told: dict[str, Any] = {"namespace": "default", "pool": "own", "type": "noop", "subject": "ben"} | fields
    envelope = Envelope(mission_id=MissionId(mission_id), accepted_at=api.commander.clock.now(), **told)
    era = Era(api.commander.recorder.era - 1)
    epoch = Epoch(era * NUMBERS_PER_ERA + 7)
    return Order(v=messages.VERSION, era=era, epoch=epoch, envelope=envelope, payload=msgspec.Raw(b"{}"))


def records(api: Api) -> set[str]:
    return set(api.ledger.store.data.records)


@pytest.mark.parametrize(
    "fields", [{}, {"subject": "operator", "door": Door.CLUSTER, "name": "theirs"}], ids=["a user's", "the operator's"]
)
async def test_attack_43_a_claim_with_a_made_up_order_makes_no_mission(
    api: Api, thief: Thief, fields: dict[str, Any]
) -> None:
    unsealed = made_up(api, **fields)
    own_key = OrderSeals(OTHER_KEY)
    sealed_elsewhere = own_key.order(unsealed.era, unsealed.epoch, unsealed.envelope, b"{}")
    for order in (unsealed, sealed_elsewhere):
        assert (await thief.tell(order)).verdict is Verdict.WAIT
    assert records(api) == set()
    assert (await (await api.client("ben")).get("/missions")).json()["missions"] == []


async def test_attack_43_made_up_missions_use_up_no_quota(api: Api, thief: Thief) -> None:
    for number in range(20):
        await thief.tell(made_up(api, f"made-up-{number}"))
    assert (await api.submit("ben"))["state"] == "QUEUED"


@pytest.mark.parametrize("change", CHANGES)
async def test_attack_43_a_genuine_order_with_a_changed_envelope_is_none(
    api: Api, thief: Thief, change: dict[str, Any]
) -> None:
    order = await lost(api, thief)
    forged = msgspec.structs.replace(order, envelope=msgspec.structs.replace(order.envelope, **change))
    assert (await thief.tell(forged)).verdict is Verdict.WAIT
    other_payload = msgspec.structs.replace(order, payload=msgspec.Raw(b'{"to":"me"}'))
    assert (await thief.tell(other_payload)).verdict is Verdict.WAIT
    assert records(api) == set()
    assert (await thief.tell(order)).verdict is Verdict.RUN, "the order itself brings its mission back"


@pytest.mark.parametrize("change", CHANGES)
async def test_attack_43_a_report_on_a_lost_mission_rebuilds_it_as_it_was_or_not_at_all(
    api: Api, thief: Thief, change: dict[str, Any]
) -> None:
    order, granted = await lost_while_it_runs(api, thief)
    forged = msgspec.structs.replace(order, envelope=msgspec.structs.replace(order.envelope, **change))
    await thief.report(forged, granted)
    await eventually(lambda: unproven(api, "report") == 1, "it is dropped")
    assert records(api) == set()
    await thief.report(order, granted)
    await eventually(lambda: records(api) == {order.envelope.mission_id}, "a genuine one brings it back")
    assert api.ledger.store.data.records[order.envelope.mission_id].envelope == order.envelope


@pytest.mark.parametrize("change", CHANGES)
async def test_attack_43_a_heartbeat_on_a_lost_mission_rebuilds_it_as_it_was_or_not_at_all(
    api: Api, thief: Thief, change: dict[str, Any]
) -> None:
    order, _ = await lost_while_it_runs(api, thief)
    [hold] = thief.held.values()
    forged = msgspec.structs.replace(order.envelope, **change)
    hold |= {"envelope": msgspec.to_builtins(forged), "envelope_seal": order.envelope_seal}
    await thief.beat()
    assert records(api) == set()
    hold |= {"envelope": msgspec.to_builtins(order.envelope)}
    await thief.beat()
    assert api.ledger.store.data.records[order.envelope.mission_id].envelope == order.envelope


async def test_attack_43_a_made_up_dead_letter_makes_no_mission_and_is_kept(api: Api) -> None:
    body = messages.encode(made_up(api))
    await api.broker.publish([Message(exchange=topology.MISSIONS, key=topology.DEAD.key, body=body)])

    def is_kept() -> bool:
        kept = api.broker.server.find(topology.REJECTED.name)
        return kept is not None and kept.ready == 1

    await eventually(is_kept, "it is kept apart")
    assert records(api) == set()


@pytest.mark.parametrize("era", ["an earlier", "this"])
async def test_attack_43_neither_a_claim_nor_a_heartbeat_says_whether_there_is_a_mission_of_another_pool(
    api: Api, thief: Thief, era: str
) -> None:
    there = (await api.submit(pool="other"))["mission_id"]
    before = api.commander.recorder.era
    epoch = Epoch((before if era == "this" else before - 1) * NUMBERS_PER_ERA + 1)
    answers = []
    for mission_id in (there, "7d1f3a52-6c0e-4b8e-9a44-0a4a0c6e2f11"):
        order = msgspec.structs.replace(made_up(api, mission_id), epoch=epoch)
        asked = [await thief.claim(order), await thief.tell(order)]
        thief.held = {(mission_id, epoch): {"mission_id": mission_id, "epoch": epoch, "secret": "made up"}}
        beat = await thief.beat()
        answers.append((asked, beat.unknown, [one.epoch for one in beat.drops], beat.cancels, beat.applied))
    assert answers[0] == answers[1]


def unproven(api: Api, way: str) -> int:
    return api.commander.counts.number(metrics.UNPROVEN, way)


async def lost(api: Api, soldier: Soldier) -> Order:
    """A mission whose order is all that is left of it, some time later."""
    await api.submit("ben", pool=soldier.pool)
    async with soldier.taking():
        order = await soldier.next_order()
    await forget(api)
    return order


async def lost_while_it_runs(api: Api, soldier: Soldier) -> tuple[Order, ClaimAnswer]:
    await api.submit("ben", pool=soldier.pool)
    async with soldier.taking():
        order = await soldier.next_order()
    granted = await soldier.claim(order)
    assert granted.verdict is Verdict.RUN
    await forget(api)
    return order, granted


async def forget(api: Api) -> None:
    """Lose every mission, in the ledger and in memory, and let a new era settle."""
    commander, data = api.commander, api.ledger.store.data
    for mission_id in list(data.records):
        commander.memory.forget(mission_id)
    for part in (data.records, data.payloads, data.live, data.outbox):
        part.clear()
    era = commander.recorder.era
    commander.eras.enter(await api.ledger.begin_era(Era(era + 1), replaces=era))
    await eventually(lambda: commander.eras.is_settled, "the era has settled")
