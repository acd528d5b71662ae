"""Modules that are read at their first use, so that `missionctl --help` answers before httpx has been looked at."""

import importlib.util
import sys
from types import ModuleType


def deferred(name: str) -> ModuleType:
    """Give a module that loads itself when an attribute of it is asked for."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"there is no module {name}", name=name)
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
