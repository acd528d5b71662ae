"""One ordinary user, and one soldier of one pool: each calls every route that there is, and gets its own only.

The routes come from the application itself, so a route that is new fails here until the tables say what each of the two
may reach by it. The same tables are in docs/concepts/security.md. Everything of others bears a name by which an answer
that shows it is found out, and is compared with what it was before.
"""

import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from starlette.routing import Route, WebSocketRoute
from support.commander_api import SECRET, Api, Soldier, serving
from support.commander_stage import eventually
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from mission_commander.domain.record import Mission
from mission_contracts import messages, topology
from mission_contracts.messages import Order
from mission_contracts.mission import Failure, Reason, Sequence
from mission_contracts.soldiering import ClaimAnswers, HeartbeatAnswer, Verdict

SECURITY: Final = (Path(__file__).parents[2] / "docs/concepts/security.md").read_text()
PASSWORD: Final = "correct horse battery"
MARKS: Final = ("bens-", "hidden-pool", "rightful", "hidden-type", "gina")
"""What is in the names of everything that belongs to others."""
RIGHTS: Final = {"web": {"pools": ["web"], "types": ["noop"], "namespaces": ["default"]}}
CLIENTS: Final = {
    "anna": {"secret": SECRET, "role": "user", "rights": "web"},
    "bens-client": {"secret": SECRET, "role": "user"},
    "soldiers-of-web": {"secret": SECRET, "role": "soldier", "namespace": "default", "pool": "web"},
}
NOOP: Final[dict[str, Any]] = {"type": "noop", "payload": {}, "pool": "web"}
BEAT: Final[dict[str, Any]] = {
    "beat": 1, "after": 0, "era": 0, "held": [], "unclaimed": [], "slots": 4, "taking": True
}  # fmt: skip


class Ours(Soldier):
    """A soldier of pool web; its token and its instance are its own."""

    client_id = "soldiers-of-web"


@dataclass
class Others:
    """What belongs to others: missions of each kind, pools, a soldier and a user."""

    queued: str
    running: Order
    dead: str
    lost: Order
    all_missions: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class World:
    api: Api
    others: Others
    soldier: Ours
    own: str
    """A mission of the user's own, in a pool that it may use."""

    def state(self) -> object:
        """All that is not the two's own: it must be as it was afterwards."""
        data = self.api.ledger.store.data
        missions = {one.id: _without_reason(one) for one in data.records.values() if one.id in self.others.all_missions}
        soldiers = {name: one for name, one in data.registrations.items() if "rightful" in name}
        return missions, dict(data.pools), soldiers


def _without_reason(mission: Mission) -> Mission:
    """The Commander explains by itself why a mission waits."""
    return msgspec.structs.replace(mission, sequence=Sequence(0), reason=Reason.WAITING_FOR_SOLDIER, message="")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with serving(more_clients=CLIENTS, rights=RIGHTS, heartbeat_seconds=30, lease_seconds=300) as api:
        for pool in ("web", "hidden-pool"):
            await api.declare_pool(pool)
        ada = await api.client("ada")
        assert (await ada.post("/register", json={"username": "gina", "password": PASSWORD})).status_code == 201
        others = await _others(api)
        soldier = Ours(api, "ours", pool="web")
        assert (await soldier.register()).status_code == 200
        own = (await api.submit("anna", pool="web"))["mission_id"]
        yield World(api=api, others=others, soldier=soldier, own=own)


