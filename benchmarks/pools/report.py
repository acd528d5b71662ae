"""The figures of pools, for eyes (a table) and for programs (JSON)."""

from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.pools.figures import PoolFigures, ScaleIn, ScaleOut, spread

_COLD: Final = {
    "pod_created": "its pod is created",
    "pod_scheduled": "… has a node",
    "container_running": "… has its container running",
    "claimed": "the mission is claimed, its handler begins",
    "ended": "the mission, which does nothing, has ended",
    "pod_ready": "its pod is ready (the probe asks every 2 s)",
    "pods_own": "the pod's own start, from created to ready",
}


def as_json(figures: PoolFigures) -> bytes:
    """With the medians worked out."""
    content: dict[str, Any] = msgspec.to_builtins(figures)
    content["cold_start_medians"] = {name: round(spread(figures.cold_starts, name)[0], 3) for name in _COLD}
    return msgspec.json.format(msgspec.json.encode(content)) + b"\n"


def as_figures(text: bytes) -> PoolFigures:
    """Read what `as_json` wrote, for a comparison."""
    return msgspec.json.decode(text, type=PoolFigures)


def show(figures: PoolFigures, console: Console) -> None:
    """Print all of it."""
    console.print(_cold(figures))
    console.print(_flood(figures.scale_out, figures.scale_in))
    machine = figures.machine
    console.print(
        f"{figures.system}, autoscaler {figures.autoscaler}; {machine.cores} cores, {machine.cpu}, "
        f"{machine.memory_gib} GiB, load before {machine.load_before:.1f}; the whole cluster, and the load, run on it; "
        f"commit {figures.commit or 'unknown'}; "
        + ", ".join(f"{name} {version}" for name, version in figures.versions.items())
    )


def _cold(figures: PoolFigures) -> Table:
    starts = figures.cold_starts
    table = Table(title=f"From zero: seconds after acceptance, of {len(starts)} starts", title_justify="left")
    table.add_column("until")
    table.add_column("median", justify="right")
    table.add_column("slowest", justify="right")
    for name, what in _COLD.items():
        table.add_row(what, *(f"{seconds:.2f}" for seconds in spread(starts, name)))
    return table


def _flood(out: ScaleOut, back: ScaleIn) -> Table:
    most = f"at most {out.soldiers} soldiers with {out.concurrency} at once"
    title = f"{out.missions} missions of {out.mission_seconds:g} s for a pool at zero, {most}"
    table = Table(title=title, title_justify="left")
    table.add_column("until")
    table.add_column("seconds", justify="right")
    table.add_row("the first pod is created, after acceptance", f"{out.first_pod_created:.2f}")
    table.add_row("the last pod is created", f"{out.all_pods_created:.2f}")
    table.add_row("all pods are ready", f"{out.all_pods_ready:.2f}")
    table.add_row("all missions have ended", f"{out.all_missions_ended:.2f}")
    table.add_section()
    table.add_row(f"the first pod is told to end (idleSeconds is {back.idle_seconds:g})", f"{back.first_pod_told:.2f}")
    table.add_row("the last one is", f"{back.last_pod_told:.2f}")
    table.add_row("the last pod is gone", f"{back.last_pod_gone:.2f}")
    return table
