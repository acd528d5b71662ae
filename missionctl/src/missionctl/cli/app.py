"""Every command with its options and its help; the work is elsewhere, and read only when it is done."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperGroup

from mission_contracts.mission import MissionState, Priority
from missionctl.cli.deferred import deferred
from missionctl.cli.exits import TABLE, CommandError, Exit
from missionctl.cli.formats import Format, LogLevel

if TYPE_CHECKING:
    from importlib import metadata

    from missionctl import client, context_file, dev
    from missionctl.cli import applying, logging_in, places, running, screen, showing, waiting
else:
    applying = deferred("missionctl.cli.applying")
    client = deferred("missionctl.client")
    context_file = deferred("missionctl.context_file")
    dev = deferred("missionctl.dev")
    logging_in = deferred("missionctl.cli.logging_in")
    metadata = deferred("importlib.metadata")
    places = deferred("missionctl.cli.places")
    running = deferred("missionctl.cli.running")
    screen = deferred("missionctl.cli.screen")
    showing = deferred("missionctl.cli.showing")
    waiting = deferred("missionctl.cli.waiting")

DAY_SECONDS: Final = 86_400.0
SERVERS: Final = frozenset({"fastapi", "mission_broker", "mission_commander", "mission_soldier", "uvicorn", "uvloop"})
HOISTED: Final = ("--url", "--client-id", "--client-secret-file")


class Root(TyperGroup):
    """Takes the connection's options anywhere in the line, and ends every failure in one sentence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, hoisted(args))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.Exit:
            raise
        except CommandError as error:
            raise _ended(str(error), error.code) from None
        except client.UnreachableError as error:
            raise _ended(str(error), Exit.UNREACHABLE) from None
        except UnicodeEncodeError:
            raise _ended("a word that was typed is not text in UTF-8: type it again", Exit.USAGE) from None
        except client.NotFinishedError as error:
            raise _ended(str(error), Exit.NOT_COMPLETED) from None
        except client.MissionControlError as error:
            raise _ended(str(error), Exit.REFUSED) from None


def hoisted(args: Sequence[str]) -> list[str]:
    """The connection's options before the command, wherever they were typed."""
    first, others = [], []
    rest = iter(args)
    for word in rest:
        if word == "--":
            others += [word, *rest]
        elif word in HOISTED:
            first += [word, *(value for value in [next(rest, None)] if value is not None)]
        elif word.startswith(tuple(f"{option}=" for option in HOISTED)):
            first.append(word)
        else:
            others.append(word)
    return first + others


