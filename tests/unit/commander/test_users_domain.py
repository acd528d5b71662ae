"""What a refresh token that is shown means, which names and passwords are taken, and what a password costs whom."""

import time

import msgspec
import pytest
from support.commander_stage import KEY

from mission_commander.domain import users
from mission_commander.domain.users import Family, User, Verdict
from mission_commander.services.passwords import Passwords
from mission_commander.services.refresh_tokens import RefreshTokens, Shown
from mission_contracts.install_key import InstallKey
from mission_contracts.tokens import Role

FAMILY = Family(id="f" * 32, name="ann", account="a" * 32, generation=5, rotated_at=1000.0, ends_at=2000.0)
RETRY_SECONDS = 10.0


@pytest.mark.parametrize(
    ("family", "generation", "now", "verdict"),
    [
        pytest.param(None, 1, 1000.0, Verdict.UNKNOWN, id="no such family"),
        pytest.param(FAMILY, 5, 2000.0, Verdict.UNKNOWN, id="a family that has ended"),
        pytest.param(FAMILY, 5, 1999.9, Verdict.NEXT, id="the newest, to its last moment"),
        pytest.param(FAMILY, 6, 1000.0, Verdict.NEXT, id="newer than the store knows: it was rolled back"),
        pytest.param(FAMILY, 4, 1000.0, Verdict.AGAIN, id="the one before, at once"),
        pytest.param(FAMILY, 4, 1010.0, Verdict.AGAIN, id="the one before, in time"),
        pytest.param(FAMILY, 4, 1010.1, Verdict.REUSED, id="the one before, too late"),
        pytest.param(FAMILY, 4, 995.0, Verdict.AGAIN, id="the one before, by a clock that is behind"),
        pytest.param(FAMILY, 3, 1000.0, Verdict.REUSED, id="two before, however soon"),
        pytest.param(FAMILY, 1, 1000.0, Verdict.REUSED, id="the first"),
    ],
)
def test_what_a_refresh_token_means(family: Family | None, generation: int, now: float, verdict: Verdict) -> None:
    assert users.judged(family, generation, now, retry_seconds=RETRY_SECONDS) is verdict


def test_a_rotation_puts_off_the_end_and_goes_on_from_what_was_shown() -> None:
    advanced = users.advanced(FAMILY, 7, 1500.0, refresh_seconds=600.0)
    assert (advanced.generation, advanced.rotated_at, advanced.ends_at) == (8, 1500.0, 2100.0)
    assert (advanced.id, advanced.account) == (FAMILY.id, FAMILY.account)


def test_the_subject_of_a_user_is_no_other_users_of_the_name() -> None:
    ann = User(name="ann", account="1" * 32, role=Role.USER, password_hash="$2b$…", created_at=0)
    other = msgspec.structs.replace(ann, account="2" * 32)
    assert ann.subject == "user:ann:11111111"
    assert ann.subject != other.subject
    assert "$2b$" not in repr(ann)


@pytest.mark.parametrize("name", ["ann", "a-b.c_d9", "x" * 63])
def test_names_that_are_taken(name: str) -> None:
    assert users.is_name(name)


@pytest.mark.parametrize("name", ["", "a", "Ann", "9ann", "ann:b", "ann\n", "änn", "x" * 64, "../ann", "ann b"])
def test_names_that_are_not(name: str) -> None:
    assert not users.is_name(name)


# Refresh tokens.


def test_a_refresh_token_says_what_was_sealed() -> None:
    tokens = RefreshTokens(KEY)
    assert tokens.read(tokens.of("a" * 32, 12)) == Shown("a" * 32, 12)
    assert tokens.of("a" * 32, 12) == RefreshTokens(KEY).of("a" * 32, 12), "at every replica, each time"


def test_nobody_else_makes_one() -> None:
    tokens, other = RefreshTokens(KEY), RefreshTokens(InstallKey(b"another installation's key, also long"))
    text = tokens.of("a" * 32, 12)
    wrong = [
        other.of("a" * 32, 12), text.replace(".12.", ".13."), text.replace("aaaa", "aaab", 1), text[:-1], text + "=",
        text.replace(".12.", ".012."), text.replace(".12.", ".١٢."), f" {text}", f"{text}\n", "", "mcr...", "x" * 9_000,
    ]  # fmt: skip
    assert [tokens.read(one) for one in wrong] == [None] * len(wrong)


# Passwords.


async def test_a_password_fits_its_hash_and_no_other() -> None:
    passwords = Passwords(KEY, cost=4)
    hashed = await passwords.hashed("correct horse battery")
    assert await passwords.fits("correct horse battery", hashed)
    assert not await passwords.fits("correct horse batterz", hashed)
    assert not await passwords.fits("correct horse battery", None)


async def test_all_of_a_long_password_counts() -> None:
    passwords = Passwords(KEY, cost=4)
    hashed = await passwords.hashed("x" * 200 + "a")
    assert await passwords.fits("x" * 200 + "a", hashed)
    assert not await passwords.fits("x" * 200 + "b", hashed), "bcrypt alone reads 72 bytes"


async def test_the_hashes_of_one_installation_are_of_no_use_in_another() -> None:
    hashed = await Passwords(KEY, cost=4).hashed("correct horse battery")
    other = Passwords(InstallKey(b"another installation's key, also long"), cost=4)
    assert not await other.fits("correct horse battery", hashed)


async def test_nobodys_password_costs_what_anybodys_does() -> None:
    """Processor time of this thread's work, the least of several: neither may be half of the other."""
    passwords = Passwords(KEY, cost=8)
    hashed = await passwords.hashed("correct horse battery")

    async def cost(of: str | None) -> float:
        took = []
        for _ in range(5):
            began = time.process_time()
            await passwords.fits("wrong, but long enough", of)
            took.append(time.process_time() - began)
        return min(took)

    somebody, nobody = await cost(hashed), await cost(None)
    assert 0.5 < somebody / nobody < 2
