"""From a Mission object to the Commander's Submission: the same values in the REST spelling, untouched otherwise.

What the spec says is not checked here. The Commander is the one judge of both doors, and its sentence becomes the
object's status.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from mission_contracts.envelope import Door
from mission_contracts.resources import MISSION
from mission_contracts.spec import Model, RetryPolicy
from mission_operator.commander.outbox import Pending
from mission_operator.missions.observing import Observed


def submission(observed: Observed, spec: Mapping[str, Any]) -> Pending:
    """Encode an object's spec with its identity and its floor."""
    body = _rename(spec, _SPEC)
    if isinstance(body.get("retry"), Mapping):
        body["retry"] = _rename(body["retry"], _RETRY)
    body |= {
        "namespace": observed.namespace,
        "name": observed.name,
        "mission_id": observed.mission_id,
        "door": Door.CLUSTER.value,
    }
    if observed.shown:
        body["floor"] = _floor(observed)
    return Pending(
        mission_id=observed.mission_id,
        namespace=observed.namespace,
        name=observed.name,
        body=msgspec.json.encode(body),
        is_ordered=body.get("ordering_key") is not None,
    )


def _floor(observed: Observed) -> dict[str, Any]:
    shown = observed.shown
    assert shown is not None  # noqa: S101 - the caller has looked
    return {"state": shown.state, "epoch": shown.epoch, "sequence": shown.sequence, "attempt": shown.attempt}


def _snake_names(model: type[Model]) -> dict[str, str]:
    return {field.alias or name: name for name, field in model.model_fields.items()}


_SPEC: Final = _snake_names(MISSION.spec)
_RETRY: Final = _snake_names(RetryPolicy)


def _rename(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}
