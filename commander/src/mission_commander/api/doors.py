"""What every route needs: the Commander's services, users, the gate, and the ways to a token."""

from dataclasses import dataclass

from starlette.requests import Request

from mission_commander.api.answers import ProblemError
from mission_commander.api.authentication import Gate
from mission_commander.api.grants import Grants, Issuer
from mission_commander.api.limits import Limits
from mission_commander.api.permits import Permits
from mission_commander.commander import Commander
from mission_commander.domain.record import Mission
from mission_commander.services.users import Users
from mission_contracts.signing_keys import SigningKeys
from mission_contracts.tokens import Claims, Role

PEOPLE = (Role.VIEWER, Role.USER, Role.ADMIN, Role.OPERATOR)
SUBMITTERS = (Role.USER, Role.ADMIN, Role.OPERATOR)
_SEE_ALL = frozenset({Role.OPERATOR, Role.ADMIN})


@dataclass(frozen=True)
class Doors:
    """Handed to each group of routes."""

    commander: Commander
    gate: Gate
    grants: Grants
    issuer: Issuer
    users: Users
    keys: SigningKeys
    limits: Limits
    permits: Permits

    def loaded(self) -> Commander:
        """The Commander, once it knows its missions; 503 before."""
        if not self.commander.is_loaded:
            raise ProblemError(
                503, "NotLoaded", "the ledger has not been read yet: try again in a moment", retry_after=1
            )
        return self.commander


def may_see(claims: Claims, mission: Mission) -> bool:
    """A mission is its submitter's; the operator's and admins' roles see all."""
    return claims.role in _SEE_ALL or mission.envelope.subject == claims.subject


def path_of(request: Request, name: str) -> str:
    return str(request.path_params[name])
