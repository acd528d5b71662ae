"""The numbers of a review count what they say, on code that is made up here."""

import ast
from pathlib import Path

from tools import figures
from tools.figures import Module

CODE = '''
class Outcome: ...


class _Private: ...


def public() -> int:
    """Has a docstring, which is no line of its body."""
    first = _called_once()
    second = _called_twice()
    return first + second + _called_twice()


def _called_once() -> int:
    return 1


def _called_twice() -> int:
    return 1


def stub() -> None:
    """Belongs to a protocol."""
    ...
'''


def a_module(name: str, code: str = CODE) -> Module:
    return Module(Path("commander", "src", name), code, ast.parse(code))


def test_stubs_are_no_functions_and_docstrings_no_lines() -> None:
    lengths = {one.name: figures.body_lines(one) for one in a_module("a.py").functions()}
    assert lengths == {"public": 3, "_called_once": 1, "_called_twice": 1}


def test_a_helper_with_one_mention_is_called_once() -> None:
    assert figures.private_helpers([a_module("a.py")]) == (2, 1)


def test_a_public_name_of_two_modules_is_shared() -> None:
    assert figures.shared_class_names([a_module("a.py"), a_module("b.py")]) == {"Outcome"}


def test_this_product_has_figures() -> None:
    found = figures.figures(figures.product(figures.ROOT))
    assert found["product lines"].endswith("modules")
