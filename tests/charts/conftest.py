"""helm and kubeconform for tests of the chart: built by `make chart`, never by a test, which has seconds."""

import os

import pytest
from tools.charts import programs


@pytest.fixture(autouse=True, scope="session")
def chart_programs() -> None:
    """What is not there skips these tests with the reason; with CI=true that fails."""
    reason = programs.why_not()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