async def _others(api: Api) -> Others:
    rightful = Soldier(api, "rightful", pool="hidden-pool")
    assert (await rightful.register("hidden-type")).status_code == 200
    made: list[str] = []

    async def next_order(**fields: Any) -> Order:
        told = {"type": "hidden-type", "payload": {"of": "bens-"}, "pool": "hidden-pool", "name": "bens-own"} | fields
        made.append((await api.submit("bens-client", **told))["mission_id"])
        return await rightful.next_order()

    async with rightful.taking():
        dead = await next_order(retry={"max_attempts": 1})
        await rightful.fail(dead, await rightful.claim(dead), Failure.GIVE_UP, "bens-failure")
        running = await next_order()
        assert (await rightful.claim(running)).verdict is Verdict.RUN
        queued = await next_order()
    await eventually(lambda: api.commander.memory.live_count() == 2, "one has failed")
    return Others(queued.envelope.mission_id, running, dead.envelope.mission_id, queued, made)


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What one of the two gets from a route, in words; and how that is tried."""

    words: str
    tries: Callable[["Caller"], Any]


class Caller:
    """One of the two, with what it knows of the others."""

    def __init__(self, world: World, client: httpx.AsyncClient, method: str, path: str) -> None:
        self.world, self.client, self.method, self.path = world, client, method, path

    async def ask(self, *expected: int | str, path: str = "", headers: Any = None, **body: Any) -> httpx.Response:
        """Ask, and check that nothing of others is in the answer, nor another status or code than expected."""
        whole = path or self.path
        told = {"json": body["json"]} if "json" in body else {}
        answer = await self.client.request(self.method, whole, headers=headers, **told)
        assert answer.status_code in expected, f"{self.method} {whole}: {answer.status_code} {answer.text}"
        codes = [one for one in expected if isinstance(one, str)]
        assert not codes or answer.json()["code"] in codes, answer.text
        self.check(answer.text, asked=f"{whole} {body}")
        return answer

    def check(self, text: str, asked: str = "") -> None:
        shown = [mark for mark in (*MARKS, *self.world.others.all_missions) if mark in text and mark not in asked]
        assert not shown, f"{self.method} {self.path} shows {shown}: {text}"


async def wrong_role(caller: Caller) -> None:
    path = re.sub(r"{\w+}", "x", caller.path)
    await caller.ask(403, "WrongRole", path=path, json={})


async def public(caller: Caller) -> None:
    await caller.ask(200)


REFUSED: Final = Reach(words="403", tries=wrong_role)
PUBLIC: Final = Reach(words="what everybody gets without a token", tries=public)

# The user.


async def of_others(caller: Caller, *, json: Any = None) -> None:
    """Every mission of others is one that does not exist."""
    unknown = "7d1f3a52-6c0e-4b8e-9a44-0a4a0c6e2f11"
    for mission_id in (*caller.world.others.all_missions, unknown):
        await caller.ask(404, path=caller.path.replace("{id}", mission_id), json=json)


async def one_mission(caller: Caller) -> None:
    await of_others(caller, json={})
    expected = (409,) if caller.path.endswith(("retry", "redrive")) else (200,)
    await caller.ask(*expected, path=caller.path.replace("{id}", caller.world.own), json={})


async def submits(caller: Caller) -> None:
    await caller.ask(202, json=NOOP)
    for more, status, code in SUBMISSIONS:
        await caller.ask(status, code, json=NOOP | more)


SUBMISSIONS: Final[tuple[tuple[dict[str, Any], int, str], ...]] = (
    ({"pool": "hidden-pool"}, 403, "NoRight"),
    ({"type": "hidden-type"}, 403, "NoRight"),
    ({"priority": "High"}, 403, "NoRight"),
    ({"namespace": "elsewhere"}, 403, "NoRight"),
    ({"namespace": "kube-system"}, 422, "NamespaceNotServed"),
    ({"door": "cluster"}, 403, "OperatorOnly"),
    ({"mission_id": "7d1f3a52-6c0e-4b8e-9a44-0a4a0c6e2f11"}, 403, "OperatorOnly"),
    ({"subject": "bens-client"}, 422, "BadField"),
)


async def submits_many(caller: Caller) -> None:
    answer = await caller.ask(200, json={"missions": [NOOP, *(NOOP | more for more, *_ in SUBMISSIONS)]})
    assert [one["status"] for one in answer.json()["results"]] == [202, *(status for _, status, _ in SUBMISSIONS)]


async def lists(caller: Caller) -> None:
    for query in ("", "?pool=hidden-pool", "?type=hidden-type", "?live=true", "?namespace=elsewhere"):
        await caller.ask(200, path=caller.path + query)
    assert caller.world.own in (await caller.ask(200)).text


async def looks_up(caller: Caller) -> None:
    ids = [*caller.world.others.all_missions, caller.world.own]
    found = (await caller.ask(200, json={"ids": ids})).json()["missions"]
    assert [one and one["mission_id"] for one in found] == [None, None, None, caller.world.own]


async def dead_letters(caller: Caller) -> None:
    for query in ("", "?pool=hidden-pool", "?reason=HandlerGaveUp"):
        answer = await caller.client.get(caller.path + query)
        caller.check(answer.text, asked=query)
        assert answer.status_code == 422 or answer.json()["dead_letters"] == []


async def redrives_many(caller: Caller) -> None:
    answer = await caller.ask(200, json={})
    assert answer.json()["redriven"] == 0


async def follows(caller: Caller) -> None:
    """From the first event that there is; others' missions change meanwhile."""
    await caller.world.api.submit("bens-client", name="bens-other", pool="hidden-pool")
    later = (await caller.world.api.submit("anna", pool="web"))["mission_id"]
    async with caller.client.stream("GET", caller.path, headers={"Last-Event-ID": "0-1"}) as answer:
        assert answer.status_code == 200
        await _read_until(caller, answer, later)


