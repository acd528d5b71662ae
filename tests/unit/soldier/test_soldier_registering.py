"""A soldier whose registration is refused for its size goes on without schemas."""

import pytest
from support.fake_commander import FakeCommander

from mission_contracts.mission import Instance
from mission_contracts.soldiering import Registered, Registration, TypeInfo
from mission_soldier import backoff
from mission_soldier.commander import RegistrationTooLargeError
from mission_soldier.registration import Registrar

ASKED = Registration(
    instance=Instance("soldier-1"),
    namespace="default",
    pool="default",
    types=(TypeInfo(name="resize", schema={"type": "object"}), TypeInfo(name="noop")),
    concurrency=1,
)


class Strict(FakeCommander):
    """Refuses some registrations, and any with a schema."""

    refusals = 0

    async def register(self, registration: Registration) -> Registered:
        if self.refusals or any(info.schema for info in registration.types):
            self.refusals = max(0, self.refusals - 1)
            raise RegistrationTooLargeError("the schema of type resize has 70000 bytes and may have 65536")
        return await super().register(registration)


@pytest.mark.parametrize("refusals", [0, 3], ids=["without schemas it fits", "it is refused for a while even so"])
async def test_it_registers_without_its_schemas(refusals: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff.Backoff, "next", lambda _: 0.0)
    commander = Strict()
    commander.refusals = refusals
    registrar = Registrar(commander, ASKED, lambda _: None)
    await registrar.register()
    assert registrar.is_registered
    assert commander.registrations[-1].types == (TypeInfo(name="resize"), TypeInfo(name="noop"))
