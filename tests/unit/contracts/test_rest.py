"""What clients are shown survives the way there."""

from datetime import UTC, datetime

import msgspec
import pytest

from mission_contracts.mission import MissionId, MissionState
from mission_contracts.rest import MissionView


@pytest.mark.parametrize("result", [None, b'{"pages":40}', b"[1,2]", b'"text"', b"1.50", b"false", b"null"])
def test_a_mission_with_any_result_is_read_as_it_was_written(result: bytes | None) -> None:
    view = MissionView(
        mission_id=MissionId("m"),
        namespace="shop",
        type="noop",
        pool="default",
        state=MissionState.COMPLETED,
        reason="Completed",
        sequence=7,
        finished_at=datetime(2026, 1, 1, tzinfo=UTC),
        result=None if result is None else msgspec.Raw(result),
    )
    assert msgspec.json.decode(msgspec.json.encode(view), type=MissionView) == view
