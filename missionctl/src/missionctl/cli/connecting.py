"""From where a Commander is to a client that speaks to it."""

import os

import msgspec

from missionctl.cli import places
from missionctl.cli.exits import CommandError, Exit
from missionctl.cli.places import Flags, Place
from missionctl.client import ClientSecret, Credentials, MissionControlSync, Retries
from missionctl.login_file import StoredLogin

ASKING = Retries(patience_seconds=3)
"""Somebody sits in front of it: say soon that nobody answers."""

WAITING = Retries(patience_seconds=120)
"""A wait outlives a restart of the Commander."""


def place(flags: Flags) -> Place:
    return places.find(flags, os.environ)


def at(flags: Flags, url: str) -> Place:
    """This very address, whatever else is known."""
    return place(msgspec.structs.replace(flags, url=url))


def connect(to: Place, *, patiently: bool = False) -> MissionControlSync:
    """A client with the credentials of that place."""
    try:
        return MissionControlSync(to.url, _credentials(to), retries=WAITING if patiently else ASKING)
    except ValueError as error:
        raise CommandError(f"{error} (from {to.url_from})", Exit.USAGE) from error


def _credentials(to: Place) -> Credentials | None:
    if to.secret:
        return ClientSecret(to.secret.client_id, to.secret.client_secret)
    return StoredLogin(to.login) if to.login else None
