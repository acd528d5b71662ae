"""`missionctl login` and `missionctl logout`."""

import os
import time
from pathlib import Path

from missionctl import context_file, login_file
from missionctl.cli import connecting
from missionctl.cli.exits import CommandError, Exit
from missionctl.cli.places import Flags
from missionctl.cli.screen import Screen


def login(flags: Flags, username: str, password: str) -> None:
    """Log in, and keep the tokens in a file that is its owner's alone."""
    to = connecting.place(flags)
    with connecting.connect(to) as control:
        answer = control.log_in(username, password)
    path = _path()
    context_file.put(path, login_file.login_of(to.url.rstrip("/"), username, answer, time.time()))
    Screen().text(f"logged in to {to.url} as {username}: the tokens are in {path}, until `missionctl logout`")


def logout(flags: Flags) -> None:
    """End the login everywhere, and forget it here; here also when the Commander cannot be reached."""
    path = _path()
    found = login_file.read(path)
    if found is None:
        raise CommandError("nobody is logged in here: there is nothing to end", Exit.USAGE)
    try:
        with connecting.connect(connecting.at(flags, found.url)) as control:
            control.log_out(found.refresh_token)
    finally:
        path.unlink(missing_ok=True)
    Screen().text(f"logged out of {found.url}: {found.username}'s tokens are refused there from now on")


def password_in(file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"the password cannot be read: {error}", Exit.USAGE) from error


def _path() -> Path:
    return login_file.path_in(context_file.state_dir(os.environ))
