"""A soldier whose token is good for one pool registers, claims and beats for that pool, and for no other."""

import pytest
from support.commander_api import SECRET, Soldier, serving

from mission_commander.settings import Client
from mission_contracts.soldiering import Verdict

OWN = {"role": "soldier", "secret": SECRET, "namespace": "default", "pool": "own"}


class Scoped(Soldier):
    """A soldier whose client may speak for pool "own" only."""

    client_id = "soldiers-of-own"


async def test_it_runs_missions_of_its_own_pool() -> None:
    async with serving(more_clients={"soldiers-of-own": OWN}) as api:
        await api.declare_pool("own")
        soldier = Scoped(api, pool="own")
        assert (await soldier.register()).status_code == 200
        await soldier.beat()
        mission = await api.submit(pool="own")
        async with soldier.taking():
            await soldier.run_one()
        assert (await api.get(mission["mission_id"], wait="5s"))["state"] == "COMPLETED"


async def test_it_cannot_register_for_another_pool() -> None:
    async with serving(more_clients={"soldiers-of-own": OWN}) as api:
        answer = await Scoped(api, pool="other").register()
        assert (answer.status_code, answer.json()["code"]) == (403, "WrongPool")


async def test_it_cannot_claim_a_mission_of_another_pool_whatever_it_says_it_is() -> None:
    async with serving(more_clients={"soldiers-of-own": OWN}) as api:
        for pool in ("own", "other"):
            await api.declare_pool(pool)
        thief = Scoped(api, "thief", pool="own")
        await thief.register()
        rightful = Soldier(api, "rightful", pool="other")
        await rightful.register()
        mission = await api.submit(pool="other")
        async with rightful.taking():
            order = await rightful.next_order()
            answer = await thief.claim(order)
            assert (answer.verdict, answer.drop) == (Verdict.WAIT, None), "as for one that is not there"
            await rightful.report(order, await rightful.claim(order))
        assert (await api.get(mission["mission_id"], wait="5s"))["state"] == "COMPLETED"


@pytest.mark.parametrize("deed", ["claims", "heartbeat"])
async def test_it_cannot_speak_for_another_pools_soldier(deed: str) -> None:
    async with serving(more_clients={"soldiers-of-own": OWN}) as api:
        await api.declare_pool("other")
        await Soldier(api, "rightful", pool="other").register()
        client = await api.client(Scoped.client_id)
        answer = await client.post(f"/soldiers/rightful/{deed}", json={})
        assert (answer.status_code, answer.json()["code"]) == (403, "WrongPool")


async def test_it_cannot_take_the_name_of_another_pools_soldier() -> None:
    async with serving(more_clients={"soldiers-of-own": OWN}) as api:
        await Soldier(api, "rightful", pool="other").register()
        answer = await Scoped(api, "rightful", pool="own").register()
        assert answer.status_code == 403


def test_a_client_is_limited_by_both_or_by_neither() -> None:
    with pytest.raises(ValueError, match="set both, or neither"):
        Client.model_validate({"secret": SECRET, "role": "soldier", "pool": "own"})
