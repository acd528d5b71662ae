"""`python -m tools.generate` writes the generated files; `--check` says which of them are out of date."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.generate.files import COMMAND, generated

ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is out of date")
    parser.add_argument("--root", type=Path, default=ROOT, help="where the files belong [this repository]")
    options = parser.parse_args(arguments)
    return check(options.root) if options.check else write(options.root)


def write(root: Path) -> int:
    for path, text in _outdated(root).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.relative_to(root)}")
    return 0


def check(root: Path) -> int:
    outdated = _outdated(root)
    for path in outdated:
        print(f"{path.relative_to(root)} is out of date: run `{COMMAND}` and commit the result", file=sys.stderr)
    return 1 if outdated else 0


def _outdated(root: Path) -> Mapping[Path, str]:
    return {root / path: text for path, text in generated().items() if _read(root / path) != text}


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
