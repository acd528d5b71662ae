"""Every metric's name, labels and meaning. Nothing else may invent one: dashboards and alerts depend on them.

`docs/reference/metrics.md` is generated from here; a test holds what `GET /metrics` serves against it.
"""

from enum import StrEnum
from typing import Final

import msgspec

from mission_contracts.errors import Defect


class Kind(StrEnum):
    """As Prometheus calls them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True):
    """One metric; its help is one sentence."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """A histogram's upper bounds; one without a bound follows them."""


class Dropped(StrEnum):
    """Why a report changed nothing."""

    NOT_HELD = "not_held"  # its claim was released, or is somebody else's
    OLD_EPOCH = "old_epoch"
    WRONG_SECRET = "wrong_secret"  # noqa: S105  # a cause, and no secret
    FINAL = "final"  # the mission had its final state already
    PURGED = "purged"
    UNPROVEN = "unproven"  # the ledger lacks the mission, and its envelope bears no seal of this installation
    MALFORMED = "malformed"  # a whole message that cannot be read counts once
    DEFECT = "defect"  # a defect of ours: it is kept in missions.rejected


class Rejected(StrEnum):
    """Why a message is kept in `missions.rejected`."""

    MALFORMED = "malformed"
    DEFECT = "defect"

    @classmethod
    def of(cls, defect: Defect) -> "Rejected":
        return cls.DEFECT if defect is Defect.UNUSABLE else cls.MALFORMED


class Ended(StrEnum):
    """Why a client's connection was ended before it was done."""

    SLOW_HEAD = "slow_head"  # no request, or not all of its head, in time
    SLOW_BODY = "slow_body"
    UNREAD = "unread"  # the client does not read its answer
    HEAD_TOO_LARGE = "head_too_large"
    CROWDED = "crowded"  # it was idle, and another one needed the place; or there was no place at all


# Missions.

LIVE: Final = Metric("missions_live", Kind.GAUGE, "Missions that are not final.", ("state", "reason"))
DUE: Final = Metric("missions_due", Kind.GAUGE, "Missions whose moment has come and that were not looked at yet.")
OLDEST_ORDER: Final = Metric(
    "missions_oldest_order_seconds",
    Kind.GAUGE,
    "How long the mission that waits longest for a soldier has been handed out; 0 when none waits.",
)
UNACCOUNTED: Final = Metric(
    "missions_unaccounted",
    Kind.GAUGE,
    "Missions on which ledger, outbox, broker and memory disagreed at two looks; repaired, it returns to 0.",
)
DEAD_LETTERS: Final = Metric("missions_dead_letters", Kind.GAUGE, "Missions that gave up and were not redriven.")
ACCEPTED: Final = Metric(
    "missions_accepted_total",
    Kind.COUNTER,
    "Missions that this Commander recorded first, also those that it rebuilt after the ledger lost them.",
)
LATE_RECORDS: Final = Metric(
    "missions_late_records_total",
    Kind.COUNTER,
    "Missions accepted without the ledger, as this Commander met them afterwards: recorded, known (there was a record "
    "already, or it was purged since), refused (their key had another mission), defect.",
    ("outcome",),
)
FINISHED: Final = Metric(
    "missions_finished_total", Kind.COUNTER, "Missions whose final state this Commander recorded.", ("state", "reason")
)

# Orders.

OUTBOX_DEPTH: Final = Metric("missions_outbox_depth", Kind.GAUGE, "Hand-outs that the broker has not confirmed.")
OUTBOX_OLDEST: Final = Metric(
    "missions_outbox_oldest_seconds", Kind.GAUGE, "How long the oldest of them waits; 0 when the outbox is empty."
)
REPUBLISHED: Final = Metric(
    "missions_orders_republished_total", Kind.COUNTER, "Orders that vanished from their queue and were published again."
)
UNDELIVERED: Final = Metric(
    "missions_orders_undelivered_total", Kind.COUNTER, "Orders that came back undelivered through missions.dead."
)
REJECTED: Final = Metric(
    "missions_messages_rejected_total",
    Kind.COUNTER,
    "Messages that the Commander moved to missions.rejected: malformed ones, and (defect) those it failed on.",
    ("queue", "cause"),
)
REJECTED_DEPTH: Final = Metric(
    "missions_rejected_depth", Kind.GAUGE, "Messages in missions.rejected, those that soldiers moved there included."
)