async def follows_pools(caller: Caller) -> None:
    async with caller.client.stream("GET", caller.path) as answer:
        lines = answer.aiter_lines()
        caller.check(await anext(lines))
        await caller.world.api.submit("bens-client", name="bens-other", pool="hidden-pool")
        await caller.world.api.submit("anna", pool="web")
        await _read_until(caller, answer, '"name":"web"', lines)


async def _read_until(
    caller: Caller, answer: httpx.Response, text: str, lines: AsyncIterator[str] | None = None
) -> None:
    async for line in lines or answer.aiter_lines():
        caller.check(line)
        if text in line:
            return
    raise AssertionError(f"{text} never came")


async def pools(caller: Caller) -> None:
    assert [one["name"] for one in (await caller.ask(200)).json()["pools"]] == ["web"]


async def numbers(caller: Caller) -> None:
    await caller.ask(200)


async def logs_in(caller: Caller) -> None:
    name = {"username": "gina", "password": "a guess of the password"}
    await caller.ask(401, "BadCredentials", json=name)


async def gets_a_token(caller: Caller) -> None:
    for client_id in ("operator", "ada", "bens-client"):
        await caller.ask(401, "BadCredentials", json={"client_id": client_id, "client_secret": "a guess of a secret"})
    for grant in ("refresh_token", "service_account", "password"):
        await caller.ask(400, 401, 422, json={"grant_type": grant, "refresh_token": "mcr.x", "assertion": "x"})


async def logs_out(caller: Caller) -> None:
    await caller.ask(409, "NoLogin", json={})


async def deletes_a_user(caller: Caller) -> None:
    await caller.ask(403, "NotYours", json={"username": "gina", "password": "a guess of the password"})
    await caller.ask(403, "NotYours", json={"username": "gina", "password": PASSWORD})


async def socket(caller: Caller) -> None:
    async with _connected(caller) as connection:
        await connection.send(json.dumps({"kind": "subscribe", "after": "0-1"}))
        later = (await caller.world.api.submit("anna", pool="web"))["mission_id"]
        async for frame in connection:
            caller.check(str(frame))
            if later in str(frame):
                return


async def refused_socket(caller: Caller) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with _connected(caller):
            pass
    assert refused.value.response.status_code == 403


def _connected(caller: Caller) -> connect:
    address = f"ws://{urlsplit(caller.world.api.url).netloc}{caller.path}"
    return connect(address, additional_headers={"Authorization": caller.client.headers["Authorization"]}, proxy=None)


