"""Names of metrics and log fields. Nothing else may invent one: dashboards and alerts depend on them."""

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

# Metrics (Prometheus).
MISSIONS_ACCEPTED: Final = "missions_accepted_total"
MISSIONS_FINISHED: Final = "missions_finished_total"
MISSIONS_LIVE: Final = "missions_live"
CLAIMS: Final = "missions_claims_total"
REPORTS: Final = "missions_reports_total"
LEASES_LOST: Final = "missions_leases_lost_total"
STATUS_WRITES: Final = "missions_status_writes_total"
STATUS_REFUSED: Final = "missions_status_refused_total"
