"""helm, as far as a chart on the disk goes: rendering and linting, without a cluster."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tools.stack.binaries import required
from tools.stack.errors import StackError

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "charts" / "mission-control"
EXAMPLES: Final = CHART / "ci"
RELEASE: Final = "mission-control"
NAMESPACE: Final = "missions"

Manifest = dict[str, Any]


class RefusedError(StackError):
    """helm says no; the message is what it said."""


def examples() -> list[Path]:
    """The values files that come with the chart."""
    return sorted(EXAMPLES.glob("*-values.yaml"))


def rendered(*options: str, values: Sequence[Path] = ()) -> str:
    """Give what `helm template` writes."""
    files = [f"--values={file}" for file in values]
    return run("template", RELEASE, str(CHART), f"--namespace={NAMESPACE}", *files, *options)


def objects(*options: str, values: Sequence[Path] = ()) -> list[Manifest]:
    """Give the objects that it would install."""
    return [one for one in yaml.safe_load_all(rendered(*options, values=values)) if one]


def lint(values: Sequence[Path] = ()) -> None:
    """Be as strict as helm can be."""
    run("lint", "--strict", "--quiet", str(CHART), *(f"--values={file}" for file in values))


def run(*arguments: str) -> str:
    """Return what helm prints."""
    command = [str(required("helm")), *arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise RefusedError((done.stderr or done.stdout).strip())
    return done.stdout
