"""What happened since this Commander began, in plain numbers: nothing here waits, or knows who reads it."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import accumulate

import msgspec

from mission_contracts.metrics import Metric

Labels = tuple[str, ...]
"""A counter's label values, in the order of its metric's labels."""


class Distribution(msgspec.Struct, frozen=True):
    """A histogram: for each of its bounds, and for no bound at the end, how many values lay at or below it."""

    up_to: tuple[int, ...]
    total: float

    @property
    def count(self) -> int:
        return self.up_to[-1]


class _Histogram:
    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.found = [0] * (len(bounds) + 1)
        self.total = 0.0


class Counts:
    """Counters and histograms by metric. Several things that happened together are counted with one call."""

    def __init__(self) -> None:
        self._counters: defaultdict[str, Counter[Labels]] = defaultdict(Counter)
        self._histograms: dict[str, _Histogram] = {}

    def add(self, metric: Metric, *labels: str, times: int = 1) -> None:
        """Count one thing, or several of the same kind."""
        self._counters[metric.name][labels] += times

    def add_each(self, metric: Metric, labels: Iterable[Labels]) -> None:
        """Count a batch."""
        self._counters[metric.name].update(labels)

    def observe(self, metric: Metric, value: float) -> None:
        """Put a value into a histogram."""
        histogram = self._histograms.get(metric.name)
        if histogram is None:
            histogram = self._histograms[metric.name] = _Histogram(metric.bounds)
        histogram.found[bisect_left(histogram.bounds, value)] += 1
        histogram.total += value

    def of(self, metric: Metric) -> Mapping[Labels, int]:
        """A counter's numbers so far, by its labels' values."""
        return dict(self._counters.get(metric.name, {}))

    def number(self, metric: Metric, *labels: str) -> int:
        """One counter's number so far."""
        return self.of(metric).get(labels, 0)

    def distribution(self, metric: Metric) -> Distribution:
        """A histogram so far."""
        histogram = self._histograms.get(metric.name) or _Histogram(metric.bounds)
        return Distribution(tuple(accumulate(histogram.found)), histogram.total)
