"""A soldier's numbers as Prometheus' text: a few lines, so that user's images need no library for it."""

from collections.abc import Iterator, Mapping
from typing import Final

from mission_contracts.metrics import Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Values = Mapping[tuple[str, ...], float]
"""By the values of the metric's labels; () where it has none."""


def text_of(numbers: Mapping[Metric, Values]) -> str:
    """Write all of them."""
    return "".join(f"{line}\n" for metric, values in numbers.items() for line in _lines(metric, values))


def _lines(metric: Metric, values: Values) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}"
    yield f"# TYPE {metric.name} {metric.kind.value}"
    for labels, value in sorted(values.items()):
        yield f"{metric.name}{_labelled(metric, labels)} {value:g}"


def _labelled(metric: Metric, labels: tuple[str, ...]) -> str:
    pairs = ",".join(f'{name}="{value}"' for name, value in zip(metric.labels, labels, strict=True))
    return f"{{{pairs}}}" if pairs else ""
