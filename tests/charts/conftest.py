"""helm and kubeconform for tests of the chart: built by `make chart`, never by a test, which has seconds."""

import pytest
from support.ability import unless
from tools.charts import programs


@pytest.fixture(autouse=True, scope="session")
def chart_programs() -> None:
    unless(programs.why_not())
