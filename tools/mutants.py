"""Mutation testing of what decides about a mission: how many small lies in its code do its tests find out?

mutmut wants a project with one folder `src`; a room under `.state/` shows it one, made of links. Each run begins anew:
mutmut believes what it once learned of a test, also after that test was changed.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
ROOM: Final = ROOT / ".state" / "mutants"
LINKS: Final = {
    "pyproject.toml": ROOT / "pyproject.toml",
    "src": ROOT / "commander" / "src",
    "tests": ROOT / "tests",
    "tools": ROOT / "tools",
}
MUTMUT: Final = Path(sys.executable).with_name("mutmut")
BAR: Final = 90.0
RUN_TIMEOUT_SECONDS: Final = 7_200
"""Percent that must be found out; what is above it is equivalent to the truth, or worth a new statement."""
FOUND_OUT: Final = frozenset({"killed", "timeout", "segfault"})
_RESULT: Final = re.compile(r"^\s+(?P<name>\S+): (?P<status>.+)$")


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What became of each mutant, by its name."""

    statuses: Mapping[str, str]

    @property
    def survivors(self) -> list[str]:
        return sorted(name for name, status in self.statuses.items() if status not in FOUND_OUT)

    @property
    def percent(self) -> float:
        return 100.0 * (len(self.statuses) - len(self.survivors)) / max(1, len(self.statuses))

    def lines(self, seconds: float) -> list[str]:
        """A row for each module, and the closing line."""
        everyone, survivors = Counter(map(module_of, self.statuses)), Counter(map(module_of, self.survivors))
        rows = [f"{module:<24} {total - survivors[module]:5} of {total}" for module, total in sorted(everyone.items())]
        found_out = len(self.statuses) - len(self.survivors)
        return [*rows, f"{found_out} of {len(self.statuses)} mutants found out, {self.percent:.1f} %, {seconds:.0f} s"]


def module_of(mutant: str) -> str:
    """The module of a mutant, as one would say it: `life.claims`."""
    module, _, _ = mutant.rpartition(".")
    return module.removeprefix("mission_commander.domain.")


def read(results: str) -> Verdicts:
    """What `mutmut results --all true` printed."""
    found = (_RESULT.match(line) for line in results.splitlines())
    return Verdicts(statuses={one["name"]: one["status"] for one in found if one})


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    began = time.monotonic()
    _furnish()
    if (code := _run(options.children)) != 0:
        return code
    verdicts = read(_mutmut("results", "--all", "true"))
    for survivor in verdicts.survivors if options.show else ():
        print(_mutmut("show", survivor))
    print("\n".join(verdicts.lines(time.monotonic() - began)))
    return 0 if verdicts.percent >= BAR else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("--children", type=int, default=2, help="how many are tried at the same time")
    parser.add_argument("--show", action="store_true", help="print what each survivor changes")
    return parser


def _furnish() -> None:
    shutil.rmtree(ROOM, ignore_errors=True)
    ROOM.mkdir(parents=True)
    for name, target in LINKS.items():
        (ROOM / name).symlink_to(target)


def _run(children: int) -> int:
    log = ROOM / "mutmut.log"
    with log.open("w") as output:
        command = [str(MUTMUT), "run", "--max-children", str(children)]
        code = subprocess.run(
            command, cwd=ROOM, stdout=output, stderr=subprocess.STDOUT, check=False, timeout=RUN_TIMEOUT_SECONDS
        ).returncode
    if code != 0:
        print(f"mutmut ended with {code}, so nothing is known: its last words are in {log}", file=sys.stderr)
    return code


def _mutmut(*arguments: str) -> str:
    done = subprocess.run([str(MUTMUT), *arguments], cwd=ROOM, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