# Soldiers.

CLAIMS: Final = Metric(
    "missions_claims_total",
    Kind.COUNTER,
    "Claims answered; the answer is RUN, WAIT or TELL (send the whole order), or why the order was dropped.",
    ("answer",),
)
REPORTS: Final = Metric("missions_reports_applied_total", Kind.COUNTER, "Reports applied.", ("kind",))
REPORTS_DROPPED: Final = Metric(
    "missions_reports_dropped_total",
    Kind.COUNTER,
    "Reports that changed nothing: not_held, old_epoch, wrong_secret, final (it came after the end), purged, "
    "malformed (a message that cannot be read counts once), defect.",
    ("cause",),
)
REPORTS_ASKED_AGAIN: Final = Metric(
    "missions_reports_asked_again_total",
    Kind.COUNTER,
    "Reports that were not applied a lease after their soldier had published them, and that it was asked for again.",
)
LEASES_EXPIRED: Final = Metric("missions_leases_expired_total", Kind.COUNTER, "Claims whose lease ran out.")
CLAIMS_ABANDONED: Final = Metric(
    "missions_claims_abandoned_total", Kind.COUNTER, "Claims released because their soldier never heard of the grant."
)

# The Commander.

LEDGER_UP: Final = Metric("missioncontrol_ledger_up", Kind.GAUGE, "1 while the ledger (Redis) answers.")
BROKER_UP: Final = Metric("missioncontrol_broker_up", Kind.GAUGE, "1 while the broker (RabbitMQ) can be reached.")
LEDGER_BYTES: Final = Metric(
    "missioncontrol_ledger_bytes", Kind.GAUGE, "Bytes of memory that the ledger has in use, as admission counts them."
)
LEDGER_BYTES_LIMIT: Final = Metric(
    "missioncontrol_ledger_bytes_limit",
    Kind.GAUGE,
    "Bytes of memory that the ledger may use: Redis' maxmemory, else the setting ledger_bytes.",
)
LEDGER_BYTES_WATERMARK: Final = Metric(
    "missioncontrol_ledger_bytes_watermark", Kind.GAUGE, "Bytes in use from which on new missions are refused."
)
LEDGER_REFUSED: Final = Metric(
    "missioncontrol_ledger_full_refusals_total",
    Kind.COUNTER,
    "Missions refused with 503 (LedgerFull) because the ledger's memory had reached the watermark.",
)
DURABILITY_WEAK: Final = Metric(
    "missioncontrol_durability_weak", Kind.GAUGE, "1 while a crash of the ledger may lose accepted missions."
)
ON_DUTY: Final = Metric(
    "missioncontrol_on_duty", Kind.GAUGE, "1 on the one Commander that applies reports and ends leases."
)
ERA: Final = Metric("missioncontrol_era", Kind.GAUGE, "The ledger's era; it rises when the ledger has lost data.")
ERAS_DISBELIEVED: Final = Metric(
    "missioncontrol_eras_disbelieved_total",
    Kind.COUNTER,
    "Eras, epochs and floors that somebody named and that lie too far above now to be true; they changed nothing.",
)
UNPROVEN: Final = Metric(
    "missioncontrol_unproven_total",
    Kind.COUNTER,
    "Missions that the ledger lacks and that a soldier, or a dead letter, described without a valid seal: ignored.",
    ("way",),
)
COMMIT_SIZE: Final = Metric(
    "missioncontrol_commit_size",
    Kind.HISTOGRAM,
    "Missions changed by one commit to the ledger.",
    bounds=(1, 2, 5, 10, 20, 50, 100, 200, 500),
)
COMMIT_SECONDS: Final = Metric(
    "missioncontrol_commit_seconds",
    Kind.HISTOGRAM,
    "How long one commit to the ledger took.",
    bounds=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
HTTP_REQUESTS: Final = Metric(
    "missioncontrol_http_requests_total",
    Kind.COUNTER,
    "HTTP requests answered, by route and status.",
    ("method", "route", "status"),
)
LIMITED: Final = Metric(
    "missioncontrol_limited_total",
    Kind.COUNTER,
    "Missions and requests refused with 429, by the limit that they exceeded: submit, read, wish, login_address, "
    "login_user, client_address, client (wrong client secrets), live (missions of one subject that are not final), "
    "submit_bytes, payload_bytes and ledger_bytes (of one subject, or of one namespace's objects).",
    ("limit",),
)
CONNECTIONS_ENDED: Final = Metric(
    "missioncontrol_connections_ended_total",
    Kind.COUNTER,
    "Connections ended by their bounds: slow_head, slow_body, unread (the client does not read), head_too_large, "
    "crowded (idle while others needed the place, or none was free).",
    ("cause",),
)

# One soldier, on its probe port.

SLOTS: Final = Metric("missioncontrol_soldier_slots", Kind.GAUGE, "Missions that it runs at once.")
SLOTS_FREE: Final = Metric("missioncontrol_soldier_slots_free", Kind.GAUGE, "Slots that nothing runs in.")
WAITING: Final = Metric(
    "missioncontrol_soldier_orders_waiting", Kind.GAUGE, "Orders in its hands that have no claim or no slot yet."
)
TAKING: Final = Metric(
    "missioncontrol_soldier_taking", Kind.GAUGE, "1 while it takes orders; 0 once it retires or leaves."
)
LOOP_BLOCKED: Final = Metric(
    "missioncontrol_soldier_loop_blocked_seconds",
    Kind.GAUGE,
    "How long its event loop has not had a turn; beyond 5 it is not ready, and the log has the stack.",
)
ENDED: Final = Metric(
    "missioncontrol_soldier_attempts_total", Kind.COUNTER, "Attempts that it has reported, by their end.", ("kind",)
)
DRAINED: Final = Metric(
    "missioncontrol_soldier_attempts_drained_total", Kind.COUNTER, "Those of them that ended by themselves as it left."
)
YIELDED: Final = Metric(
    "missioncontrol_soldier_orders_yielded_total",
    Kind.COUNTER,
    "Orders that it gave back to their queue because every slot was taken for long.",
)
SOLDIER_REJECTED: Final = Metric(
    "missioncontrol_soldier_messages_rejected_total",
    Kind.COUNTER,
    "Messages that it moved to missions.rejected.",
    ("queue", "cause"),
)

OF_SOLDIERS: Final = (
    SLOTS,
    SLOTS_FREE,
    WAITING,
    TAKING,
    LOOP_BLOCKED,
    ENDED,
    DRAINED,
    YIELDED,
    SOLDIER_REJECTED,
)

ALL: Final = (
    LIVE,
    DUE,
    OLDEST_ORDER,
    UNACCOUNTED,
    DEAD_LETTERS,
    ACCEPTED,
    LATE_RECORDS,
    FINISHED,
    OUTBOX_DEPTH,
    OUTBOX_OLDEST,
    REPUBLISHED,
    UNDELIVERED,
    REJECTED,
    REJECTED_DEPTH,
    CLAIMS,
    REPORTS,
    REPORTS_DROPPED,
    REPORTS_ASKED_AGAIN,
    LEASES_EXPIRED,
    CLAIMS_ABANDONED,
    LEDGER_UP,
    LEDGER_BYTES,
    LEDGER_BYTES_LIMIT,
    LEDGER_BYTES_WATERMARK,
    LEDGER_REFUSED,
    BROKER_UP,
    DURABILITY_WEAK,
    ON_DUTY,
    ERA,
    ERAS_DISBELIEVED,
    UNPROVEN,
    COMMIT_SIZE,
    COMMIT_SECONDS,
    HTTP_REQUESTS,
    LIMITED,
    CONNECTIONS_ENDED,
)
