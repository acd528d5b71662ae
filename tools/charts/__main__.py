"""`python -m tools.charts`: lint the chart; hold it, its example values and the kustomize overlays against schemas."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tools.charts import base, conformity, helm, programs
from tools.stack.errors import StackError


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        programs.ensure()
    except StackError as error:
        print(f"not run: {error}")
        return 1 if os.environ.get("CI") == "true" else 0
    if options.write:
        return _write()
    failures = [f"{what}: {said}" for what, check in _checks() if (said := _refusal(check))]
    print("\n".join(failures) or "The chart, its example values and the overlays conform.")
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.charts", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write manifests/base as the chart renders it now")
    return parser


def _write() -> int:
    for path, text in base.outdated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(f"wrote {path.relative_to(helm.ROOT)}")
    return 0


def _checks() -> Iterator[tuple[str, Callable[[], None]]]:
    for values in ((), *((file,) for file in helm.examples())):
        name = " with ".join(["the chart", *(file.name for file in values)])
        yield name, lambda values=values: _chart(values)  # type: ignore[misc]
    yield "manifests/base", _base
    for overlay in conformity.OVERLAYS:
        yield f"the overlay {overlay}", lambda overlay=overlay: conformity.demand(conformity.overlay(overlay))  # type: ignore[misc]
    samples = conformity.MANIFESTS / "samples"
    yield "the samples", lambda: conformity.demand("\n---\n".join(file.read_text() for file in samples.glob("*.yaml")))


def _chart(values: Sequence[Path]) -> None:
    helm.lint(values)
    conformity.demand(helm.rendered(values=values))


def _base() -> None:
    names = ", ".join(str(path.relative_to(helm.ROOT)) for path in base.outdated())
    if names:
        raise StackError(f"{names} are not what the chart renders: run `python -m tools.charts --write`, and commit it")


def _refusal(check: Callable[[], None]) -> str:
    try:
        check()
    except StackError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
