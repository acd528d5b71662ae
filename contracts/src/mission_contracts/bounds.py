"""How much each thing that travels may be: what is read from a broker or a body is checked against these."""

from typing import Annotated, Final

from msgspec import Meta

from mission_contracts.mission import GREATEST_ERA, GREATEST_NUMBER, Epoch, Era, Instance, MissionId, Sequence
from mission_contracts.spec import DAY_SECONDS, YEAR_SECONDS

MAX_ID_CHARACTERS: Final = 64
MAX_NAME_CHARACTERS: Final = 253
MAX_LABEL_CHARACTERS: Final = 63
MAX_TYPE_CHARACTERS: Final = 128
MAX_WORD_CHARACTERS: Final = 256
"""Secrets, digests, trace ids, versions, markers."""
MAX_SUBJECT_CHARACTERS: Final = 1_024
MAX_ADDRESS_CHARACTERS: Final = 2_083
MAX_NOTE_CHARACTERS: Final = 256
MAX_MESSAGE_CHARACTERS: Final = 1_024
MAX_TRACEBACK_CHARACTERS: Final = 8 * 1_024
MAX_REPORTS: Final = 1_000
"""In one message on `missions.status`; soldiers send at most half of it."""
MAX_HINTS: Final = 10_000
MAX_CLAIMS: Final = 256
MAX_HELD: Final = 10_000
"""Holds, or unclaimed deliveries, in one heartbeat: more than a soldier can have by its own settings."""
MAX_TYPES: Final = 1_000
MAX_SCHEMA_BYTES: Final = 64 * 1024
"""Of one type's payload."""
MAX_REGISTRATION_BYTES: Final = 256 * 1024
REGISTRATION_TOO_LARGE: Final = "RegistrationTooLarge"
"""The code of a refusal that a registration without schemas may not meet."""
MAX_CONCURRENCY: Final = 10_000
MAX_PACE_SECONDS: Final = 3_600
"""Of heartbeats, leases, and a wait before a claim is asked for again."""
LAST_MOMENT: Final = 100_000_000_000.0
"""Unix seconds, in the year 5138: whatever is added to it is still a date that can be written."""
MAX_COUNT: Final = 1_000_000_000

Id = Annotated[MissionId, Meta(min_length=1, max_length=MAX_ID_CHARACTERS)]
EpochNumber = Annotated[Epoch, Meta(ge=0, le=GREATEST_NUMBER)]
SequenceNumber = Annotated[Sequence, Meta(ge=0, le=GREATEST_NUMBER)]
EraNumber = Annotated[Era, Meta(ge=0, le=GREATEST_ERA)]
InstanceName = Annotated[Instance, Meta(max_length=MAX_NAME_CHARACTERS)]
Count = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Instant = Annotated[float, Meta(ge=-LAST_MOMENT, le=LAST_MOMENT)]
Seconds = Annotated[float, Meta(ge=0, le=YEAR_SECONDS)]
DelaySeconds = Annotated[float, Meta(ge=0, le=DAY_SECONDS)]
PaceSeconds = Annotated[float, Meta(gt=0, le=MAX_PACE_SECONDS)]
Milliseconds = Annotated[int, Meta(ge=0, le=MAX_PACE_SECONDS * 1_000)]
Label = Annotated[str, Meta(max_length=MAX_LABEL_CHARACTERS)]
Name = Annotated[str, Meta(max_length=MAX_NAME_CHARACTERS)]
TypeName = Annotated[str, Meta(max_length=MAX_TYPE_CHARACTERS)]
Word = Annotated[str, Meta(max_length=MAX_WORD_CHARACTERS)]
Subject = Annotated[str, Meta(max_length=MAX_SUBJECT_CHARACTERS)]
Address = Annotated[str, Meta(max_length=MAX_ADDRESS_CHARACTERS)]
Note = Annotated[str, Meta(max_length=MAX_NOTE_CHARACTERS)]
Sentence = Annotated[str, Meta(max_length=MAX_MESSAGE_CHARACTERS)]
Traceback = Annotated[str, Meta(max_length=MAX_TRACEBACK_CHARACTERS)]
Percent = Annotated[float, Meta(ge=0, le=100)]
Factor = Annotated[float, Meta(ge=1, le=10)]
LaneNumber = Annotated[int, Meta(ge=1, le=2**53)]
