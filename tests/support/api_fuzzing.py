"""Requests made up from the API's own description, sent to a Commander, and its answers held against the description.

Three kinds: every value at and beyond each bound, one after the other; values drawn at random, fitting and not; and
stories, in which what one answer names (a mission's id) is what the next request is about.
"""

import asyncio
import re
import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import FlakyStrategyDefinition, Unsatisfiable
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation.stateful.state_machine import APIStateMachine
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.commander_api import ROLES, serving

from mission_commander.api import described
from mission_contracts.tokens import Role

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ENDLESS: Final = frozenset({"watchMissions", "watchPools"})
"""Their answers do not end; tests of their own read them."""

REQUEST_SECONDS: Final = 60
STEPS: Final = 15
_SIMPLEST_AND_ONE: Final = 2
"""Hypothesis begins with the simplest example, whatever the seed."""
SHORT_WAIT: Final = "0.01s"
_WAIT: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?s?")

Authorizations = Mapping[Role, str]
MadeUp = Case[Any]
Described = APIOperation[Any, Any, Any, Any]


class Fuzzer:
    """Sends made-up requests to one Commander; a wrong answer ends it with a `curl` that shows it again."""

    def __init__(self, url: str, authorizations: Authorizations, *, is_repeatable: bool = True) -> None:
        """`is_repeatable`: draw the same values in each run, so that a change of the code alone makes a difference."""
        self.schema = schemathesis.openapi.from_dict(described.document()).exclude(operation_id=sorted(ENDLESS))
        self.schema.config.update(base_url=url)
        self.schema.config.generation.with_security_parameters = False  # tokens are ours to choose
        self.sent = Counter[tuple[str, int]]()
        self._roles = {one.name: one.roles for one in described.operations()}
        self._authorizations = authorizations
        self._is_repeatable = is_repeatable
        self._session = requests.Session()
        self._session.trust_env = False  # nothing of this machine's proxies has a say on loopback

    @property
    def cases(self) -> int:
        return sum(self.sent.values())

    def close(self) -> None:
        """Leave: a Commander that ends does not have to wait until it is tired of an idle connection."""
        self._session.close()

    def try_bounds(self) -> None:
        """Every parameter and field at and beyond its bounds, missing and misspelt; and methods that are not there."""
        for operation in self._operations():
            generation = self.schema.config.generation
            modes = list(GenerationMode)
            for case in self.schema.iter_coverage_cases(
                operation, generation_modes=modes, generation_config=generation
            ):
                self._check(case)

    def try_at_random(self, examples: int) -> None:
        """So many requests that fit, and so many that do not, for each operation that has so many."""
        for operation in self._operations():
            for mode in GenerationMode:
                self._try(operation, mode, examples)

    def tell_stories(self, count: int) -> None:
        """Submit, look, change, cancel, retry, look again: in any order, on the missions that there are."""
        check = self._check

        class Stories(self.schema.as_state_machine()):  # type: ignore[misc]
            def call(self, case: MadeUp, **_: Any) -> Response:
                return check(case)

            def validate_response(self, response: Response, case: MadeUp, *_: Any, **__: Any) -> None:
                """It was, when it came."""

        machine: type[APIStateMachine] = Stories
        for number in range(count):
            # One by one: the Commander remembers the last story, so none can be told again as it was.
            hypothesis.seed(number if self._is_repeatable else secrets.randbits(64))(machine)
            with suppress(FlakyStrategyDefinition):
                run_state_machine_as_test(
                    machine, settings=self._settings(_SIMPLEST_AND_ONE, stateful_step_count=STEPS)
                )

    def _operations(self) -> Iterator[Described]:
        for found in self.schema.get_all_operations():
            assert isinstance(found, Ok), found
            yield found.ok()

    def _try(self, operation: Described, mode: GenerationMode, examples: int) -> None:
        @self._settings(examples)
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def each(case: MadeUp) -> None:
            self._check(case)

        try:
            each()
        except Unsatisfiable:
            assert mode.is_negative, f"{_name(operation)}: no request fits its description"

    def _check(self, case: MadeUp) -> Response:
        case.headers.update(self._identity(_name(case.operation)))
        if _WAIT.fullmatch(str((case.query or {}).get("wait"))):
            case.query["wait"] = SHORT_WAIT  # nobody ends these missions
        response = case.call(session=self._session, timeout=REQUEST_SECONDS)
        self.sent[_name(case.operation), response.status_code] += 1
        case.validate_response(response, checks=CHECKS)
        return response

    def _identity(self, operation: str) -> dict[str, str]:
        """Mostly somebody who may; now and then nobody, and whoever comes next in turn."""
        roles = self._roles[operation]
        if roles is None or self.cases % 20 == 0:
            return {}
        known = list(self._authorizations)
        able = next((role for role in reversed(roles) if role in known), known[0])
        role = known[self.cases // 10 % len(known)] if self.cases % 10 == 5 else able
        return {"Authorization": self._authorizations[role]}

    def _settings(self, examples: int, **more: Any) -> hypothesis.settings:
        return hypothesis.settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=self._is_repeatable,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
            **more,
        )


def _name(operation: Described) -> str:
    return str(operation.definition.raw["operationId"])


def assert_widely_spread(fuzzer: Fuzzer) -> None:
    """Good answers too, of all that can be asked about a mission, and not only refusals."""
    answered = {operation for operation, status in fuzzer.sent if status < 300}
    about_missions = {"getMission", "getHistory", "changeMission", "cancelMission", "retryMission", "submitBatch"}
    assert about_missions <= answered, fuzzer.sent
    assert {status for _, status in fuzzer.sent} >= {200, 202, 204, 400, 401, 403, 404, 409, 422}


@contextmanager
def commander_in_a_thread(**fields: Any) -> Iterator[tuple[str, Authorizations]]:
    """A whole Commander on memory adapters behind real HTTP, for tests that are no coroutines; and tokens for it."""
    told: dict[str, Any] = {}
    is_up = threading.Event()

    async def serve() -> None:
        async with serving(**fields) as api:
            await api.declare_pool()
            clients = {role: await api.client(who) for who, role in ROLES.items()}
            tokens = {Role(role): client.headers["Authorization"] for role, client in clients.items()}
            told.update(url=api.url, tokens=tokens, loop=asyncio.get_running_loop(), end=asyncio.Event())
            is_up.set()
            await told["end"].wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="commander")
    thread.start()
    try:
        assert is_up.wait(20), "no Commander came up within 20 s"
        yield told["url"], told["tokens"]
    finally:
        if "loop" in told:
            told["loop"].call_soon_threadsafe(told["end"].set)
        thread.join()
