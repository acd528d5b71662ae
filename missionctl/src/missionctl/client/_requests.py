"""One builder for each route: the names of paths, parameters and headers are here and nowhere else."""

import uuid
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec
from pydantic_core import to_jsonable_python

from mission_contracts import rest, strict_json
from mission_contracts.envelope import Door
from mission_contracts.mission import MissionId, MissionState
from mission_contracts.strict_json import StrictJsonError
from missionctl.client._wire import READ_SECONDS, Request
from missionctl.client.errors import NotJsonError

JSON: Final = {"Content-Type": "application/json"}
SILENCE_SECONDS: Final = 60.0
"""An event stream that says nothing for so long, not even a comment, is taken for dead and opened again."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which missions to list; what is None does not matter."""

    namespace: str | None = None
    state: MissionState | None = None
    mission_type: str | None = None
    pool: str | None = None

    def fits(self, mission: rest.MissionView) -> bool:
        """Tell whether the list would show it."""
        pairs = (
            (self.namespace, mission.namespace),
            (self.state, mission.state),
            (self.mission_type, mission.type),
            (self.pool, mission.pool),
        )
        return all(wanted in (None, actual) for wanted, actual in pairs)


def submit(submission: rest.Submission, idempotency_key: str | None) -> Request:
    """Always with a key, made here if need be: that is what lets a submission be repeated without a second mission."""
    key = idempotency_key or submission.idempotency_key or new_key()
    body = _body(submission, without={"idempotency_key"})
    return Request(method="POST", path="/missions", body=body, headers=JSON | {rest.IDEMPOTENCY_KEY_HEADER: key})


def submit_batch(submissions: Sequence[rest.Submission]) -> Request:
    """At most `MAX_BATCH` of them."""
    items = b",".join(_body(keyed(one)) for one in submissions)
    return Request(method="POST", path="/missions/batch", body=b'{"missions":[' + items + b"]}", headers=JSON)


def _body(submission: rest.Submission, without: frozenset[str] | set[str] = frozenset()) -> bytes:
    """Return the submission as JSON. Raises NotJsonError for a payload with a value that JSON cannot carry."""
    fields = submission.model_dump(mode="json", exclude_unset=True, exclude={"payload", *without})
    try:
        payload = strict_json.encode(_plain(submission.payload), name="payload")
        return strict_json.encode(fields | {"payload": msgspec.Raw(payload)})
    except StrictJsonError as error:
        raise NotJsonError(str(error)) from error


def _plain(payload: Any) -> Any:
    """Return the payload with its dates, models and the like as JSON has them; as it is where that fails."""
    try:
        return to_jsonable_python(payload, inf_nan_mode="constants")
    except (ValueError, RecursionError):
        return payload


def keyed(submission: rest.Submission) -> rest.Submission:
    """The same submission with an idempotency key."""
    if submission.idempotency_key:
        return submission
    return submission.model_copy(update={"idempotency_key": new_key()})


def new_key() -> str:
    """A key that nobody used before."""
    return uuid.uuid4().hex


def get(mission_id: str, wait_seconds: float | None) -> Request:
    if wait_seconds is None:
        return Request(method="GET", path=_mission(mission_id))
    wait = min(max(wait_seconds, 0.0), rest.MAX_WAIT_SECONDS)
    return Request(
        method="GET", path=_mission(mission_id), query=(("wait", f"{wait:.3f}s"),), read_seconds=wait + READ_SECONDS
    )


def list_missions(chosen: Filter, limit: int | None, cursor: str | None) -> Request:
    query = _query(
        namespace=chosen.namespace,
        state=chosen.state,
        type=chosen.mission_type,
        pool=chosen.pool,
        limit=limit,
        cursor=cursor,
    )
    return Request(method="GET", path="/missions", query=query)


def lookup(ids: Sequence[MissionId]) -> Request:
    body = msgspec.json.encode(rest.LookupRequest(ids=tuple(ids)))
    return Request(method="POST", path="/missions/lookup", body=body, headers=JSON)


def cancel(mission_id: str, message: str) -> Request:
    body = msgspec.json.encode(rest.CancelRequest(message=message))
    return Request(method="POST", path=f"{_mission(mission_id)}/cancel", body=body, headers=JSON)


def change(mission_id: str, wanted: rest.MissionChange) -> Request:
    # A repeat could undo what somebody else said in between.
    body = msgspec.json.encode(wanted)
    return Request(method="PATCH", path=_mission(mission_id), body=body, headers=JSON, is_idempotent=False)


def events(namespace: str | None, door: Door | None, after: str) -> Request:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
    query = _query(namespace=namespace, door=door)
    return Request(method="GET", path="/events", query=query, headers=headers, read_seconds=SILENCE_SECONDS)


def pools() -> Request:
    return Request(method="GET", path="/pools")


def declare_pool(namespace: str, name: str, declaration: rest.PoolDeclaration) -> Request:
    body = msgspec.json.encode(declaration)
    return Request(method="PUT", path=_pool(namespace, name), body=body, headers=JSON)


def delete_pool(namespace: str, name: str) -> Request:
    return Request(method="DELETE", path=_pool(namespace, name))


def rejected(limit: int | None) -> Request:
    return Request(method="GET", path="/rejected", query=_query(limit=limit))


def log_in(username: str, password: str) -> Request:
    body = msgspec.json.encode(rest.LoginRequest(username=username, password=password))
    return Request(method="POST", path="/login", body=body, headers=JSON)


def log_out(refresh_token: str) -> Request:
    body = msgspec.json.encode(rest.LogoutRequest(refresh_token=refresh_token))
    return Request(method="POST", path="/logout", body=body, headers=JSON)


def health() -> Request:
    return Request(method="GET", path="/health")


def _mission(mission_id: str) -> str:
    return f"/missions/{quote(mission_id, safe='')}"


def _pool(namespace: str, name: str) -> str:
    return f"/pools/{quote(namespace, safe='')}/{quote(name, safe='')}"


def _query(**parameters: str | int | None) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value)) for name, value in parameters.items() if value is not None)