OWN_ONE: Final = Reach(words="its own mission; of others 404", tries=one_mission)
USER: Final[dict[str, Reach]] = {
    "POST /missions": Reach(words="missions within its rights", tries=submits),
    "POST /missions/batch": Reach(words="missions within its rights", tries=submits_many),
    "GET /missions": Reach(words="its own missions", tries=lists),
    "POST /missions/lookup": Reach(words="its own missions; of others null", tries=looks_up),
    "GET /missions/{id}": OWN_ONE,
    "PATCH /missions/{id}": OWN_ONE,
    "POST /missions/{id}/cancel": OWN_ONE,
    "POST /missions/{id}/retry": OWN_ONE,
    "GET /missions/{id}/history": OWN_ONE,
    "POST /missions/acknowledged": REFUSED,
    "GET /dead-letters": Reach(words="its own dead letters", tries=dead_letters),
    "POST /dead-letters/redrive": Reach(words="its own dead letters", tries=redrives_many),
    "POST /dead-letters/{id}/redrive": OWN_ONE,
    "GET /events": Reach(words="events of its own missions", tries=follows),
    "WS /ws": Reach(words="events of its own missions", tries=socket),
    "GET /pools": Reach(words="the pools that it may use", tries=pools),
    "GET /pools/events": Reach(words="the pools that it may use", tries=follows_pools),
    "PUT /pools/{namespace}/{name}": REFUSED,
    "DELETE /pools/{namespace}/{name}": REFUSED,
    "POST /soldiers": REFUSED,
    "POST /soldiers/{instance}/claims": REFUSED,
    "POST /soldiers/{instance}/heartbeat": REFUSED,
    "POST /scheduler/stop": REFUSED,
    "POST /scheduler/start": REFUSED,
    "GET /status": Reach(words="numbers of the whole installation, no names", tries=numbers),
    "GET /rejected": REFUSED,
    "POST /login": Reach(words="a login by name and password", tries=logs_in),
    "POST /logout": Reach(words="the end of its own login", tries=logs_out),
    "POST /token": Reach(words="a token for its own secret", tries=gets_a_token),
    "POST /register": REFUSED,
    "PATCH /users/{name}": REFUSED,
    "DELETE /delete-user": Reach(words="the end of its own account; of others 403", tries=deletes_a_user),
    **dict.fromkeys(
        (
            "GET /health", "GET /livez", "GET /readyz", "GET /metrics", "GET /.well-known/jwks.json",
            "GET /openapi.json", "GET /docs",
        ),
        PUBLIC,
    ),
}  # fmt: skip

# The soldier.


async def registers(caller: Caller) -> None:
    asked = {"namespace": "default", "pool": "web", "types": [{"name": "noop"}], "concurrency": 4}
    await caller.ask(403, "WrongInstance", "WrongPool", json=asked | {"instance": "rightful"})
    await caller.ask(403, "WrongPool", json=asked | {"instance": "rightful", "pool": "hidden-pool"})
    await caller.ask(403, "WrongPool", json=asked | {"instance": "ours", "namespace": "elsewhere"})
    await caller.ask(200, json=asked | {"instance": "ours", "owner": "somebody else's"})


async def claims(caller: Caller) -> None:
    """Every order of others, by what it knows of it; whole orders too, as if the ledger had lost them."""
    others, asked = caller.world.others, []
    for order in (others.running, others.lost):
        for epoch in (order.epoch, order.epoch + 1, order.epoch - 10_000_000):
            one = {"mission_id": order.envelope.mission_id, "epoch": epoch, "era": 0}
            one |= {"accepted_at": order.envelope.accepted_at}
            body = msgspec.to_builtins(messages.encode(msgspec.structs.replace(order, epoch=epoch)))
            asked += [one, one | {"order": body}]
    answer = await caller.ask(200, path=caller.path.replace("{instance}", "ours"), json={"claims": asked})
    for verdict in msgspec.json.decode(answer.content, type=ClaimAnswers).answers:
        assert verdict.verdict in {Verdict.WAIT, Verdict.TELL}
        assert not verdict.secret
    await caller.ask(403, path=caller.path.replace("{instance}", "rightful"), json={"claims": asked})


