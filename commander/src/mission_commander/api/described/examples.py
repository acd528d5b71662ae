"""What requests and answers look like: one mission and its neighbours, told from its submission to its end."""

from typing import Any, Final

MISSION_ID: Final = "7b0d0a52-4c0f-5b3e-9a57-0d6f3f0a9c11"
NEXT_ID: Final = "c2a7cf2f-31f5-5d0e-8a4b-6f1b8b0f5d20"
INSTANCE: Final = "default-5d9c7b6f4-x2x7q-1f3a"
ERA: Final = 29_800_000

SUBMISSION: Final[dict[str, Any]] = {
    "type": "resize-image",
    "payload": {"source": "cats/1.png", "width": 320},
    "retry": {"max_attempts": 5},
}

QUEUED: Final[dict[str, Any]] = {
    "mission_id": MISSION_ID,
    "namespace": "default",
    "type": "resize-image",
    "pool": "default",
    "state": "QUEUED",
    "reason": "WaitingForSoldier",
    "sequence": ERA * 1_000_000 + 1,
    "attempt": 0,
    "epoch": ERA * 1_000_000 + 1,
    "queued_at": "2026-08-30T10:40:00.120000Z",
    "trace_id": "9f86d081884c7d65",
}

CANCELLED: Final = QUEUED | {
    "state": "CANCELLED",
    "reason": "Cancelled",
    "sequence": ERA * 1_000_000 + 2,
    "message": "no longer needed",
    "finished_at": "2026-08-30T10:40:00.900000Z",
}

COMPLETED: Final = QUEUED | {
    "state": "COMPLETED",
    "reason": "Completed",
    "sequence": ERA * 1_000_000 + 3,
    "attempt": 1,
    "progress": 100.0,
    "soldier": INSTANCE,
    "started_at": "2026-08-30T10:40:00.131000Z",
    "finished_at": "2026-08-30T10:40:01.381000Z",
    "duration_seconds": 1.25,
    "result": {"thumbnail": "cats/1-320.png"},
}

ATTEMPT: Final[dict[str, Any]] = {
    "number": 1,
    "epoch": ERA * 1_000_000 + 1,
    "soldier": INSTANCE,
    "started_at": "2026-08-30T10:40:00.131000Z",
    "ended_at": "2026-08-30T10:40:01.381000Z",
}

TIMINGS: Final[dict[str, Any]] = {
    "accepted_at": "2026-08-30T10:40:00.120000Z",
    "handed_out_at": "2026-08-30T10:40:00.120000Z",
    "claimed_at": "2026-08-30T10:40:00.131000Z",
    "finished_at": "2026-08-30T10:40:01.381000Z",
    "waiting_seconds": 0.011,
    "running_seconds": 1.25,
}

FAILED: Final = COMPLETED | {
    "state": "FAILED",
    "reason": "AttemptsExhausted",
    "message": "TimeoutError: the source did not answer",
    "progress": None,
    "result": None,
    "dead_letter": True,
}
DEAD_LETTER: Final = {
    "mission": {name: value for name, value in FAILED.items() if value is not None},
    "attempts": [ATTEMPT | {"failure": "Error", "message": "TimeoutError: the source did not answer"}],
    "timings": TIMINGS,
}

RETRIED: Final = QUEUED | {"mission_id": NEXT_ID, "retry_of": MISSION_ID}

REFUSED: Final[dict[str, Any]] = {
    "title": "Refused",
    "status": 422,
    "code": "BadField",
    "detail": "payload: this field is required",
    "field": "payload",
}

POOL: Final[dict[str, Any]] = {
    "namespace": "default",
    "name": "default",
    "paused": False,
    "queued": 2,
    "waiting": 0,
    "in_flight": 1,
    "soldiers": [{"instance": INSTANCE, "pod": "default-5d9c7b6f4-x2x7q", "slots": 16, "busy": 1, "taking": True}],
    "types": ["noop", "resize-image"],
}

STATUS: Final[dict[str, Any]] = {
    "era": ERA,
    "live": 3,
    "states": {"QUEUED": 2, "IN_PROGRESS": 1},
    "waiting": 0,
    "due": 0,
    "outbox": {"depth": 0, "oldest_seconds": None, "stopped": False},
    "dead_letters": 0,
    "rejected": 0,
    "reaper": True,
    "ledger": "ok",
    "broker": "ok",
    "durability": "strong",
    "counts": {"claims: RUN": 41, "reports: completed": 40},
}

EVENTS: Final = (
    "id: 1788086400120-0\nevent: mission\n"
    f'data: {{"mission_id":"{MISSION_ID}","namespace":"default","type":"resize-image","pool":"default",'
    f'"state":"QUEUED","reason":"WaitingForSoldier","sequence":{ERA * 1_000_000 + 1},"attempt":0}}\n\n'
)

REJECTED: Final[dict[str, Any]] = {
    "count": 1,
    "read": 1,
    "rejected": [
        {
            "rejected_at": "2026-08-30T10:41:07.250000Z",
            "queue": "missions.status",
            "defect": "not JSON",
            "reason": "the message is not JSON",
            "bytes": 11,
            "body": "hello world",
        }
    ],
}
