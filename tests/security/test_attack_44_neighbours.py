"""Attack 44: a soldier acts for another soldier of its own pool, or takes the name of one of another pool.

In a cluster a token is bound to its pod; with client secrets an instance belongs to the process that registered it.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from support.commander_api import SECRET, Api, serving

from mission_commander.services.workloads import Pod, Workload
from mission_contracts.mission import Instance

SERVICE_ACCOUNTS: dict[str, Any] = {"operator_account": "operator", "namespaces": "elsewhere"}
PODS = {
    "web-1": ("default", "own"),
    "web-2": ("default", "own"),
    "web-1-0123abcd": ("default", "own"),
    "other-1": ("default", "other"),
    "web-3": ("elsewhere", "own"),
}
"""Pods by name, each with its namespace and its pool."""


class Cluster:
    """Vouches for a token that is a pod's name."""

    async def review(self, token: str) -> Workload | None:
        if token not in PODS:
            return None
        return Workload(namespace=PODS[token][0], account="default", pod=token, pod_uid=f"uid of {token}")

    async def pod(self, _: str, name: str) -> Pod | None:
        return Pod(uid=f"uid of {name}", pool=PODS[name][1])


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving(cluster=Cluster(), **SERVICE_ACCOUNTS) as api:
        for pool in ("own", "other"):
            await api.declare_pool(pool)
        yield api


class Caller:
    """A soldier's requests, with one token."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    @classmethod
    async def of(cls, api: Api, **asked: Any) -> "Caller":
        client = await api.another()
        answer = await client.post("/token", json=asked)
        assert answer.status_code == 200, answer.text
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return cls(client)

    async def register(
        self, instance: str, *, pool: str = "own", namespace: str = "default", **fields: Any
    ) -> httpx.Response:
        body = {"instance": instance, "namespace": namespace, "pool": pool, "types": [{"name": "noop"}]}
        return await self.client.post("/soldiers", json=body | {"concurrency": 4} | fields)

    async def claim(self, instance: str) -> httpx.Response:
        return await self.client.post(f"/soldiers/{instance}/claims", json={"claims": []})

    async def beat(self, instance: str, *, left: bool = False) -> httpx.Response:
        beat = {"beat": 99, "after": 0, "era": 0, "held": [], "unclaimed": [], "slots": 4, "taking": True, "left": left}
        return await self.client.post(f"/soldiers/{instance}/heartbeat", json=beat)

    async def try_all(self, instance: str, **fields: Any) -> list[tuple[int, str]]:
        """What each of a soldier's requests is answered under a name that is not its own."""
        answers = [
            await self.register(instance, **fields),
            await self.claim(instance),
            await self.beat(instance),
            await self.beat(instance, left=True),
        ]
        return [(one.status_code, one.json().get("code", "")) for one in answers]


async def a_pod(api: Api, name: str) -> Caller:
    return await Caller.of(api, grant_type="service_account", assertion=name)


async def a_process(api: Api, **session: str) -> Caller:
    return await Caller.of(api, client_id="soldiers", client_secret=SECRET, **session)


async def works(caller: Caller, instance: str) -> None:
    answers = [await caller.register(instance), await caller.claim(instance), await caller.beat(instance)]
    assert [one.status_code for one in answers] == [200, 200, 200], [one.text for one in answers]


async def test_attack_44_a_pod_acts_for_all_its_own_starts(api: Api) -> None:
    pod = await a_pod(api, "web-1")
    for instance in ("web-1-0123abcd", "web-1-fedc9876"):
        await works(pod, instance)


@pytest.mark.parametrize(
    "instance",
    ["web-2-0123abcd", "web-1-0123abcd-89abcdef", "web-1", "web-10-123abcd", "web-1-0123ABCD", "web-1-0123abcd\n", "x"],
)
@pytest.mark.parametrize("is_there", [True, False], ids=["registered", "free"])
async def test_attack_44_a_pod_acts_for_no_other_name(api: Api, instance: str, is_there: bool) -> None:
    owner = {"web-2-0123abcd": "web-2", "web-1-0123abcd-89abcdef": "web-1-0123abcd"}.get(instance)
    if is_there and owner:
        await works(await a_pod(api, owner), instance)
    expected = [(403, "WrongInstance")] * 4
    if not instance.isprintable():
        expected[0] = (422, "BadField")
        instance = instance.replace("\n", "%0A")
    assert await (await a_pod(api, "web-1")).try_all(instance) == expected


async def test_attack_44_a_pod_cannot_take_the_name_of_another_pools_pod(api: Api) -> None:
    thief = await a_pod(api, "other-1")
    assert (await thief.register("web-1-0123abcd", pool="other")).status_code == 403
    assert (await thief.register("web-1-0123abcd", pool="own")).status_code == 403
    await works(await a_pod(api, "web-1"), "web-1-0123abcd")


async def test_attack_44_a_pod_cannot_register_as_another_pod(api: Api) -> None:
    """By that name the operator would find the pod to end when it scales in."""
    answer = await (await a_pod(api, "web-1")).register("web-1-0123abcd", pod="web-2")
    assert (answer.status_code, answer.json()["code"]) == (403, "WrongInstance")
    await works(await a_pod(api, "web-1"), "web-1-0123abcd")
    seen = api.commander.garrison.soldier(Instance("web-1-0123abcd"))
    assert seen is not None
    assert seen.registration.pod == "web-1"


async def test_attack_44_a_neighbour_with_the_same_secret_cannot_act_for_it(api: Api) -> None:
    owner = await a_process(api, session="of the owner, and secret")
    await works(owner, "host-0123abcd")
    for session in ({"session": "of the neighbour, not the owner"}, {}):
        neighbour = await a_process(api, **session)
        assert await neighbour.try_all("host-0123abcd") == [(403, "WrongInstance")] * 4
    again = await a_process(api, session="of the owner, and secret")
    await works(again, "host-0123abcd")


async def test_attack_44_what_the_ledger_shows_of_a_session_opens_nothing(api: Api) -> None:
    await works(await a_process(api, session="of the owner, and secret"), "host-0123abcd")
    shown = api.ledger.store.data.registrations[Instance("host-0123abcd")].owner
    neighbour = await a_process(api, session=shown)
    assert await neighbour.try_all("host-0123abcd", owner=shown) == [(403, "WrongInstance")] * 4


async def test_attack_44_a_process_cannot_act_for_a_pod(api: Api) -> None:
    await works(await a_pod(api, "web-1"), "web-1-0123abcd")
    for session in ({"session": "of a process somewhere"}, {"session": "pod" * 8}, {}):
        process = await a_process(api, **session)
        assert await process.try_all("web-1-0123abcd") == [(403, "WrongInstance")] * 4


async def test_attack_44_another_commander_knows_the_owner_too(api: Api) -> None:
    await works(await a_process(api, session="of the owner, and secret"), "host-0123abcd")
    api.commander.garrison._roster.remove(Instance("host-0123abcd"))
    neighbour = await a_process(api, session="of the neighbour, not the owner")
    assert (await neighbour.claim("host-0123abcd")).status_code == 403


@pytest.mark.parametrize("deed", ["claim", "beat"])
async def test_attack_44_an_instance_that_is_not_registered_gets_nothing(api: Api, deed: str) -> None:
    answer = await getattr(await a_process(api), deed)("host-0123abcd")
    assert (answer.status_code, answer.json()["code"]) == (404, "UnknownSoldier")
