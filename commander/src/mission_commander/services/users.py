"""Users: who logs in, who is registered, who is deleted, and what a refresh token still opens."""

import secrets
from typing import Final

import msgspec

from mission_commander.domain import users
from mission_commander.domain.users import Family, Revocation, User, Verdict
from mission_commander.services.audit_log import AuditLog
from mission_commander.services.passwords import Passwords
from mission_commander.services.refresh_tokens import RefreshTokens, Shown
from mission_commander.services.revocations import Revocations
from mission_commander.services.user_store import UserStore
from mission_contracts.clock import Clock
from mission_contracts.tokens import LONGEST_TOKEN_SECONDS, Holder, Role

LEEWAY_SECONDS: Final = 60.0
"""A revocation outlives the tokens that it is about by so much: clocks differ, and a token may just be being made."""
REVOKED_SECONDS: Final = LONGEST_TOKEN_SECONDS + LEEWAY_SECONDS
"""As long as any token may live, whatever the setting says now: it may have said more when the token was made."""
MAX_LOGINS: Final = 100
"""Of one user at the same time: another one ends the oldest."""
TRIES: Final = 5


class NotLetInError(Exception):
    """A name and password, or a refresh token, that opens nothing; the sentence does not say which part was wrong."""


class NameTakenError(Exception):
    """Somebody has this name."""


class NoSuchUserError(Exception):
    """Nobody has this name."""


class Lifetimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long what we give lives."""

    access_seconds: float
    refresh_seconds: float
    retry_seconds: float
    """How long the refresh token before the newest still gets the newest pair once more."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """What a login or a refresh gives: the same pair each time that it is given again."""

    holder: Holder
    refresh_token: str
    issued_at: float


class Users:
    """All that can be done with users, but making access tokens."""

    def __init__(
        self,
        store: UserStore,
        passwords: Passwords,
        refresh_tokens: RefreshTokens,
        revocations: Revocations,
        clock: Clock,
        lifetimes: Lifetimes,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._refresh_tokens = refresh_tokens
        self._revocations = revocations
        self._clock = clock
        self._lifetimes = lifetimes
        self.audit = AuditLog()

    # In.

    async def log_in(self, name: str, password: str) -> Pair:
        """Begin a family; NotLetInError after the same work, whatever was wrong."""
        user = await self._store.user(name) if users.is_name(name) else None
        if not await self._passwords.fits(password, user.password_hash if user else None) or user is None:
            self.audit.login_refused(name)
            raise NotLetInError("the name or the password is wrong: check both")
        family = self._new_family(user)
        await self._store.add_family(family, keep_seconds=self._keep_seconds())
        for oldest in await self._store.oldest_families(user.account, beyond=MAX_LOGINS):
            await self._end(oldest)
        self.audit.logged_in(user, family)
        return self._pair(user, family)

    async def refresh(self, token: str) -> Pair:
        """Give the next pair, or the newest one again; reuse ends the family. Of two at once, one makes the pair."""
        shown = self._refresh_tokens.read(token)
        if shown is None:
            self.audit.refresh_refused("not made here")
            raise NotLetInError("the refresh token is not one of ours: log in again")
        for _ in range(TRIES):
            pair = await self._try_refresh(shown)
            if pair is not None:
                return pair
        raise NotLetInError("the refresh token is being used by many at once: log in again")

    async def _try_refresh(self, shown: Shown) -> Pair | None:
        """Decide on what the store has; None when that changed before it was written."""
        family = await self._store.family(shown.family_id)
        user = await self._store.user(family.name) if family is not None else None
        now = self._clock.now()
        verdict = users.judged(family, shown.generation, now, retry_seconds=self._lifetimes.retry_seconds)
        if family is None or user is None or user.account != family.account or verdict is Verdict.UNKNOWN:
            self.audit.refresh_refused("its login has ended")
            raise NotLetInError("the login of this refresh token has ended: log in again")
        if verdict is Verdict.AGAIN:
            return self._pair(user, family)
        if verdict is Verdict.REUSED:
            self.audit.reused(family, shown.generation)
            await self._end(family.id)
            raise NotLetInError("this refresh token was used before, so its login was ended: log in again")
        following = users.advanced(family, shown.generation, now, refresh_seconds=self._lifetimes.refresh_seconds)
        is_written = await self._store.advance_family(
            following, expected=family.generation, keep_seconds=self._keep_seconds()
        )
        return self._pair(user, following) if is_written else None

    # Out.

    async def log_out(self, family_id: str) -> None:
        """End a login everywhere."""
        await self._end(family_id)
        self.audit.logged_out(family_id)

    async def log_out_by(self, refresh_token: str) -> None:
        """End the login of a refresh token; one that is not ours opens nothing, so there is nothing to end."""
        shown = self._refresh_tokens.read(refresh_token)
        if shown is not None:
            await self.log_out(shown.family_id)

    async def _end(self, family_id: str) -> None:
        revocation = self._revocation(family_id)
        await self._store.end_family(family_id, revocation)
        self._revocations.add(revocation)

    # Users themselves.

    async def register(self, name: str, password: str, role: Role, *, rights: str = "", by: str) -> User:
        """Add a user; name, password and rights have been checked before."""
        user = await self._new_user(name, password, role, rights)
        if not await self._store.add_user(user):
            raise NameTakenError(f"{name} is taken: choose another name")
        self.audit.registered(user, by)
        return user

    async def is_account(self, name: str, password: str, account: str | None) -> bool:
        """Tell whether this is the name and the password of that account, after the same work in any case."""
        user = await self._store.user(name)
        is_right = await self._passwords.fits(password, user.password_hash if user else None)
        return is_right and user is not None and user.account == account

    async def delete(self, name: str, *, by: str) -> None:
        """Forget a user, who is out everywhere; NoSuchUserError when there is none."""
        user = await self._store.user(name)
        if user is None:
            raise NoSuchUserError(f"there is no user {name}: nothing was changed")
        revocation = self._revocation(user.account)
        if await self._store.remove_user(name, account=user.account, revocation=revocation):
            self._revocations.add(revocation)
            self.audit.deleted(user, by)

    async def give_rights(self, name: str, rights: str, *, by: str) -> User:
        """Change a user's set of rights; NoSuchUserError when there is no such user."""
        held = await self._store.user(name)
        user = None if held is None else msgspec.structs.replace(held, rights=rights)
        if user is None or not await self._store.update_user(user):
            raise NoSuchUserError(f"there is no user {name}: nothing was changed")
        self.audit.rights_given(user, by)
        return user

    async def ensure_admin(self, name: str, password: str) -> None:
        """Have an admin of this name and password, whatever was there before; whose name it was is out everywhere."""
        held = await self._store.user(name)
        if held is None:
            if await self._store.add_user(user := await self._new_user(name, password, Role.ADMIN)):
                self.audit.first_admin(user, "made")
            return
        if held.role is Role.ADMIN and await self._passwords.fits(password, held.password_hash):
            return
        user = await self._new_user(name, password, Role.ADMIN)
        revocation = self._revocation(held.account)
        if await self._store.replace_user(user, account=held.account, revocation=revocation):
            self._revocations.add(revocation)
            self.audit.first_admin(user, "changed")

    async def exists(self, name: str) -> bool:
        return await self._store.user(name) is not None

    # Parts.

    async def _new_user(self, name: str, password: str, role: Role, rights: str = "") -> User:
        return User(
            name=name,
            account=secrets.token_hex(16),
            role=role,
            password_hash=await self._passwords.hashed(password),
            created_at=self._clock.now(),
            rights=rights,
        )

    def _new_family(self, user: User) -> Family:
        now = self._clock.now()
        return Family(
            id=secrets.token_hex(16),
            name=user.name,
            account=user.account,
            generation=1,
            rotated_at=now,
            ends_at=now + self._lifetimes.refresh_seconds,
        )

    def _pair(self, user: User, family: Family) -> Pair:
        return Pair(
            holder=users.holder_of(user, family),
            refresh_token=self._refresh_tokens.of(family.id, family.generation),
            issued_at=family.rotated_at,
        )

    def _revocation(self, revoked: str) -> Revocation:
        return Revocation(revoked, self._clock.now() + REVOKED_SECONDS)

    def _keep_seconds(self) -> float:
        return self._lifetimes.refresh_seconds + LEEWAY_SECONDS
