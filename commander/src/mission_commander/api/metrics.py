"""`GET /metrics`: the Commander's numbers as Prometheus reads them.

The library only writes the text. Counting happens in plain objects that services are given, so nothing global is
shared between two Commanders in one process, and no lock is taken for each mission.
"""

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mission_commander.api.doors import PEOPLE, Doors
from mission_commander.services.counts import Counts
from mission_commander.services.gauges import Values
from mission_contracts import metrics
from mission_contracts.metrics import Kind


def routes(doors: Doors, registry: CollectorRegistry) -> list[Route]:
    """Numbers for Prometheus, gathered in a registry of this Commander's own."""
    commander = doors.commander
    numbers = Numbers(commander.counts)
    registry.register(numbers)

    async def show(request: Request) -> Response:
        if commander.settings.metrics_access == "token":
            doors.gate.admit(request, *PEOPLE)
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        numbers.gauges = await commander.gauges.read()
        return Response(encode(registry), headers={"content-type": content_type})

    return [Route("/metrics", show, methods=["GET"])]


class Numbers(Collector):
    """Words the newest gauges, and the counts, in the library's terms."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self.gauges: Mapping[metrics.Metric, Values] = {}

    def describe(self) -> Iterable[Metric]:
        """All there can be; asked once, when it is registered."""
        return [self._family(metric) for metric in metrics.ALL]

    def collect(self) -> Iterable[Metric]:
        return [self._family(metric) for metric in metrics.ALL]

    def _family(self, metric: metrics.Metric) -> Metric:
        match metric.kind:
            case Kind.COUNTER:
                return _counter(metric, self._counts)
            case Kind.GAUGE:
                return _gauge(metric, self.gauges.get(metric, {}))
            case Kind.HISTOGRAM:
                return _histogram(metric, self._counts)


def _counter(metric: metrics.Metric, counts: Counts) -> Metric:
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    # One without labels is there from the start: an alert on its rise needs the zero before it.
    found = counts.of(metric) or ({} if metric.labels else {(): 0})
    for labels, number in sorted(found.items()):
        family.add_metric(labels, number)
    return family


def _gauge(metric: metrics.Metric, values: Values) -> Metric:
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    return family


def _histogram(metric: metrics.Metric, counts: Counts) -> Metric:
    found = counts.distribution(metric)
    family = HistogramMetricFamily(metric.name, metric.help)
    family.add_metric((), _buckets(metric.bounds, found.up_to), found.total)
    return family


def _buckets(bounds: Sequence[float], up_to: Sequence[int]) -> list[tuple[str, float]]:
    names = [*(str(float(bound)) for bound in bounds), "+Inf"]
    return list(zip(names, up_to, strict=True))
