"""State machines as pytest classes: a few hundred examples for every change, ten thousand for the long run.

`--hypothesis-seed` makes a run repeat another one; `make test` chooses a seed, and prints it.
"""

from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine

QUICK: Final = settings(
    max_examples=500,
    deadline=None,
    derandomize=False,  # by the seed that was printed, in CI too
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
LONG: Final = settings(QUICK, max_examples=10_000)
SHARE_OF_SERVICES: Final = 8
"""An example that goes through services and a ledger costs as much as so many that call pure functions."""


def machine_tests(
    machine: type[RuleBasedStateMachine], *, steps: int, runs_services: bool = False
) -> tuple[type[Any], type[Any]]:
    """Give the tests of a machine: the quick one, and the one marked long."""
    share = SHARE_OF_SERVICES if runs_services else 1
    quick, long = (
        _test_case(machine, settings(how, max_examples=how.max_examples // share, stateful_step_count=steps))
        for how in (QUICK, LONG)
    )
    return pytest.mark.timeout(900)(quick), pytest.mark.long(pytest.mark.timeout(3_600)(long))


def _test_case(machine: type[RuleBasedStateMachine], how: settings) -> type[Any]:
    case: type[Any] = type(f"Test{machine.__name__}", (machine.TestCase,), {"settings": how})
    return case
