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
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
LONG: Final = settings(QUICK, max_examples=10_000)


def machine_tests(machine: type[RuleBasedStateMachine], *, steps: int) -> tuple[type[Any], type[Any]]:
    """Give the tests of a machine: the quick one, and the one marked long."""
    quick = _test_case(machine, settings(QUICK, stateful_step_count=steps))
    long = _test_case(machine, settings(LONG, stateful_step_count=steps))
    return pytest.mark.timeout(300)(quick), pytest.mark.long(pytest.mark.timeout(3_600)(long))


def _test_case(machine: type[RuleBasedStateMachine], how: settings) -> type[Any]:
    case: type[Any] = type(f"Test{machine.__name__}", (machine.TestCase,), {"settings": how})
    return case