@contextmanager
def servers_needed() -> Iterator[None]:
    """The client is of use without the servers; only `dev` needs them."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in SERVERS:
            raise
        sentence = f"there is no {error.name} here: install the servers with `pip install 'missionctl[dev-server]'`"
        raise CommandError(sentence, Exit.USAGE) from error


def _ended(sentence: str, code: Exit) -> typer.Exit:
    screen.Screen().complain(sentence)
    return typer.Exit(code)


app: Final = typer.Typer(
    name="missionctl",
    cls=Root,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=TABLE,
)

MISSIONS: Final = "Missions"
COMMANDER: Final = "The Commander"
HERE: Final = "On this machine"

Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Default: the Commander's own.")
]
Output = Annotated[Format, typer.Option("--output", "-o", help="How to print.")]
Words = Annotated[list[str], typer.Argument(metavar="NAME|ID...", help="Missions, by name or id.")]


def state_named(word: str) -> MissionState:
    """A state as the table shows it, in whatever case."""
    known = {state.camel.lower(): state for state in MissionState}
    if word.lower() not in known:
        raise typer.BadParameter(f'there is no state "{word}": {", ".join(one.camel for one in MissionState)}')
    return known[word.lower()]


def print_version(wanted: bool) -> None:
    """What --version does, before anything else is looked at."""
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    *,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="Where the Commander is [dim](MISSIONCTL_URL)[/dim].")
    ] = None,
    client_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Who asks [dim](MISSIONCTL_CLIENT_ID)[/dim].")
    ] = None,
    client_secret_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its secret [dim](MISSIONCTL_CLIENT_SECRET holds one itself)[/dim]."),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    """Durable background work, run by warm soldiers.

    Try it: [bold]missionctl dev[/bold] in one terminal, [bold]missionctl run simulate --wait[/bold] in another.
    Without --url and MISSIONCTL_URL, commands speak to the Commander that `missionctl dev` started.
    """
    ctx.obj = places.Flags(url=url, client_id=client_id, client_secret_file=client_secret_file)


@app.command(rich_help_panel=MISSIONS)
def apply(
    ctx: typer.Context,
    files: Annotated[
        list[str],
        typer.Option(
            "--filename", "-f", metavar="FILE|DIR|-", help="Mission and SoldierPool YAML, as kubectl takes it."
        ),
    ],
    namespace: Namespace = None,
) -> None:
    """Apply Mission YAML. The same object again is the same mission."""
    applying.apply(ctx.obj, files, namespace)


@app.command(rich_help_panel=MISSIONS)
def run(
    ctx: typer.Context,
    mission_type: Annotated[str, typer.Argument(metavar="TYPE", help="Which handler runs it.")],
    *,
    payload: Annotated[
        str, typer.Option("--payload", "-p", metavar="JSON|@FILE|-", help="The handler's input, a JSON object.")
    ] = "{}",
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait for the end, and print the result.")] = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait.")] = DAY_SECONDS,
    pool: Annotated[str | None, typer.Option(metavar="NAME", help="Whose soldiers run it.")] = None,
    priority: Annotated[Priority | None, typer.Option(help="High overtakes Normal.")] = None,
    ordering_key: Annotated[str | None, typer.Option(metavar="KEY", help="One at a time with this key.")] = None,
    sequence_number: Annotated[
        int | None, typer.Option(metavar="N", help="Its place among those of its ordering key, from 1.")
    ] = None,
    start_after: Annotated[str | None, typer.Option(metavar="TIME", help="The earliest start, in RFC 3339.")] = None,
    timeout_seconds: Annotated[float | None, typer.Option(metavar="SECONDS", help="Bound on one attempt.")] = None,
    deadline_seconds: Annotated[float | None, typer.Option(metavar="SECONDS", help="Bound on all of it.")] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The same key again is the same mission.")
    ] = None,
    namespace: Namespace = None,
    output: Output = Format.TABLE,
) -> None:
    """Run one mission; with --wait, until its end."""
    running.run(
        ctx.obj,
        mission_type,
        payload,
        wait_seconds=timeout if wait else None,
        form=output,
        pool=pool,
        priority=priority,
        ordering_key=ordering_key,
        sequence_number=sequence_number,
        start_after=start_after,
        timeout_seconds=timeout_seconds,
        deadline_seconds=deadline_seconds,
        idempotency_key=idempotency_key,
        namespace=namespace,
    )


@app.command(rich_help_panel=MISSIONS)
def get(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="[NAME|ID]...", help="Default: all.")] = None,
    *,
    output: Output = Format.TABLE,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on with every change, until Ctrl-C.")] = False,
    state: Annotated[MissionState | None, typer.Option(parser=state_named, metavar="STATE", help="Only these.")] = None,
    mission_type: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only these.")] = None,
    pool: Annotated[str | None, typer.Option(metavar="NAME", help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 500,
    namespace: Namespace = None,
) -> None:
    """List missions, or show some; -w watches."""
    chosen = client.Filter(namespace=namespace, state=state, mission_type=mission_type, pool=pool)
    if watch:
        showing.watch(ctx.obj, words or [], chosen, form=output)
    else:
        showing.get(ctx.obj, words or [], chosen, form=output, limit=limit)


@app.command(rich_help_panel=MISSIONS)
def describe(
    ctx: typer.Context,
    word: Annotated[str, typer.Argument(metavar="NAME|ID", help="The mission, by name or id.")],
    namespace: Namespace = None,
) -> None:
    """Show all that is known of one mission."""
    showing.describe(ctx.obj, word, namespace=namespace)


@app.command(rich_help_panel=MISSIONS)
def wait(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="[NAME|ID]...", help="Missions, by name or id.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All missions there are now.")] = False,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait.")] = DAY_SECONDS,
    namespace: Namespace = None,
) -> None:
    """Wait until missions are final, whichever way."""
    waiting.wait(ctx.obj, words or [], every=every, namespace=namespace, timeout_seconds=timeout)


@app.command(rich_help_panel=MISSIONS)
def cancel(
    ctx: typer.Context,
    words: Words,
    *,
    message: Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="Why, for its history.")] = "",
    namespace: Namespace = None,
) -> None:
    """Cancel missions: at once while they wait, else as soon as their handlers stop."""
    waiting.cancel(ctx.obj, words, namespace=namespace, message=message)


@app.command(rich_help_panel=MISSIONS)
def events(
    ctx: typer.Context,
    *,
    after: Annotated[str, typer.Option(metavar="ID", help="Begin behind this event.")] = "",
    output: Output = Format.TABLE,
    namespace: Namespace = None,
) -> None:
    """Follow every change as it happens, until Ctrl-C."""
    showing.events(ctx.obj, namespace=namespace, after=after, form=output)


@app.command(rich_help_panel=COMMANDER)
def pools(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """Show the pools, their soldiers and their queues."""
    showing.pools(ctx.obj, form=output)


@app.command(rich_help_panel=COMMANDER)
def rejected(
    ctx: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many, the newest.")] = 100,
    output: Output = Format.TABLE,
) -> None:
    """Show messages that nobody could use, and why; -o wide shows how they begin."""
    showing.rejected(ctx.obj, limit=limit, form=output)


@app.command(rich_help_panel=COMMANDER)
def health(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """Show how the Commander, its ledger and its broker are."""
    showing.health(ctx.obj, form=output)


@app.command(rich_help_panel=COMMANDER)
def login(
    ctx: typer.Context,
    username: Annotated[str, typer.Argument(metavar="NAME", help="Who you are there.")],
    *,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the password. Default: it is asked for.")
    ] = None,
) -> None:
    """Log in as a user; the tokens are kept in a file of your own and renewed when it is time."""
    password = logging_in.password_in(password_file) if password_file else typer.prompt("Password", hide_input=True)
    logging_in.login(ctx.obj, username, password)


@app.command(rich_help_panel=COMMANDER)
def logout(ctx: typer.Context) -> None:
    """End the login everywhere, and forget it here."""
    logging_in.logout(ctx.obj)


@app.command(rich_help_panel=COMMANDER)
def token(ctx: typer.Context) -> None:
    """Print an access token, as in: curl -H "Authorization: Bearer $(missionctl token)" …"""
    showing.token(ctx.obj)


@app.command(rich_help_panel=COMMANDER)
def config(ctx: typer.Context) -> None:
    """Show where commands connect, as whom, and why."""
    showing.config(ctx.obj)


@app.command(rich_help_panel=HERE, name="dev")
def start_dev(
    *,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Where to listen; 0 takes a free port.")] = 8484,
    handlers: Annotated[
        str, typer.Option(metavar="MODULE:ATTR", help="Your Soldier. Default: only noop and simulate.")
    ] = "",
    concurrency: Annotated[int, typer.Option(min=1, max=1024, help="How many missions run at once.")] = 16,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAME", help="Which one it serves.")
    ] = "default",
    pool: Annotated[str, typer.Option(metavar="NAME", help="The pool its soldier belongs to.")] = "default",
    drain_seconds: Annotated[float, typer.Option(min=0, help="How long missions may finish at the end.")] = 20.0,
    state_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the other commands find it [dim](MISSIONCTL_STATE_DIR)[/dim]."),
    ] = None,
    log_level: Annotated[LogLevel, typer.Option(help="What is worth a line.")] = LogLevel.INFO,
) -> None:
    """Start it all in one process: Commander, soldier, memory broker and ledger."""
    with servers_needed():
        options = dev.DevOptions(
            state_dir=state_dir or context_file.state_dir(os.environ),
            port=port,
            handlers=handlers,
            concurrency=concurrency,
            namespace=namespace,
            pool=pool,
            drain_seconds=drain_seconds,
            log_level=log_level.value,
        )
    dev.run(options)


@app.command(rich_help_panel=HERE)
def version() -> None:
    """Print the version."""
    python = ".".join(map(str, sys.version_info[:3]))
    typer.echo(f"missionctl {metadata.version('missionctl')} (Python {python})")
