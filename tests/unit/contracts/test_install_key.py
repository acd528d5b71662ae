"""What is derived from the install key."""

import hashlib
import hmac
import uuid

import pytest

from mission_contracts.install_key import ClaimSecrets, InstallKey, MissionIds, Seals
from mission_contracts.mission import Epoch, Instance, MissionId

KEY = InstallKey(b"k" * 32)
MISSION, OTHER = MissionId("m-1"), MissionId("m-2")


def test_a_short_key_is_refused_with_the_way_to_a_good_one() -> None:
    with pytest.raises(ValueError, match="openssl rand -hex 32"):
        InstallKey(b"short")


def test_a_key_does_not_print_itself() -> None:
    assert repr(KEY) == "InstallKey(…)"


def test_each_use_has_a_key_of_its_own() -> None:
    assert len({KEY.derive(label) for label in ("mission-id", "claim", "access-tokens")}) == 3


class TestMissionIds:
    def test_the_same_submission_has_the_same_id(self) -> None:
        assert MissionIds(KEY).of("ann", "order-7") == MissionIds(KEY).of("ann", "order-7")

    def test_it_is_a_uuid(self) -> None:
        assert uuid.UUID(MissionIds(KEY).of("ann", "order-7")).version == 5

    @pytest.mark.parametrize("idempotency_key", [f"order-{number}" for number in range(32)])
    def test_it_is_the_keyed_hash_as_a_uuid(self, idempotency_key: str) -> None:
        text = f"3:ann{idempotency_key}".encode()
        digest = hmac.digest(KEY.derive("mission-id"), text, hashlib.sha256)
        assert MissionIds(KEY).of("ann", idempotency_key) == str(uuid.UUID(bytes=digest[:16], version=5))

    def test_subject_and_key_cannot_be_confused(self) -> None:
        ids = MissionIds(KEY)
        assert len({ids.of("ann", "b"), ids.of("an", "nb"), ids.of("", "annb"), ids.of("annb", "")}) == 4

    def test_another_installation_has_other_ids(self) -> None:
        assert MissionIds(KEY).of("ann", "b") != MissionIds(InstallKey(b"x" * 32)).of("ann", "b")


class TestClaimSecrets:
    SECRETS = ClaimSecrets(KEY)

    def test_it_is_the_keyed_hash_of_its_claim(self) -> None:
        digest = hmac.digest(KEY.derive("claim"), b"m-1 7 i", hashlib.sha256)
        assert self.SECRETS.of(MISSION, Epoch(7), Instance("i")) == digest.hex()[:32]

    def test_it_fits_its_own_claim(self) -> None:
        secret = self.SECRETS.of(MISSION, Epoch(7), Instance("i"))
        assert self.SECRETS.fits(secret, MISSION, Epoch(7), Instance("i"))

    @pytest.mark.parametrize(
        ("mission", "epoch", "instance"),
        [
            pytest.param(OTHER, 7, "i", id="another mission"),
            pytest.param(MISSION, 8, "i", id="another epoch"),
            pytest.param(MISSION, 7, "j", id="another instance"),
        ],
    )
    def test_it_fits_no_other(self, mission: MissionId, epoch: int, instance: str) -> None:
        secret = self.SECRETS.of(MISSION, Epoch(7), Instance("i"))
        assert not self.SECRETS.fits(secret, mission, Epoch(epoch), Instance(instance))

    @pytest.mark.parametrize("secret", ["", "x", "ü", "0" * 32])
    def test_nonsense_fits_nothing(self, secret: str) -> None:
        assert not self.SECRETS.fits(secret, MISSION, Epoch(7), Instance("i"))


def test_a_seal_fits_the_bytes_it_was_made_for_alone() -> None:
    seals = Seals(InstallKey(b"k" * 32))
    assert seals.fits(seals.of(b"accepted"), b"accepted")
    assert not seals.fits(seals.of(b"accepted"), b"accepted too")
    assert not Seals(InstallKey(b"j" * 32)).fits(seals.of(b"accepted"), b"accepted")
    assert not seals.fits("ü", b"accepted")
