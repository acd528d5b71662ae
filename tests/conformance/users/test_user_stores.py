"""What every store of users promises: it compares before it writes, and tells everybody who is out."""

import asyncio

import msgspec

from mission_commander.domain.users import Family, Revocation, User
from mission_commander.services.user_store import UserStore
from mission_contracts.tokens import Role

ANN = User(name="ann", account="a" * 32, role=Role.USER, password_hash="$2b$…", created_at=1000.5)
FAMILY = Family(id="f" * 32, name="ann", account=ANN.account, generation=1, rotated_at=1000.25, ends_at=2000.0)
KEEP_SECONDS = 600.0
PATIENCE_SECONDS = 15.0


def ann_again(account: str) -> User:
    return msgspec.structs.replace(ANN, account=account, role=Role.ADMIN)


def following(family: Family) -> Family:
    return msgspec.structs.replace(family, generation=family.generation + 1, rotated_at=1100.75)


# Users.


async def test_a_user_is_kept_as_it_is(store: UserStore, other: UserStore) -> None:
    assert await store.user("ann") is None
    assert await store.add_user(ANN)
    assert await other.user("ann") == ANN


async def test_a_name_is_given_once(store: UserStore, other: UserStore) -> None:
    added = await asyncio.gather(
        *(one.add_user(ann_again(f"{number:032}")) for number, one in enumerate((store, other) * 5))
    )
    assert sum(added) == 1


async def test_a_user_is_replaced_only_as_the_account_that_was_decided_on(store: UserStore) -> None:
    await store.add_user(ANN)
    new = ann_again("b" * 32)
    assert not await store.replace_user(new, account="c" * 32, revocation=Revocation("c" * 32, 9e9))
    assert await store.user("ann") == ANN
    assert await store.replace_user(new, account=ANN.account, revocation=Revocation(ANN.account, 9e9))
    assert await store.user("ann") == new
    assert await heard(store) == [Revocation(ANN.account, 9e9)], "nothing was revoked by the one that did not fit"


async def test_a_user_is_removed_only_as_the_account_that_was_decided_on(store: UserStore) -> None:
    await store.add_user(ANN)
    assert not await store.remove_user("ann", account="c" * 32, revocation=Revocation("c" * 32, 9e9))
    assert await store.remove_user("ann", account=ANN.account, revocation=Revocation(ANN.account, 9e9))
    assert not await store.remove_user("ann", account=ANN.account, revocation=Revocation(ANN.account, 9e9))
    assert await store.user("ann") is None
    assert await heard(store) == [Revocation(ANN.account, 9e9)]
    assert await store.add_user(ann_again("d" * 32)), "the name is free again"


# Families.


async def test_a_family_is_kept_as_it_is(store: UserStore, other: UserStore) -> None:
    assert await store.family(FAMILY.id) is None
    await store.add_family(FAMILY, keep_seconds=KEEP_SECONDS)
    assert await other.family(FAMILY.id) == FAMILY


async def test_of_many_that_advance_a_family_at_once_one_does(store: UserStore, other: UserStore) -> None:
    await store.add_family(FAMILY, keep_seconds=KEEP_SECONDS)
    advanced = await asyncio.gather(
        *(one.advance_family(following(FAMILY), expected=1, keep_seconds=KEEP_SECONDS) for one in (store, other) * 5)
    )
    assert sum(advanced) == 1
    assert await store.family(FAMILY.id) == following(FAMILY)


async def test_a_family_that_has_ended_does_not_advance(store: UserStore) -> None:
    await store.add_family(FAMILY, keep_seconds=KEEP_SECONDS)
    await store.end_family(FAMILY.id, Revocation(FAMILY.id, 9e9))
    assert not await store.advance_family(following(FAMILY), expected=1, keep_seconds=KEEP_SECONDS)
    assert await store.family(FAMILY.id) is None


# Revocations.


async def heard(store: UserStore) -> list[Revocation]:
    _, revocations = await store.revocations("", wait_seconds=0.01)
    return list(revocations)


async def test_who_comes_later_hears_of_everything_once(store: UserStore, other: UserStore) -> None:
    first, second = Revocation("f1", 1234.5), Revocation("f2", 9e9)
    await store.end_family("f1", first)
    place, revocations = await other.revocations("", wait_seconds=PATIENCE_SECONDS)
    assert list(revocations) == [first]
    await store.end_family("f2", second)
    place, revocations = await other.revocations(place, wait_seconds=PATIENCE_SECONDS)
    assert list(revocations) == [second]
    assert await other.revocations(place, wait_seconds=0.01) == (place, ())


async def test_who_waits_hears_at_once(store: UserStore, other: UserStore) -> None:
    waiting = asyncio.create_task(other.revocations("", wait_seconds=10 * PATIENCE_SECONDS))
    await asyncio.wait((waiting,), timeout=0.05)  # time to begin to wait; without it this is the case above
    await store.end_family("f1", Revocation("f1", 9e9))
    _, revocations = await asyncio.wait_for(waiting, PATIENCE_SECONDS)
    assert list(revocations) == [Revocation("f1", 9e9)]


async def test_a_user_is_updated_while_the_account_is_there(store: UserStore, other: UserStore) -> None:
    assert not await store.update_user(ANN)
    assert await store.add_user(ANN)
    changed = msgspec.structs.replace(ANN, rights="shop")
    assert await other.update_user(changed)
    assert await store.user("ann") == changed
    assert not await store.update_user(ann_again("b" * 32))
    assert await store.user("ann") == changed
    assert (await store.revocations("", wait_seconds=0.001))[1] == ()


async def test_the_logins_of_an_account_that_were_used_longest_ago_are_named(
    store: UserStore, other: UserStore
) -> None:
    families = [msgspec.structs.replace(FAMILY, id=f"{number:032}", rotated_at=1000.0 + number) for number in range(5)]
    for family in families:
        await store.add_family(family, keep_seconds=KEEP_SECONDS)
    await store.advance_family(following(families[0]), expected=1, keep_seconds=KEEP_SECONDS)
    await store.add_family(
        msgspec.structs.replace(FAMILY, id="of another", account="x" * 32), keep_seconds=KEEP_SECONDS
    )
    assert await other.oldest_families(FAMILY.account, beyond=5) == []
    assert await other.oldest_families(FAMILY.account, beyond=3) == [families[1].id, families[2].id]
