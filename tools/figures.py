"""`python -m tools.figures`: how the product's code is cut, in numbers that a review can compare.

`--root` names another checkout; what is counted is read, never imported.
"""

import argparse
import ast
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
MEMBERS: Final = ("contracts", "broker", "operator", "commander", "soldier", "missionctl")
COMPOSITION: Final = Path("commander/src/mission_commander/commander.py")
SERVICES: Final = Path("commander/src/mission_commander/services")
SMALL_MODULE_LINES: Final = 40

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One file of the product."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    @property
    def member(self) -> str:
        return self.path.parts[0]

    def functions(self) -> Iterator[Function]:
        """All that do something: no stubs of protocols and overloads."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function) and not is_stub(node):
                yield node


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.figures", description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout to read [this one]")
    modules = product(parser.parse_args(arguments).root)
    for name, value in figures(modules).items():
        print(f"{name:<58} {value}")
    return 0


def product(root: Path) -> list[Module]:
    """Read every module of every member."""
    paths = sorted(path for member in MEMBERS for path in (root / member / "src").rglob("*.py"))
    return [Module(path.relative_to(root), text := path.read_text(), ast.parse(text)) for path in paths]


def figures(modules: Sequence[Module]) -> Mapping[str, str]:
    """Return each figure as text, by its name."""
    bodies = [body_lines(function) for module in modules for function in module.functions()]
    lengths = [module.lines for module in modules]
    helpers, called_once = private_helpers(modules)
    shared = shared_class_names(modules)
    return {
        "product lines": f"{sum(lengths):,} in {len(modules)} modules",
        "function body, lines: median, p90, p95": ", ".join(f"{percentile(bodies, p)}" for p in (50, 90, 95)),
        "functions of one line": f"{share(body == 1 for body in bodies)} of {len(bodies):,}",
        "private helpers called once": f"{called_once:,} of {helpers:,}",
        "module lines: median, p90, max": f"{percentile(lengths, 50)}, {percentile(lengths, 90)}, {max(lengths)}",
        f"modules under {SMALL_MODULE_LINES} lines": str(sum(length < SMALL_MODULE_LINES for length in lengths)),
        "modules flat in the Commander's services, and packages": rooms(modules),
        "composition root of the Commander, lines": root_lines(modules),
        "public class names that stand for several classes": f"{len(shared)}: {', '.join(sorted(shared)) or 'none'}",
    }


def is_stub(function: Function) -> bool:
    """Whether its body is no more than a docstring and `...`."""
    rest = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return all(isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant) for one in rest)


def body_lines(function: Function) -> int:
    """The lines of a function's statements, its docstring left out."""
    rest = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (rest[-1].end_lineno or 0) - rest[0].lineno + 1


def private_helpers(modules: Sequence[Module]) -> tuple[int, int]:
    """How many private functions there are, and how many of them have one mention in their member."""
    mentions: defaultdict[str, Counter[str]] = defaultdict(Counter)
    helpers: list[tuple[str, str]] = []
    for module in modules:
        helpers += [(module.member, one.name) for one in module.functions() if is_private(one.name)]
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Name | ast.Attribute):
                mentions[module.member][node.id if isinstance(node, ast.Name) else node.attr] += 1
    return len(helpers), sum(mentions[member][name] == 1 for member, name in helpers)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def shared_class_names(modules: Sequence[Module]) -> set[str]:
    """Public classes of one name in more than one module."""
    found: defaultdict[str, set[Path]] = defaultdict(set)
    for module in modules:
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].add(module.path)
    return {name for name, paths in found.items() if len(paths) > 1}


def rooms(modules: Sequence[Module]) -> str:
    inside = [module.path for module in modules if module.path.is_relative_to(SERVICES)]
    flat = sum(path.parent == SERVICES and path.name != "__init__.py" for path in inside)
    packages = {path.relative_to(SERVICES).parts[0] for path in inside if path.parent != SERVICES}
    return f"{flat}, {len(packages)}"


def root_lines(modules: Sequence[Module]) -> str:
    [root] = [module for module in modules if module.path == COMPOSITION]
    longest = max(root.functions(), key=body_lines)
    return f"{root.lines}, of which {longest.name} {body_lines(longest)}"


def percentile(values: Sequence[int], percent: int) -> int:
    return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1])


def share(found: Iterator[bool]) -> str:
    values = list(found)
    return f"{100 * sum(values) / len(values):.0f} %"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
