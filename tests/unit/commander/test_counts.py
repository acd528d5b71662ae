"""Counters and histograms in plain numbers."""

from hypothesis import given
from hypothesis import strategies as st

from mission_commander.services.counts import Counts
from mission_contracts import metrics
from mission_contracts.metrics import Kind


def test_what_never_happened_is_zero_and_leaves_no_series_behind() -> None:
    counts = Counts()
    assert counts.number(metrics.CLAIMS, "RUN") == 0
    assert counts.of(metrics.CLAIMS) == {}


def test_each_label_is_counted_apart_from_its_neighbours() -> None:
    counts = Counts()
    counts.add(metrics.REJECTED, "missions.status", "malformed")
    counts.add(metrics.REJECTED, "missions.dead", "malformed", times=2)
    counts.add(metrics.REPUBLISHED)
    assert counts.of(metrics.REJECTED) == {("missions.status", "malformed"): 1, ("missions.dead", "malformed"): 2}
    assert counts.number(metrics.REPUBLISHED) == 1


def test_a_batch_is_counted_with_one_call() -> None:
    counts = Counts()
    counts.add_each(metrics.CLAIMS, [("RUN",), ("RUN",), ("final",)])
    assert counts.of(metrics.CLAIMS) == {("RUN",): 2, ("final",): 1}


def test_a_reader_holds_no_part_of_the_counter() -> None:
    counts = Counts()
    counts.add(metrics.CLAIMS, "RUN")
    read = counts.of(metrics.CLAIMS)
    counts.add(metrics.CLAIMS, "RUN")
    assert read == {("RUN",): 1}


@given(st.lists(st.floats(min_value=0, max_value=10)))
def test_a_histogram_tells_how_many_lay_at_or_below_each_bound(values: list[float]) -> None:
    counts = Counts()
    for value in values:
        counts.observe(metrics.COMMIT_SECONDS, value)
    found = counts.distribution(metrics.COMMIT_SECONDS)
    expected = [sum(value <= bound for value in values) for bound in metrics.COMMIT_SECONDS.bounds]
    assert found.up_to == (*expected, len(values))
    assert found.total == sum(values)


def test_names_are_unique_and_say_what_they_are() -> None:
    everything = metrics.ALL + metrics.OF_SOLDIERS
    assert len({metric.name for metric in everything}) == len(everything)
    for metric in everything:
        assert metric.name.startswith(("missions_", "missioncontrol_")), metric.name
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER), metric.name
        assert bool(metric.bounds) == (metric.kind is Kind.HISTOGRAM), metric.name


def test_every_metric_of_the_module_is_listed() -> None:
    named = [value for value in vars(metrics).values() if isinstance(value, metrics.Metric)]
    assert sorted(one.name for one in named) == sorted(one.name for one in metrics.ALL + metrics.OF_SOLDIERS)
