"""`python -m tools.demo`: missions on a real API server, from nothing to nothing. KEEP=1 leaves it up until Ctrl-C."""

import argparse
import contextlib
import os
import secrets
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tools.demo import clusters, services
from tools.demo.clusters import Source
from tools.demo.services import Commander
from tools.demo.story import Story
from tools.demo.telling import Teller
from tools.demo.without_cluster import Missionctl
from tools.stack import KubeAccess, StackError, binaries

ROOT: Final = Path(__file__).parents[2]
INTERRUPTED: Final = 130

WHERE_FROM: Final[Mapping[Source, str]] = {
    Source.FOUND: "An API server and etcd start here, on free ports, for this demo alone",
    Source.KIND: "A kind cluster of the demo's own is made; that takes about a minute",
    Source.BUILT: "An API server is built with Go, once on this machine: about four minutes on two cores",
}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.demo", description=__doc__)
    parser.add_argument("--state", type=Path, help="where data and logs are kept meanwhile [a new folder in .state]")
    wanted = parser.parse_args(arguments).state
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    teller = Teller()
    try:
        with _state(wanted or ROOT / ".state" / f"demo-{secrets.token_hex(3)}") as state:
            _tell(state, teller, keep=os.environ.get("KEEP", "") not in {"", "0"})
    except KeyboardInterrupt:
        teller.line("\nEnded; nothing is left running.")
        return INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return 1
    except StackError as error:
        teller.trouble(f"\nerror: {error}")
        return 1
    return 0


def _forget_stdout() -> None:
    """Nobody reads on (`make demo | head`): what Python still wants to flush at its end goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(state: Path, teller: Teller, *, keep: bool) -> None:
    began = time.monotonic()
    chosen = clusters.source()
    if chosen is Source.NONE:
        _tell_without_cluster(state, teller, began, keep=keep)
    else:
        _tell_on_cluster(chosen, state, teller, began, keep=keep)


def _tell_on_cluster(chosen: Source, state: Path, teller: Teller, began: float, *, keep: bool) -> None:
    teller.step(WHERE_FROM[chosen])
    with clusters.cluster(chosen, state) as kube:
        story = Story(kube, teller)
        story.install()
        with _commander(state, teller) as commander, _operator(commander, kube, state, chosen):
            story.run_samples()
            story.show_the_end()
            _say_what_next(teller, began)
            if keep:
                _stay({**kube.environment(), **commander.environment}, kube.kubectl_binary.parent, teller)


def _operator(
    commander: Commander, kube: KubeAccess, state: Path, chosen: Source
) -> contextlib.AbstractContextManager[None]:
    return services.running(services.operator(commander, kube, state, may_make_pods=chosen is Source.KIND))


def _tell_without_cluster(state: Path, teller: Teller, began: float, *, keep: bool) -> None:
    teller.trouble(f"No API server can be had here: {binaries.why_not()}")
    teller.line("Until then, the same missions run without a cluster:")
    with _commander(state, teller) as commander:
        Missionctl(commander, teller).tell()
        _say_what_next(teller, began)
        if keep:
            _stay(commander.environment, None, teller)


@contextlib.contextmanager
def _commander(state: Path, teller: Teller) -> Iterator[Commander]:
    """Commander and soldiers: in one process, or as separate ones on the servers that the user named."""
    servers = services.servers_in(os.environ)
    if servers is None:
        teller.step("Commander and soldiers start in one process (`missionctl dev`), without RabbitMQ and Redis")
        with services.running(services.dev(state)):
            yield services.commander_of_dev(state)
        return
    teller.step("Commander and soldier start as processes of their own, on your RabbitMQ and Redis")
    commander, serving, soldier = services.commander_on(servers, state)
    with services.running(serving), services.running(soldier):
        yield commander


def _say_what_next(teller: Teller, began: float) -> None:
    teller.step(f"That took {time.monotonic() - began:.0f} s. What to try next")
    teller.line("  make demo KEEP=1                  the same, and it stays up for your own kubectl")
    teller.line("  manifests/samples/                what was applied, one use per file, with comments")
    teller.line("  .venv/bin/missionctl dev          Commander and soldiers on this machine, no cluster at all")
    teller.line("  docs/reference/resources.md       every field, its default and its bounds")


def _stay(variables: Mapping[str, str], kubectl_folder: Path | None, teller: Teller) -> None:
    teller.step("It stays up until Ctrl-C. In another terminal:")
    for name, value in variables.items():
        teller.line(f"export {name}={shlex.quote(value)}")
    if kubectl_folder:
        teller.line(f'export PATH="{kubectl_folder}:$PATH"')
        teller.line("kubectl get missions -w")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


@contextlib.contextmanager
def _state(state: Path) -> Iterator[Path]:
    """A folder of this run's own; it stays only when something went wrong, for its logs."""
    state.mkdir(parents=True)
    try:
        yield state.resolve()
    except StackError as error:
        raise StackError(f"{error}\nThe logs of all processes are in {state}.") from error
    except (KeyboardInterrupt, BrokenPipeError):
        shutil.rmtree(state, ignore_errors=True)
        raise
    shutil.rmtree(state, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
