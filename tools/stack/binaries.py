"""Where kube-apiserver, etcd and kubectl come from: found, else built with Go, once per machine.

No release archive is downloaded: the modules are pinned with their hashes in `go/`, and Go's own settings decide
where modules come from. `tools.cluster` adds recipes of its own.
"""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.stack.commands import finish
from tools.stack.errors import StackError

KUBERNETES = "v1.34.4"
SOURCES = Path(__file__).parent / "go"
PROGRESS_SECONDS = 10.0
BUILD_TIMEOUT_SECONDS = 1_800.0
OLDEST_GO = (1, 24)
VERSION_TIMEOUT_SECONDS = 20.0
MAX_MINOR_SKEW = 1
"""kubectl supports servers one minor version older or newer than itself."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one program is built."""

    name: str
    module: Path
    """The folder of its `go.mod`."""
    package: str
    minutes: str
    ldflags: str = "-s -w"


VERSIONED = f"-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES}"
"""Without it clients see v0.0.0."""

RECIPES = (
    Recipe(name="etcd", module=SOURCES / "etcd", package=".", minutes="under a minute"),
    Recipe(
        name="kube-apiserver",
        module=SOURCES / "kube",
        package="k8s.io/kubernetes/cmd/kube-apiserver",
        minutes="about three minutes on two cores",
        ldflags=VERSIONED,
    ),
    Recipe(
        name="kubectl",
        module=SOURCES / "kube",
        package="k8s.io/kubernetes/cmd/kubectl",
        minutes="under a minute",
        ldflags=VERSIONED,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """What an API server needs, and what people look at it with."""

    kube_apiserver: Path
    etcd: Path
    kubectl: Path


def find(name: str, environment: Mapping[str, str] | None = None) -> Path | None:
    """Return where such a program is already; of kubectls, the first one whose version fits the servers."""
    return next((place for place in _candidates(name, environment) if not _misfit(place)), None)


def why_unfit(name: str, environment: Mapping[str, str] | None = None) -> str | None:
    """Say why an installed program is not used, or None when nothing was turned down."""
    return next(filter(None, map(_misfit, _candidates(name, environment))), None)


def _candidates(name: str, environment: Mapping[str, str] | None) -> Iterator[Path]:
    """Where a program of this name is. Servers on the PATH may be of any version, so that is for kubectl alone."""
    environment = os.environ if environment is None else environment
    yield from (place for folder in _folders(environment) if os.access(place := folder / name, os.X_OK))
    on_path = shutil.which(name, path=environment.get("PATH")) if name == "kubectl" else None
    if on_path:
        yield Path(on_path)


def _misfit(program: Path) -> str | None:
    """Only kubectl is asked, and not the one that we built ourselves."""
    if program.name != "kubectl" or _mark(program).exists():
        return None
    return _kubectl_misfit(program, program.stat().st_mtime_ns)


@functools.cache
def _kubectl_misfit(program: Path, _changed_at: int) -> str | None:
    """Refuse other versions, and dispatchers, which become another version with each server they meet."""
    version = _kubectl_version(program)
    number = re.fullmatch(r"v1\.(\d+)\.\d+", version)
    minor = int(KUBERNETES.split(".")[1])
    if number and abs(int(number[1]) - minor) <= MAX_MINOR_SKEW:
        return None
    fitting = f"a release of v1.{minor - MAX_MINOR_SKEW} to v1.{minor + MAX_MINOR_SKEW}"
    return f"{program} is not used: its version is {version}, and {fitting} is needed"


def _kubectl_version(program: Path) -> str:
    try:
        asked = finish([program, "version", "--client", "--output=json"], timeout_seconds=VERSION_TIMEOUT_SECONDS)
        return str(json.loads(asked.stdout)["clientVersion"]["gitVersion"])
    except (OSError, StackError, ValueError, LookupError, TypeError):
        return "unknown"


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where what we build is kept, for every checkout of this user."""
    home = environment.get("HOME") or str(Path.home())
    return Path(environment.get("XDG_CACHE_HOME") or Path(home, ".cache")) / "mission-control" / "bin"


def missing(recipes: Sequence[Recipe] = RECIPES) -> tuple[str, ...]:
    """Name the programs that would have to be built."""
    return tuple(recipe.name for recipe in recipes if not _is_built(recipe))


def why_not(recipes: Sequence[Recipe] = RECIPES, *, loss: str = "no API server can run here") -> str | None:
    """Say why these programs cannot be had here, or None when they can (perhaps after a build)."""
    lacking = missing(recipes)
    if not lacking or _usable_go():
        return None
    unfit = "".join(f"{reason}. " for reason in map(why_unfit, lacking) if reason)
    return (
        f"{unfit}{', '.join(lacking)} not found and no Go {_dotted(OLDEST_GO)} or newer to build them with, so {loss}: "
        "install Go, or set KUBEBUILDER_ASSETS to a folder that has them (setup-envtest makes one)."
    )


def ensure() -> Binaries:
    """Find all three, building what is missing; minutes the first time, nothing after that."""
    build(RECIPES)
    return Binaries(kube_apiserver=required("kube-apiserver"), etcd=required("etcd"), kubectl=required("kubectl"))


def build(recipes: Sequence[Recipe], *, loss: str = "no API server can run here") -> None:
    """Build what is missing of these, or say why that cannot be."""
    reason = why_not(recipes, loss=loss)
    if reason:
        raise StackError(reason)
    for recipe in recipes:
        if not _is_built(recipe):
            _build_once(recipe)


def required(name: str) -> Path:
    """Find a program that was built or found before."""
    path = find(name)
    if path is None:
        raise StackError(f"{name} was there a moment ago and is gone: run `make servers` to build it again.")
    return path


def found() -> Binaries:
    """All three, or the sentence that says how to get them; builds nothing."""
    lacking = missing()
    if lacking:
        unbuilt = f"{', '.join(lacking)} not built yet, so no API server can start"
        raise StackError(why_not() or f"{unbuilt}: run `make servers` first (minutes, once).")
    return ensure()


def _is_built(recipe: Recipe) -> bool:
    """Found, and not by an older recipe. What somebody put there by hand has no mark and is taken as it is."""
    found_at = find(recipe.name)
    if found_at is None:
        return False
    mark = _mark(found_at)
    return not mark.exists() or mark.read_text() == _fingerprint(recipe)


def _mark(program: Path) -> Path:
    return program.with_name(f"{program.name}.recipe")


def _fingerprint(recipe: Recipe) -> str:
    """Change when the program would become another one."""
    sources = (file.read_bytes() for file in (recipe.module / "go.mod", *sorted(recipe.module.glob("main.go"))))
    text = b"\0".join((recipe.package.encode(), recipe.ldflags.encode(), *sources))
    return hashlib.sha256(text).hexdigest()


def _folders(environment: Mapping[str, str]) -> Iterable[Path]:
    assets = environment.get("KUBEBUILDER_ASSETS")
    if assets:
        yield Path(assets)
    yield cache_folder(environment)


def _usable_go() -> str | None:
    go = shutil.which("go")
    return go if go and _go_version(go) >= OLDEST_GO else None


def _go_version(go: str) -> tuple[int, ...]:
    """Parse `go1.26.8`; what cannot be read counts as too old."""
    told = finish([go, "env", "GOVERSION"], timeout_seconds=60).stdout
    numbers = told.strip().removeprefix("go").split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdigit())


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version)


def _build_once(recipe: Recipe) -> None:
    """Build under a lock: of two runs that need the same program one builds, the other waits and finds it."""
    folder = cache_folder(os.environ)
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one_builder(folder):
        if not _is_built(recipe):
            _build(recipe, folder)


@contextlib.contextmanager
def _only_one_builder(folder: Path) -> Iterator[None]:
    with (folder / "build.lock").open("w") as lock:
        with progress("waiting for another build on this machine"):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(recipe: Recipe, folder: Path) -> None:
    unfinished = folder / f"{recipe.name}.{os.getpid()}.unfinished"
    unfit = why_unfit(recipe.name)
    if unfit:
        print(f"{unfit}.", flush=True)
    print(f"Building {recipe.name} with Go: {recipe.minutes}, once on this machine.", flush=True)
    try:
        with progress(f"building {recipe.name}"):
            _go_build(recipe, unfinished)
        _mark(folder / recipe.name).write_text(_fingerprint(recipe))
        unfinished.rename(folder / recipe.name)
    finally:
        unfinished.unlink(missing_ok=True)


def _go_build(recipe: Recipe, target: Path) -> None:
    command = ["go", "build", "-mod=readonly", "-trimpath", "-ldflags", recipe.ldflags, "-o", str(target)]
    done = finish(
        [*command, recipe.package],
        cwd=recipe.module,
        environment={"CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local"},
        timeout_seconds=BUILD_TIMEOUT_SECONDS,
    )
    if done.returncode:
        raise StackError(
            f"{recipe.name} could not be built, so nothing that needs it can start; Go said:\n{done.stderr[-2000:]}"
        )


@contextlib.contextmanager
def progress(what: str) -> Iterator[None]:
    """Print a line now and then: a compiler that says nothing for minutes looks like a hang."""
    done = threading.Event()
    reporter = threading.Thread(target=_report, args=(what, done), daemon=True)
    reporter.start()
    try:
        yield
    finally:
        done.set()
        reporter.join()


def _report(what: str, done: threading.Event) -> None:
    began = time.monotonic()
    while not done.wait(PROGRESS_SECONDS):
        print(f"  {what}: {time.monotonic() - began:.0f} s", flush=True)
