"""`python -m tools.images`: build the three images, and give them to the cluster that `make cluster` made."""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tools.images import builders, records
from tools.images.builders import ROOT, SERVICES, Builder
from tools.images.errors import ImagesError
from tools.stack.binaries import progress
from tools.stack.errors import StackError

LOADING_TIMEOUT_SECONDS = 600
DEFAULT_TAG = "0.1.0"
"""The chart's appVersion, which is the tag that it asks for by itself."""


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    try:
        builder = builders.find()
        images = [_build(builder, service, options) for service in options.services]
        records.write_bills(options.services, options.tag)
        print(f"What is in them, with hashes: {records.FOLDER}", flush=True)
        if options.push:
            written = records.push(builder, options.services, options.tag, options.push)
            print(f"Pushed to {options.push}; give the chart their digests with `-f {written}`.", flush=True)
        if options.load:
            _load(builder, images, options.cluster)
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.images", description=__doc__)
    parser.add_argument(
        "services", nargs="*", default=SERVICES, metavar="SERVICE", help="some of: " + ", ".join(SERVICES)
    )
    parser.add_argument("--tag", default=DEFAULT_TAG, help="the images' tag [%(default)s]")
    parser.add_argument("--target", help="build this stage instead of the last: `dev` has its files writable")
    parser.add_argument("--cluster", default="dev", help="the name of the cluster to load them into [%(default)s]")
    parser.add_argument(
        "--push", metavar="REGISTRY", help="push them there too, and write their digests as values for the chart"
    )
    parser.add_argument("--no-load", dest="load", action="store_false", help="build only")
    return parser


def _build(builder: Builder, service: str, options: argparse.Namespace) -> str:
    if service not in SERVICES:
        raise ImagesError(f"there is no service {service!r}, so nothing was built: name some of {', '.join(SERVICES)}.")
    began = time.monotonic()
    with progress(f"building {service}"):
        command = builder.building(service, options.tag, _revision(), options.target)
        builders.run(builder, command, f"there is no image of the {service}")
    image = builder.image(service, options.tag)
    print(f"Built {image} with {builder.name} in {time.monotonic() - began:.0f} s.", flush=True)
    return image


def _revision() -> str:
    """Name the commit, for the image's label; sources without git have none."""
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=10
    )
    return asked.stdout.strip() or "unknown"


def _load(builder: Builder, images: Sequence[str], cluster: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archives = [_saved(builder, image, Path(folder)) for image in images]
        command = [sys.executable, "-m", "tools.cluster", "load", "--name", cluster, *archives]
        if subprocess.run(command, cwd=ROOT, check=False, timeout=LOADING_TIMEOUT_SECONDS).returncode:
            raise ImagesError(
                f"the images are built, but the cluster {cluster!r} has not got them: start it with `make cluster`, "
                "then run this again (it builds nothing twice)."
            )
    print(f"The cluster {cluster!r} has them.", flush=True)


def _saved(builder: Builder, image: str, folder: Path) -> str:
    archive = folder / f"{image.rpartition('/')[2].replace(':', '-')}.tar"
    builders.run(builder, builder.saving(image, archive), f"{image} stays on this machine")
    return str(archive)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
