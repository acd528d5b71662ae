"""docs/reference/metrics.md: every number of `GET /metrics`, from the contracts that name them."""

from collections.abc import Iterable, Iterator
from typing import Final

from mission_contracts import metrics
from mission_contracts.metrics import Metric

_HEADING: Final = """# Metrics

`GET /metrics` of the Commander, in Prometheus' text format or OpenMetrics, as the scraper asks for. It is served on the
API's port and needs no token, unless `COMMANDER_METRICS_ACCESS` is `token`: it holds numbers of the whole installation,
and no ids, payloads, or names of pools or users.

Counters and histograms begin at 0 with each process and are each Commander's own: add them up over replicas. Gauges
tell of the whole installation as each Commander sees it: take their maximum, never their sum. A gauge that cannot be
read now (the ledger is away, say) is left out.

## What to watch

| Watch | Because |
| --- | --- |
| `max(missioncontrol_ledger_up) < 1` or `max(missioncontrol_broker_up) < 1` | half of the installation is away |
| `max(missioncontrol_durability_weak) > 0` | an accepted mission may be lost in a crash of Redis |
| `max(missioncontrol_on_duty) < 1` for a minute | nobody applies reports: every mission would seem to run for ever |
| `max(missions_unaccounted) > 0` for minutes | something is wrong that cannot be repaired; the log names each id |
| `max(missions_oldest_order_seconds)` | missions wait for soldiers: too few, or none handles their type |
| `max(missions_outbox_oldest_seconds)` | orders do not reach the broker |
| `max(missions_dead_letters) > 0` | missions gave up; `GET /dead-letters` says why |
| `sum(increase(missions_messages_rejected_total[1h])) > 0` | somebody publishes what cannot be read |
"""

_OF_SOLDIERS: Final = """## A soldier's own

Each soldier serves `GET /metrics` on its probe port (8081 in a pod), without a token, from a thread that answers also
while a handler blocks its event loop. All of it is that one process's: add up what you want to know of a pool.
"""


def page() -> str:
    """Give the page's text."""
    commander = [_HEADING, "## All of them\n", *_table(metrics.ALL)]
    return "\n".join([*commander, "", _OF_SOLDIERS, *_table(metrics.OF_SOLDIERS), ""])


def _table(shown: Iterable[Metric]) -> Iterator[str]:
    yield "| Metric | Kind | Labels | Meaning |"
    yield "| --- | --- | --- | --- |"
    yield from map(_row, shown)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind.value} | {labels} | {metric.help} |"
