"""From where a Commander is to a client that speaks to it."""

import os

from missionctl.cli import places
from missionctl.cli.exits import CommandError, Exit
from missionctl.cli.places import Flags, Place
from missionctl.client import ClientSecret, MissionControlSync, Retries

ASKING = Retries(patience_seconds=3)
"""Somebody sits in front of it: say soon that nobody answers."""

WAITING = Retries(patience_seconds=120)
"""A wait outlives a restart of the Commander."""


def place(flags: Flags) -> Place:
    return places.find(flags, os.environ)


def connect(to: Place, *, patiently: bool = False) -> MissionControlSync:
    """A client with the credentials of that place."""
    credentials = ClientSecret(to.secret.client_id, to.secret.client_secret) if to.secret else None
    try:
        return MissionControlSync(to.url, credentials, retries=WAITING if patiently else ASKING)
    except ValueError as error:
        raise CommandError(f"{error} (from {to.url_from})", Exit.USAGE) from error
