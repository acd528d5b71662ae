"""Seals on orders: proof that a Commander of this installation handed out what an order says.

Orders come back by way of soldiers: in claims, in reports, in heartbeats, as dead letters. Where the ledger lacks the
mission, what comes back is the only record of it, so it counts only with a seal. The envelope has a seal of its own,
which soldiers return in reports and heartbeats; the order's seal covers that one, the numbers and the payload.

A seal is keyed BLAKE2b (RFC 7693), which takes half the time of HMAC-SHA256: every mission pays for two of them.
"""

import hashlib
import hmac
from typing import Final

import msgspec

from mission_contracts.envelope import Envelope
from mission_contracts.install_key import InstallKey
from mission_contracts.messages import VERSION, Order
from mission_contracts.mission import Epoch, Era

_SEAL_BYTES: Final = 16
"""As claim secrets have."""
_JSON_SPACE: Final = b" \t\n\r"

_encode: Final = msgspec.json.Encoder().encode


class OrderSeals:
    """Seals orders and envelopes, and checks seals."""

    def __init__(self, key: InstallKey) -> None:
        self._envelopes = hashlib.blake2b(key=key.derive("order-envelope"), digest_size=_SEAL_BYTES)
        self._orders = hashlib.blake2b(key=key.derive("order"), digest_size=_SEAL_BYTES)

    def order(self, era: Era, epoch: Epoch, envelope: Envelope, payload: bytes) -> Order:
        """Return the sealed order for one hand-out."""
        envelope_seal = self.of_envelope(envelope)
        return Order(
            v=VERSION,
            era=era,
            epoch=epoch,
            envelope=envelope,
            payload=msgspec.Raw(payload),
            envelope_seal=envelope_seal,
            seal=self._of_order(era, epoch, envelope_seal, payload),
        )

    def prove(self, order: Order) -> bool:
        """Whether a Commander of this installation published this order, as it is."""
        if not self.prove_envelope(order.envelope, order.envelope_seal):
            return False
        expected = self._of_order(order.era, order.epoch, order.envelope_seal, bytes(order.payload))
        return hmac.compare_digest(order.seal.encode(), expected.encode())

    def of_envelope(self, envelope: Envelope) -> str:
        mac = self._envelopes.copy()
        mac.update(_canonical(envelope))
        return mac.hexdigest()

    def prove_envelope(self, envelope: Envelope, seal: str) -> bool:
        """Whether a Commander of this installation accepted this mission, as its envelope says."""
        return hmac.compare_digest(seal.encode(), self.of_envelope(envelope).encode())

    def _of_order(self, era: Era, epoch: Epoch, envelope_seal: str, payload: bytes) -> str:
        mac = self._orders.copy()
        mac.update(f"{envelope_seal} {era} {epoch} ".encode())
        mac.update(payload.strip(_JSON_SPACE))  # a JSON decoder leaves out the space around a value
        return mac.hexdigest()


def _canonical(one: Envelope) -> bytes:
    """Return the sealed text: the fields in this order, never another, and numbers as they are after a decoder.

    A field that is added to the envelope is not covered by it, so that soldiers of an older version, which do not
    return it, still prove their missions. Let a second seal cover it if it must not be made up.
    """
    retry = one.retry
    return _encode(
        (
            one.mission_id,
            one.namespace,
            one.pool,
            one.type,
            float(one.accepted_at),
            one.door,
            one.name,
            one.subject,
            one.digest,
            None if one.start_after is None else float(one.start_after),
            float(one.timeout_seconds),
            float(one.deadline_seconds),
            retry.max_attempts,
            float(retry.initial_delay_seconds),
            float(retry.multiplier),
            float(retry.max_delay_seconds),
            one.priority,
            one.ordering_key,
            one.sequence_number,
            one.callback_url,
            one.trace_id,
            one.retry_of,
        )
    )
