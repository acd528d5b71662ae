"""What cannot run here skips its tests with the reason; with CI=true that fails."""

import os
from typing import NoReturn

import pytest
from tools.stack import StackError, binaries


def unless(reason: str | None) -> None:
    """End the test, or whatever fixture asks, where there is a reason."""
    if reason:
        cannot_run(reason)


def cannot_run(reason: str) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def why_no_api_server() -> str | None:
    """Nothing is built in a test: that takes minutes, and a test has seconds."""
    try:
        binaries.found()
    except StackError as error:
        return str(error)
    return None
