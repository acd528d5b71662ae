"""Whose a mission is when bytes are counted, and how many it takes."""

from typing import Final

import msgspec

from mission_commander.domain.record import Mission
from mission_contracts.envelope import Door, Envelope

Owner = str
"""A subject of the REST door, or a namespace of the cluster's: objects all come in by the one operator."""

MISSION_BYTES: Final = 600
"""What the ledger takes for a mission beside its record and payload: its key, and its places in the indexes."""

ADMITTED_BYTES: Final = 1_500
"""What a mission without payload counts as before it is written: its record grows until its end, and is announced."""

RETRY_PAYLOAD_BYTES: Final = 1_024
"""A payload up to this size stays until the record is purged, a larger one only where the mission is a dead letter."""


class Usage(msgspec.Struct, frozen=True):
    """What the ledger holds: records, payloads and indexes, and how much of it is payload."""

    held: int = 0
    payload: int = 0


def owner_of(envelope: Envelope) -> Owner:
    name = envelope.namespace if envelope.door is Door.CLUSTER else envelope.subject
    return f"{envelope.door.value}/{name}"


def drops_payload(mission: Mission) -> bool:
    """Whether the end of a mission is the end of its payload too."""
    return mission.is_final and not mission.dead_letter and mission.payload_bytes > RETRY_PAYLOAD_BYTES
