"""GET /metrics: what a Prometheus reads, without a token and without a name."""

import re
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families
from support.commander_api import Api, Soldier, serving
from support.commander_stage import eventually

from mission_broker.port import Message
from mission_contracts import metrics, topology
from mission_contracts.metrics import Kind

PAGE = Path(__file__).parents[3] / "docs/reference/metrics.md"


class Numbers:
    """One answer of the route, by series."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self.families = list(families)
        self.series = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
        }

    def of(self, metric: metrics.Metric, **labels: str) -> float | None:
        return self.series.get((metric.name, *sorted(labels.items())))


async def read(api: Api) -> Numbers:
    answer = await (await api.stranger()).get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    return Numbers(text_string_to_metric_families(answer.text))


async def test_the_page_and_the_route_name_the_same_metrics(api: Api) -> None:
    served = {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, family.documentation)
        for family in (await read(api)).families
    }
    page = PAGE.read_text(encoding="utf-8").partition("## A soldier")[0]
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| [^|]* \| (.+) \|$",
        page,
        re.MULTILINE,
    )
    assert served == {name: (kind, meaning) for name, kind, meaning in rows}


async def test_openmetrics_is_served_to_whoever_asks_for_it(api: Api) -> None:
    answer = await (await api.stranger()).get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    families = open_metrics(answer.text)  # type: ignore[no-untyped-call]
    assert len(list(families)) == len(metrics.ALL)


async def test_one_mission_from_its_submission_to_its_end(api: Api, soldier: Soldier) -> None:
    mission = await api.submit()
    before = await read(api)
    assert before.of(metrics.LIVE, state="QUEUED", reason=mission["reason"]) == 1
    assert before.of(metrics.ACCEPTED) == 1
    assert before.of(metrics.OLDEST_ORDER) is not None
    await soldier.run_one()
    await api.get(mission["mission_id"], wait="10s")
    after = await read(api)
    assert after.of(metrics.LIVE, state="QUEUED", reason=mission["reason"]) is None
    assert after.of(metrics.FINISHED, state="COMPLETED", reason="Completed") == 1
    assert after.of(metrics.CLAIMS, answer="RUN") == 1
    assert after.of(metrics.REPORTS, kind="completed") == 1
    assert after.of(metrics.OLDEST_ORDER) == 0
    assert after.of(metrics.OUTBOX_DEPTH) == 0


async def test_a_final_mission_that_is_acknowledged_is_not_finished_twice(api: Api) -> None:
    mission = await api.submit(pool="unknown")
    await (await api.client("anna")).post(f"/missions/{mission['mission_id']}/cancel")
    acknowledged = await (await api.client("operator")).post(
        "/missions/acknowledged", json={"ids": [mission["mission_id"]]}
    )
    assert acknowledged.status_code == 204
    assert (await read(api)).of(metrics.FINISHED, state="CANCELLED", reason="Cancelled") == 1


async def test_the_commanders_own_state(api: Api) -> None:
    await eventually(lambda: not api.commander.vitals.ledger_is_away, "the ledger was asked")
    numbers = await read(api)
    assert numbers.of(metrics.LEDGER_UP) == 1
    assert numbers.of(metrics.BROKER_UP) == 1
    assert numbers.of(metrics.ERA) == api.commander.recorder.era


async def test_a_commit_is_measured(api: Api) -> None:
    await api.submit()
    numbers = await read(api)
    size, seconds = metrics.COMMIT_SIZE.name, metrics.COMMIT_SECONDS.name
    assert numbers.series[f"{size}_count",] == numbers.series[f"{seconds}_count",] >= 1
    assert numbers.series[f"{size}_sum",] >= 1


async def test_with_the_ledger_away_what_only_it_knows_is_left_out(api: Api) -> None:
    api.ledger.cut()
    await api.commander.vitals.look()
    numbers = await read(api)
    assert numbers.of(metrics.LEDGER_UP) == 0
    assert numbers.of(metrics.OUTBOX_DEPTH) is None
    assert numbers.of(metrics.BROKER_UP) == 1


async def test_requests_are_counted_by_the_route_as_it_is_written_down(api: Api) -> None:
    mission = await api.submit()
    await api.get(mission["mission_id"])
    client = await api.client("anna")
    await client.get("/missions/nobody-knows-it")
    await client.get("/no/such/route/4711")
    await client.request("PROPFIND", "/missions")
    numbers = await read(api)
    assert numbers.of(metrics.HTTP_REQUESTS, method="GET", route="/missions/{id}", status="200") == 1
    assert numbers.of(metrics.HTTP_REQUESTS, method="GET", route="/missions/{id}", status="404") == 1
    assert numbers.of(metrics.HTTP_REQUESTS, method="GET", route="none", status="404") == 1
    assert numbers.of(metrics.HTTP_REQUESTS, method="OTHER", route="/missions", status="405") == 1


async def test_a_message_that_cannot_be_read_is_counted(api: Api) -> None:
    await api.broker.publish([Message(exchange=topology.STATUS.bound_to, key=topology.STATUS.key, body=b"?")])
    await eventually(lambda: api.commander.counts.of(metrics.REJECTED), "a message was rejected")
    numbers = await read(api)
    assert numbers.of(metrics.REJECTED, queue=topology.STATUS.name, cause="malformed") == 1
    assert numbers.of(metrics.REPORTS_DROPPED, cause="malformed") == 1
    assert numbers.of(metrics.REJECTED_DEPTH) == 1


async def test_no_id_and_no_name_gets_into_a_metric(api: Api, soldier: Soldier) -> None:
    mission = await api.submit(payload={"secret": "s3cr3t"})
    await api.declare_pool("unheard-of")
    await soldier.run_one()
    text = (await (await api.stranger()).get("/metrics")).text
    for word in (mission["mission_id"], "s3cr3t", "unheard-of", "anna", soldier.instance):
        assert word not in text
    bounded = {
        "state",
        "reason",
        "queue",
        "cause",
        "answer",
        "kind",
        "method",
        "route",
        "status",
        "outcome",
        "limit",
        "way",
    }
    assert {label for metric in metrics.ALL for label in metric.labels} <= bounded


async def test_a_setting_asks_for_a_token() -> None:
    async with serving(metrics_access="token") as api:
        assert (await (await api.stranger()).get("/metrics")).status_code == 401
        assert (await (await api.client("soldiers")).get("/metrics")).status_code == 403
        assert (await (await api.client("vera")).get("/metrics")).status_code == 200


async def test_two_commanders_of_one_process_count_apart() -> None:
    async with serving() as one, serving() as other:
        await one.declare_pool()
        await one.submit()
        assert (await read(one)).of(metrics.ACCEPTED) == 1
        assert (await read(other)).of(metrics.ACCEPTED) == 0


async def test_a_counter_without_labels_is_there_before_it_moves(api: Api) -> None:
    """An alert on its rise needs the zero before it."""
    numbers = await read(api)
    plain = [metric for metric in metrics.ALL if metric.kind is Kind.COUNTER and not metric.labels]
    assert {metric.name: numbers.of(metric) for metric in plain} == {metric.name: 0 for metric in plain}
