"""Finds the user's handlers by the name that was given for them."""

import importlib
import sys
from pathlib import Path
from typing import Final

from mission_soldier.errors import HandlerDefinitionError
from mission_soldier.soldier import Soldier

DEFAULT_ATTRIBUTE: Final = "soldier"


def load(name: str) -> Soldier:
    """Import `module:attribute` and give the Soldier there; empty: one without handlers of its own."""
    if not name:
        return Soldier()
    module_name, _, attribute = name.partition(":")
    _see_working_folder()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise HandlerDefinitionError(
            f"there is no module {error.name!r} for {name!r}: run from the folder that holds it, or install it"
        ) from error
    found = getattr(module, attribute or DEFAULT_ATTRIBUTE, None)
    if not isinstance(found, Soldier):
        raise HandlerDefinitionError(
            f"{module_name} has no Soldier named {attribute or DEFAULT_ATTRIBUTE!r}: "
            "write `soldier = Soldier()` there, or name another attribute as module:attribute"
        )
    return found


def _see_working_folder() -> None:
    """As `python -m` does; a console script does not by itself."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
