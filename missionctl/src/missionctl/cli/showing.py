"""`missionctl get`, `describe`, `events`, `pools`, `rejected`, `health`: what there is, for eyes and for programs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import datetime
from itertools import islice
from typing import Final

from mission_contracts.resources import duration_text, whole_percent
from missionctl.cli import connecting, naming, tables
from missionctl.cli.exits import CommandError, Exit
from missionctl.cli.formats import Format
from missionctl.cli.places import CLIENT_ID_VARIABLE, CLIENT_SECRET_VARIABLE, Flags
from missionctl.cli.screen import Screen, compact, structured
from missionctl.cli.tables import STYLES, Cell, Table
from missionctl.client import (
    Filter,
    Health,
    MissionChanged,
    MissionControlSync,
    MissionView,
    RejectedPage,
    result_of,
)


def get(flags: Flags, words: Sequence[str], chosen: Filter, *, form: Format, limit: int) -> None:
    """List missions, the newest last, next to the prompt."""
    to = connecting.place(flags)
    with connecting.connect(to) as control:
        if words:
            missions = [control.get(one) for one in naming.ids_of(control, words, chosen.namespace or to.namespace)]
            _print(missions, form, alone=len(missions) == 1)
            return
        newest = list(islice(control.missions(_in(chosen, to.namespace)), limit + 1))
    _print(newest[:limit][::-1], form)
    if len(newest) > limit:
        Screen().remark(f"these are the newest {limit}, there are more: raise --limit")


def _in(chosen: Filter, namespace: str | None) -> Filter:
    return Filter(
        namespace=chosen.namespace or namespace,
        state=chosen.state,
        mission_type=chosen.mission_type,
        pool=chosen.pool,
    )


def _print(missions: Sequence[MissionView], form: Format, *, alone: bool = False) -> None:
    screen = Screen()
    if form in (Format.JSON, Format.YAML):
        screen.document(structured(missions[0] if alone else {"missions": missions}, form))
    elif not missions:
        screen.remark("no missions: `missionctl run noop` makes one")
    else:
        table = Table(tables.mission_columns(wide=form is Format.WIDE), missions)
        screen.lines([table.header(), *map(table.row, missions)])


def watch(flags: Flags, words: Sequence[str], chosen: Filter, *, form: Format) -> None:
    """One line for each mission, and another each time it changes, until Ctrl-C."""
    to = connecting.place(flags)
    chosen = _in(chosen, to.namespace)
    with connecting.connect(to, patiently=True) as control:
        ids = frozenset(naming.ids_of(control, words, chosen.namespace))
        tell = _teller(control, chosen, form)
        with closing(control.watch(chosen)) as changes:
            for mission in changes:
                if not ids or mission.mission_id in ids:
                    tell(mission)


def _teller(control: MissionControlSync, chosen: Filter, form: Format) -> Callable[[MissionView], None]:
    screen = Screen()
    if form in (Format.JSON, Format.YAML):
        return lambda mission: screen.document(("---\n" if form is Format.YAML else "") + structured(mission, form))
    # The missions that are there already say how wide the columns have to be.
    table = Table(tables.mission_columns(wide=form is Format.WIDE), control.page(chosen).missions)
    screen.cells(table.header())
    return lambda mission: screen.cells(table.row(mission))


def describe(flags: Flags, word: str, *, namespace: str | None) -> None:
    """All that is known of one mission."""
    to = connecting.place(flags)
    with connecting.connect(to) as control:
        [mission_id] = naming.ids_of(control, [word], namespace or to.namespace)
        mission = control.get(mission_id)
    Screen().lines(_description(mission, tables.utc_now()))


def _description(mission: MissionView, now: datetime) -> Iterator[list[Cell]]:
    for title, text, style in _facts(mission, now):
        if text:
            yield [(f"{title + ':':<12}", "bold"), (text, style)]
    if mission.result is not None:
        yield [("Result:", "bold")]
        yield from ([("  " + line, "")] for line in structured(result_of(mission), Format.JSON).splitlines())


def _facts(mission: MissionView, now: datetime) -> Iterator[tuple[str, str, str]]:
    percent = whole_percent(mission.progress)
    yield "Name", mission.name, ""
    yield "Id", mission.mission_id, ""
    yield "Namespace", mission.namespace, ""
    yield "Type", mission.type, ""
    yield "Pool", mission.pool, ""
    yield "Lane", _lane(mission), ""
    yield "State", mission.state.camel, STYLES[mission.state]
    yield "Reason", mission.reason, ""
    yield "Message", mission.message, ""
    yield "Attempt", str(mission.attempt), ""
    yield "Progress", "" if percent is None else f"{percent} %", ""
    yield "Soldier", mission.soldier, ""
    yield "Queued", _moment(mission.queued_at, now), ""
    yield "Started", _moment(mission.started_at, now), ""
    yield "Finished", _moment(mission.finished_at, now), ""
    yield "Duration", "" if mission.duration_seconds is None else duration_text(mission.duration_seconds), ""
    yield "Due", _moment(mission.due_at, now), ""
    yield "Retry of", mission.retry_of or "", ""
    yield "Trace", mission.trace_id, ""


def _lane(mission: MissionView) -> str:
    number = "" if mission.sequence_number is None else f", number {mission.sequence_number}"
    return f"{mission.ordering_key}{number}" if mission.ordering_key else ""


def _moment(at: datetime | None, now: datetime) -> str:
    if at is None:
        return ""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z" + (
        f" ({tables.age(at, now)} ago)" if at <= now else f" (in {tables.age(now, at)})"
    )


def events(flags: Flags, *, namespace: str | None, after: str, form: Format) -> None:
    """Every change as it happens, until Ctrl-C."""
    to = connecting.place(flags)
    screen = Screen()
    with (
        connecting.connect(to, patiently=True) as control,
        closing(control.events(namespace=namespace or to.namespace, after=after)) as heard,
    ):
        for event in heard:
            if isinstance(event, MissionChanged):
                _print_event(event, form, screen)
            elif after:
                screen.remark("some events were missed: `missionctl get` shows where things stand")
            after = after or "now"


def _print_event(event: MissionChanged, form: Format, screen: Screen) -> None:
    mission = event.mission
    if form is not Format.TABLE:
        screen.document(compact({"id": event.id, "mission": mission}))
        return
    state = (f"{mission.state.camel:<10}", STYLES[mission.state])
    time = f"{datetime.now().astimezone():%H:%M:%S}"
    rest = f"   {mission.reason}" + (f": {mission.message}" if mission.message else "")
    screen.cells([(f"{time}   ", "dim"), state, (f"   {tables.name_of(mission)}", ""), (rest, "dim")])


def pools(flags: Flags, *, form: Format) -> None:
    """The pools and their soldiers."""
    with connecting.connect(connecting.place(flags)) as control:
        found = control.pools()
    screen = Screen()
    if form in (Format.JSON, Format.YAML):
        screen.document(structured({"pools": found}, form))
    elif not found:
        screen.remark("no pools: apply a SoldierPool, or start `missionctl dev`")
    else:
        table = Table(tables.pool_columns(), found)
        screen.lines([table.header(), *map(table.row, found)])


def rejected(flags: Flags, *, limit: int, form: Format) -> None:
    """What nobody could use, the newest last, next to the prompt."""
    with connecting.connect(connecting.place(flags)) as control:
        page = control.rejected(limit=limit)
    screen = Screen()
    if form in (Format.JSON, Format.YAML):
        screen.document(structured(page, form))
        return
    if page.rejected:
        table = Table(tables.rejected_columns(wide=form is Format.WIDE), page.rejected)
        screen.lines([table.header(), *map(table.row, page.rejected[::-1])])
    screen.remark(_rest_of(page))


def _rest_of(page: RejectedPage) -> str:
    if not page.count:
        return "no message was rejected"
    if page.count > page.read:
        return f"there are {page.count}, and only the first {page.read} were looked at: purge missions.rejected"
    if page.count > len(page.rejected):
        return f"these are the newest {len(page.rejected)} of {page.count}: raise --limit"
    return f"all {page.count}; they stay in missions.rejected until it is purged"


def health(flags: Flags, *, form: Format) -> None:
    """How the Commander and its parts are."""
    with connecting.connect(connecting.place(flags)) as control:
        report = control.health()
    screen = Screen()
    if form in (Format.JSON, Format.YAML):
        screen.document(structured(report, form))
    else:
        screen.lines(_health_lines(report))
    if report.status == "down":
        raise CommandError(
            "the Commander is down: it accepts nothing until the parts above are back", Exit.NOT_COMPLETED
        )


def _health_lines(report: Health) -> Iterator[list[Cell]]:
    yield [("status       ", "bold"), (report.status, _HEALTH_STYLES.get(report.status, "red"))]
    for part, state in report.parts.items():
        yield [(f"  {part:<11}", ""), (state, _HEALTH_STYLES.get(state, "yellow"))]
    yield [("durability   ", "bold"), (report.durability, "green" if report.durability == "strong" else "yellow")]
    for sentence in report.detail.values():
        yield [(str(sentence), "yellow")]


_HEALTH_STYLES: Final = {"ok": "green", "degraded": "yellow", "down": "red"}


def token(flags: Flags) -> None:
    """Print an access token, for curl."""
    with connecting.connect(connecting.place(flags)) as control:
        access = control.token()
    if not access:
        raise CommandError(
            f"there are no credentials to get a token with: set {CLIENT_ID_VARIABLE} and {CLIENT_SECRET_VARIABLE}",
            Exit.USAGE,
        )
    Screen().text(access)


def config(flags: Flags) -> None:
    """Where the commands connect, as whom, and why; secrets stay out."""
    to = connecting.place(flags)
    screen = Screen()
    lines = [
        ("commander", to.url, to.url_from),
        ("client id", to.secret.client_id if to.secret else "none", to.secret_from),
        ("namespace", to.namespace or "none", to.namespace_from),
    ]
    for title, value, source in lines:
        screen.cells([(f"{title:<12}", "bold"), (value, ""), (f"   from {source}", "dim")])
