"""What is worth knowing afterwards about who came in and who was put out: one log line each, with no secret in it."""

import structlog

from mission_commander.domain import users
from mission_commander.domain.users import Family, User


class AuditLog:
    """Lines of the logger `audit`. Each has the request's id, as every line has."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("audit")

    def logged_in(self, user: User, family: Family) -> None:
        self._log.info("a user logged in", subject=user.subject, role=user.role.value, family=family.id)

    def login_refused(self, name: str) -> None:
        self._log.warning("a login was refused", name=_shown(name))

    def client_refused(self, client: str) -> None:
        self._log.warning("a client's secret was refused", client=client or "(not a client's id)")

    def refresh_refused(self, why: str) -> None:
        self._log.warning("a refresh token was refused", why=why)

    def reused(self, family: Family, generation: int) -> None:
        self._log.warning(
            "a refresh token was used twice, so somebody has a copy: its family is revoked, both have to log in again",
            name=family.name,
            family=family.id,
            generation=generation,
            newest=family.generation,
        )

    def logged_out(self, family_id: str) -> None:
        self._log.info("a login was ended", family=family_id)

    def registered(self, user: User, by: str) -> None:
        self._log.info("a user was registered", subject=user.subject, role=user.role.value, by=by)

    def rights_given(self, user: User, by: str) -> None:
        self._log.warning("a user's rights were changed", subject=user.subject, rights=user.rights or "default", by=by)

    def deleted(self, user: User, by: str) -> None:
        self._log.warning("a user was deleted, and is out everywhere", subject=user.subject, by=by)

    def first_admin(self, user: User, what: str) -> None:
        self._log.warning(f"the first admin was {what}, as the settings say", subject=user.subject)


def _shown(name: str) -> str:
    """People type passwords where names belong."""
    return name if users.is_name(name) else "(not a user's name)"