async def beats(caller: Caller) -> None:
    others = caller.world.others
    held = [
        {"mission_id": one.envelope.mission_id, "epoch": one.epoch, "secret": "made up", "reported": is_reported}
        for one in (others.running, others.lost)
        for is_reported in (False, True)
    ]
    path = caller.path.replace("{instance}", "ours")
    asked = BEAT | {"held": held}
    answer = await caller.client.post(path, json=asked)
    said = msgspec.json.decode(answer.content, type=HeartbeatAnswer)
    assert (said.unknown, said.cancels, said.applied, said.report_again) == ((), (), (), ())
    for left in (False, True):
        theirs = BEAT | {"beat": 99, "left": left}
        await caller.ask(403, path=caller.path.replace("{instance}", "rightful"), json=theirs)


SOLDIER: Final[dict[str, Reach]] = {
    **{name: REFUSED for name, reach in USER.items() if reach is not PUBLIC},
    **{name: PUBLIC for name, reach in USER.items() if reach is PUBLIC},
    "WS /ws": Reach(words="403", tries=refused_socket),
    "POST /soldiers": Reach(words="its own instance, in its pool", tries=registers),
    "POST /soldiers/{instance}/claims": Reach(words="orders of its pool, for its own instance", tries=claims),
    "POST /soldiers/{instance}/heartbeat": Reach(words="its own claims, for its own instance", tries=beats),
    "POST /login": USER["POST /login"],
    "POST /logout": USER["POST /logout"],
    "POST /token": USER["POST /token"],
}


def routes(api: Api) -> set[str]:
    """Every route of the application, as METHOD /path."""
    found = {"WS " + one.path for one in api.routes if isinstance(one, WebSocketRoute)}
    for one in api.routes:
        if isinstance(one, Route):
            found |= {f"{method} {one.path}" for method in (one.methods or set()) - {"HEAD"}}
    assert len(found) == len(api.routes), "a route of another kind"
    return found


async def test_every_route_has_its_row_for_both(world: World) -> None:
    assert set(USER) == routes(world.api)
    assert set(SOLDIER) == routes(world.api)


@pytest.mark.parametrize("name", USER)
async def test_one_ordinary_user_gets_its_own_only(world: World, name: str) -> None:
    await _tries(world, await world.api.client("anna"), name, USER[name])


@pytest.mark.parametrize("name", SOLDIER)
async def test_one_soldier_of_one_pool_gets_its_own_only(world: World, name: str) -> None:
    client = await world.api.client(Ours.client_id)
    await _tries(world, client, name, SOLDIER[name])


async def _tries(world: World, client: httpx.AsyncClient, name: str, reach: Reach) -> None:
    before = world.state()
    method, path = name.split()
    await reach.tries(Caller(world, client, method, path))
    assert world.state() == before, f"{name} changed what belongs to others"


def test_the_tables_are_in_the_documentation() -> None:
    rows = [f"| `{name}` | {USER[name].words} | {SOLDIER[name].words} |" for name in USER]
    missing = [row for row in rows if row not in SECURITY]
    assert not missing, "\n".join(["docs/concepts/security.md lacks these rows:", *missing])
    assert len(re.findall(r"^\| `(?:GET|POST|PUT|PATCH|DELETE|WS) /", SECURITY, flags=re.MULTILINE)) == len(rows)


def test_every_mark_of_others_would_be_found_out() -> None:
    """The check itself: an answer that shows anything of others fails."""
    assert all(mark.islower() for mark in MARKS)
    assert topology.orders_of("default", "hidden-pool").name.endswith("hidden-pool")
