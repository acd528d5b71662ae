"""GET /rejected: what nobody could use, for administrators, and it stays where it is."""

from support.commander_api import Api
from support.commander_stage import eventually

from mission_broker.port import Message
from mission_contracts import metrics, topology
from mission_contracts.rest import StatusView


async def _reject(api: Api, *bodies: bytes) -> None:
    """Have the Commander meet reports that it cannot read."""
    before = sum(api.commander.counts.of(metrics.REJECTED).values())
    status = topology.STATUS
    await api.broker.publish([Message(exchange=status.bound_to, key=status.key, body=body) for body in bodies])
    await eventually(
        lambda: sum(api.commander.counts.of(metrics.REJECTED).values()) == before + len(bodies), "they are rejected"
    )


async def test_an_administrator_reads_what_was_rejected_and_why_and_it_stays(api: Api) -> None:
    await _reject(api, b"hello \xff")
    await _reject(api, b"{}")
    for _ in range(2):
        page = (await (await api.client("ada")).get("/rejected")).raise_for_status().json()
        assert (page["count"], page["read"]) == (2, 2)
        shown = {one["body"]: one for one in page["rejected"]}
        assert shown.keys() == {"hello \\xff", "{}"}
        first = shown["hello \\xff"]
        assert (first["queue"], first["defect"], first["bytes"]) == ("missions.status", "not JSON", 7)
        assert first["reason"]
        moments = [one["rejected_at"] for one in page["rejected"]]
        assert moments == sorted(moments, reverse=True), "the newest comes first"
    status = await (await api.client("ada")).get("/status")
    assert StatusView(**status.json()).rejected == 2


async def test_no_more_than_asked_for_are_shown_and_all_are_counted(api: Api) -> None:
    await _reject(api, *(b"?" * number for number in range(1, 6)))
    page = (await (await api.client("ada")).get("/rejected", params={"limit": 2})).json()
    assert (page["count"], page["read"], len(page["rejected"])) == (5, 5, 2)


async def test_what_strangers_put_there_is_shown_as_far_as_it_goes(api: Api) -> None:
    headers = {"rejected-at": "soon", "bytes": "many"}
    await api.broker.publish(
        [Message(exchange=topology.REJECTED.bound_to, key=topology.REJECTED.key, body=b"x" * 2000, headers=headers)]
    )
    page = (await (await api.client("ada")).get("/rejected")).json()
    assert page["rejected"] == [
        {"rejected_at": None, "queue": "", "defect": "", "reason": "", "bytes": 2000, "body": "x" * 1024}
    ]


async def test_an_empty_queue_is_an_empty_page(api: Api) -> None:
    page = (await (await api.client("ada")).get("/rejected")).json()
    assert page == {"count": 0, "read": 0, "rejected": []}


async def test_without_its_broker_it_says_when_to_ask_again(api: Api) -> None:
    api.broker.cut()
    answer = await (await api.client("ada")).get("/rejected")
    assert answer.status_code == 503
    assert answer.json()["code"] == "BrokerAway"
    assert answer.headers["Retry-After"] == "1"


async def test_nobody_else_reads_them(api: Api) -> None:
    for who in ("anna", "vera", "operator", "soldiers"):
        assert (await (await api.client(who)).get("/rejected")).status_code == 403
    assert (await (await api.stranger()).get("/rejected")).status_code == 401
