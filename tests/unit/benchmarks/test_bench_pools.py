"""The figures of pools: what a watch shows becomes moments, and what is missing is no figure."""

import io

import msgspec
import pytest
from benchmarks.machine import Machine
from benchmarks.measures import BenchError
from benchmarks.pools import report
from benchmarks.pools.figures import ColdStart, PoolFigures, ScaleIn, ScaleOut, spread
from benchmarks.pools.lives import Life, Lives, seconds_after
from rich.console import Console


def a_start(ended: float = 1.5, created: float = 0.1, ready: float = 2.0) -> ColdStart:
    return ColdStart(
        pod_created=created, pod_scheduled=0.2, container_running=1.0, claimed=1.4, ended=ended, pod_ready=ready
    )


FIGURES = PoolFigures(
    system="Mission Control",
    autoscaler="BuiltIn",
    taken_at="2026-01-01T12:00:00+00:00",
    commit="abc1234",
    machine=Machine(cores=2, cpu="a processor", memory_gib=8, system="Linux", load_before=0.5),
    versions={"Kubernetes": "v1.34.4"},
    cold_starts=[a_start(1.5), a_start(1.2), a_start(9.9)],
    scale_out=ScaleOut(
        missions=100,
        mission_seconds=3,
        soldiers=3,
        concurrency=5,
        first_pod_created=0.25,
        all_pods_created=0.75,
        all_pods_ready=4.125,
        all_missions_ended=24.5,
    ),
    scale_in=ScaleIn(idle_seconds=10, first_pod_told=15.5, last_pod_told=17.25, last_pod_gone=19.75),
)


def test_a_pods_life_is_read_off_the_watch() -> None:
    lives = Lives()
    for now, line in enumerate(
        (
            "ADDED one <none> <none> <none> <none>",
            "MODIFIED one node-1 <none> False <none>",
            "MODIFIED one node-1 2026-01-01T12:00:00Z False <none>",
            "MODIFIED one node-1 2026-01-01T12:00:00Z True <none>",
            "MODIFIED one node-1 2026-01-01T12:00:00Z True 2026-01-01T12:01:00Z",
            "DELETED one node-1 <none> False 2026-01-01T12:01:00Z",
        )
    ):
        assert not lives.of or not lives.are_over
        lives.take(line, float(now))
    assert lives.of == {"one": Life(created=0, scheduled=1, running=2, ready=3, told=4, gone=5)}
    assert lives.are_over


def test_moments_are_told_in_their_order_and_only_of_those_that_came_there() -> None:
    lives = Lives({"a": Life(created=5, ready=9), "b": Life(created=3), "c": Life(created=4, ready=7)})
    assert (lives.when("created"), lives.when("ready"), lives.when("gone")) == ([3, 4, 5], [7, 9], [])


def test_what_was_never_seen_is_no_figure() -> None:
    assert seconds_after(10.0, {"told": 11.5}) == {"told": 1.5}
    with pytest.raises(BenchError, match="never seen: gone"):
        seconds_after(10.0, {"told": 11.0, "gone": None})


def test_a_spread_is_the_median_and_the_worst() -> None:
    assert spread(FIGURES.cold_starts, "ended") == (1.5, 9.9)


def test_a_pods_own_start_is_taken_of_each_start_by_itself() -> None:
    starts = [a_start(created=0, ready=1), a_start(created=5, ready=9), a_start(created=1, ready=3)]
    assert spread(starts, "pods_own") == (2, 4)


def test_what_was_written_can_be_read_for_a_comparison() -> None:
    written = report.as_json(FIGURES)
    assert report.as_figures(written) == FIGURES
    content = msgspec.json.decode(written)
    assert (content["schema"], content["cold_start_medians"]["ended"]) == (1, 1.5)


def test_the_tables_have_every_figure() -> None:
    page = io.StringIO()
    report.show(FIGURES, Console(file=page, width=160))
    shown = page.getvalue()
    for figure in ("1.50", "9.90", "0.25", "0.75", "4.12", "24.50", "15.50", "17.25", "19.75", "BuiltIn", "v1.34.4"):
        assert figure in shown, shown
