"""Names of log fields. Nothing else may invent one: searches and alerts depend on them (metrics: `metrics`)."""

from typing import Final

# Log fields.
MISSION_ID: Final = "mission_id"
EPOCH: Final = "epoch"
ATTEMPT: Final = "attempt"
INSTANCE: Final = "instance"
POOL: Final = "pool"
NAMESPACE: Final = "namespace"
REQUEST_ID: Final = "request_id"
TRACE_ID: Final = "trace_id"
