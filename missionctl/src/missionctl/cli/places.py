"""Which Commander, as whom, and why: flags before environment before the file that `missionctl dev` left."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from missionctl import context_file, login_file
from missionctl.cli.exits import CommandError, Exit
from missionctl.context_file import DevContext, Secret
from missionctl.login_file import Login

URL_VARIABLE: Final = "MISSIONCTL_URL"
CLIENT_ID_VARIABLE: Final = "MISSIONCTL_CLIENT_ID"
CLIENT_SECRET_VARIABLE: Final = "MISSIONCTL_CLIENT_SECRET"  # noqa: S105 - a variable's name
NAMESPACE_VARIABLE: Final = "MISSIONCTL_NAMESPACE"


class Flags(msgspec.Struct, frozen=True, kw_only=True):
    """What was typed."""

    url: str | None = None
    client_id: str | None = None
    client_secret_file: Path | None = None


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A Commander to connect to; each `from` says where that was found."""

    url: str
    url_from: str
    secret: Secret | None
    secret_from: str
    is_operator: bool = False
    """A dev process lets its owner in as the operator: may name missions, declare pools, and sees both doors."""
    namespace: str | None = None
    namespace_from: str = ""
    login: Path | None = None
    """The note of a user who has logged in there."""


def find(flags: Flags, environment: Mapping[str, str]) -> Place:
    """Choose; CommandError when nothing says where a Commander is."""
    path = context_file.path_in(context_file.state_dir(environment))
    context = context_file.read(path)
    login_path = login_file.path_in(path.parent)
    login = login_file.read(login_path)
    url, url_from = _url(flags, environment, context, login, path)
    # Dev's secrets are for dev: never sent to another address.
    trusted = context if context is not None and context.url == url.rstrip("/") else None
    own = login if login is not None and login.url == url.rstrip("/") else None
    secret, secret_from = _secret(flags, environment, trusted if own is None else None, path)
    is_user = own is not None and secret is None
    namespace, namespace_from = _namespace(environment, trusted, path)
    return Place(
        url=url,
        url_from=url_from,
        secret=secret,
        secret_from=f"missionctl login, by {login_path}" if is_user else secret_from,
        login=login_path if is_user else None,
        is_operator=trusted is not None and secret == trusted.operator,
        namespace=namespace,
        namespace_from=namespace_from,
    )


def _url(
    flags: Flags, environment: Mapping[str, str], context: DevContext | None, login: Login | None, path: Path
) -> tuple[str, str]:
    if flags.url:
        return flags.url, "--url"
    if url := environment.get(URL_VARIABLE):
        return url, URL_VARIABLE
    if context is not None:
        return context.url, f"missionctl dev, by {path}"
    if login is not None:
        return login.url, f"missionctl login, by {login_file.path_in(path.parent)}"
    raise CommandError(
        f"no Commander is known: start one with `missionctl dev`, or say where it is with --url or {URL_VARIABLE}",
        Exit.UNREACHABLE,
    )


def _secret(
    flags: Flags, environment: Mapping[str, str], context: DevContext | None, path: Path
) -> tuple[Secret | None, str]:
    client_id = flags.client_id or environment.get(CLIENT_ID_VARIABLE)
    value, value_from = _secret_value(flags, environment)
    if client_id and value:
        id_from = "--client-id" if flags.client_id else CLIENT_ID_VARIABLE
        return Secret(client_id, value), f"{id_from} and {value_from}"
    if client_id or value:
        missing = "the secret" if client_id else "the client id"
        raise CommandError(
            f"only half of the credentials is given, {missing} is missing: "
            f"give --client-id or {CLIENT_ID_VARIABLE}, and --client-secret-file or {CLIENT_SECRET_VARIABLE}",
            Exit.USAGE,
        )
    if context is not None:
        return context.operator, f"missionctl dev, by {path}"
    return None, "nowhere: requests go without a token"


def _secret_value(flags: Flags, environment: Mapping[str, str]) -> tuple[str, str]:
    # There is no flag for the secret itself: everybody on a machine can read everybody's command lines.
    if flags.client_secret_file is None:
        return environment.get(CLIENT_SECRET_VARIABLE, ""), CLIENT_SECRET_VARIABLE
    try:
        return flags.client_secret_file.read_text().strip(), "--client-secret-file"
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"the client secret cannot be read: {error}", Exit.USAGE) from error


def _namespace(environment: Mapping[str, str], context: DevContext | None, path: Path) -> tuple[str | None, str]:
    if namespace := environment.get(NAMESPACE_VARIABLE):
        return namespace, NAMESPACE_VARIABLE
    if context is not None:
        return context.namespace, f"missionctl dev, by {path}"
    return None, "nowhere: the Commander's own"
