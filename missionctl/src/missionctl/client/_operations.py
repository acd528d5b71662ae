"""What a client can do, each as a talk or a stream: the whole logic of both clients is here."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec

from mission_contracts import rest
from mission_contracts.clock import Clock
from mission_contracts.envelope import Door
from mission_contracts.mission import MissionId
from missionctl.client import _readers, _requests, _sse, errors
from missionctl.client._calls import Caller
from missionctl.client._readers import MissionChanged
from missionctl.client._requests import Filter
from missionctl.client._retries import Retries
from missionctl.client._steps import Emit, Hear, Listen, Pause, Stream, Talk, Telling
from missionctl.client._tokens import TokenKeeper

T = TypeVar("T")

POLL_SECONDS: Final = 30.0
"""How long the Commander holds one question about a mission that is not final yet."""

PAGE: Final = 500
"""Missions that one page of a whole list brings: few round trips, answers of modest size."""

REMEMBERED: Final = 100_000
"""Missions whose last told sequence a watch keeps, to tell nothing twice."""


class Reset(msgspec.Struct, frozen=True):
    """From here on every change is heard; what came before was not, so list the missions anew.

    It is the first event of a subscription that starts anew, and comes again where changes were missed.
    """


Event = MissionChanged | Reset


class Operations:
    """All of it, for one Commander."""

    def __init__(self, url: str, tokens: TokenKeeper, retries: Retries, clock: Clock) -> None:
        self._caller = Caller(url, tokens, retries, clock)
        self._retries = retries
        self._clock = clock
        self.renewal = self._caller.renewal

    # Missions.

    def submit(self, submission: rest.Submission, idempotency_key: str | None) -> Talk[rest.MissionView]:
        return self._caller.call(_requests.submit(submission, idempotency_key), _readers.mission)

    def submit_many(self, submissions: Iterable[rest.Submission]) -> Talk[list[rest.BatchItem]]:
        answers: list[rest.BatchItem] = []
        for batch in in_batches(submissions):
            answer = yield from self._caller.call(_requests.submit_batch(batch), _readers.batch)
            answers.extend(answer.results)
        return answers

    def get(self, mission_id: str, wait_seconds: float | None) -> Talk[rest.MissionView]:
        return self._caller.call(_requests.get(mission_id, wait_seconds), _readers.mission)

    def wait(self, mission_id: str, timeout_seconds: float) -> Talk[rest.MissionView]:
        [mission] = yield from self.wait_all([MissionId(mission_id)], timeout_seconds)
        return mission

    def wait_all(self, ids: Sequence[MissionId], timeout_seconds: float) -> Talk[list[rest.MissionView]]:
        deadline = self._clock.monotonic() + timeout_seconds
        missions = yield from self._known(ids)
        while unfinished := [one for one in missions if not one.state.is_final]:
            left_seconds = deadline - self._clock.monotonic()
            if left_seconds <= 0:
                raise errors.NotFinishedError(tuple(unfinished), timeout_seconds)
            # One question is held open until its mission is final; the others are looked up together after it.
            asked = yield from self.get(unfinished[0].mission_id, min(POLL_SECONDS, left_seconds))
            others = yield from self._others(unfinished[1:], is_early=not asked.state.is_final)
            missions = _updated(missions, [asked, *others])
        return missions

    def _known(self, ids: Sequence[MissionId]) -> Talk[list[rest.MissionView]]:
        found = yield from self.lookup(ids)
        missions = []
        for mission_id, mission in zip(ids, found, strict=True):
            # Asked for alone, what is not known is refused with the Commander's own sentence.
            missions.append(mission or (yield from self.get(mission_id, None)))
        return missions

    def _others(self, missions: Sequence[rest.MissionView], *, is_early: bool) -> Talk[list[rest.MissionView]]:
        if is_early:
            yield Pause(self._retries.first_seconds)  # a Commander that is stopping answers before anything happened
        found = yield from self.lookup(one.mission_id for one in missions)
        return [one for one in found if one is not None]

    def lookup(self, ids: Iterable[MissionId]) -> Talk[list[rest.MissionView | None]]:
        missions: list[rest.MissionView | None] = []
        for batch in in_batches(ids):
            answer = yield from self._caller.call(_requests.lookup(batch), _readers.found)
            missions.extend(answer.missions)
        return missions

    def page(self, chosen: Filter, limit: int | None, cursor: str | None) -> Talk[rest.MissionPage]:
        return self._caller.call(_requests.list_missions(chosen, limit, cursor), _readers.page)

    def missions(self, chosen: Filter) -> Stream[rest.MissionView]:
        cursor: str | None = None
        while True:
            page = yield from self.page(chosen, PAGE, cursor)
            for mission in page.missions:
                yield Emit(mission)
            cursor = page.cursor
            if cursor is None:
                return

    def cancel(self, mission_id: str, message: str) -> Talk[rest.MissionView]:
        return self._caller.call(_requests.cancel(mission_id, message), _readers.mission)

    def set_suspended(self, mission_id: str, *, suspended: bool) -> Talk[rest.MissionView]:
        wanted = rest.MissionChange(suspend=suspended)
        return self._caller.call(_requests.change(mission_id, wanted), _readers.mission)

    # Events.

    def events(self, namespace: str | None, door: Door | None, after: str) -> Stream[Event]:
        return self._follow(namespace, door, after, _as_it_is)

    def watch(self, chosen: Filter) -> Stream[rest.MissionView]:
        """List, then every change, then what a gap has hidden: always forwards, each state at most once."""
        newest = _Newest()

        def tell(event: Event) -> Stream[rest.MissionView]:
            # The stream is open before the list is read, so nothing falls between the two.
            source = self.missions(chosen) if isinstance(event, Reset) else _only(event.mission)
            yield from _sifted(source, lambda mission: chosen.fits(mission) and newest.is_news(mission))

        return self._follow(chosen.namespace, None, "", tell)

    def _follow(
        self, namespace: str | None, door: Door | None, after: str, tell: Callable[[Event], Stream[T]]
    ) -> Stream[T]:
        last_id, fruitless = after, 0
        while True:
            request = _requests.events(namespace, door, last_id)
            yield from self._caller.call(request, _readers.stream, by=Listen)
            if not last_id:
                yield from tell(Reset())
            # A new parser each time: half an event of a lost connection means nothing to the next one.
            parser = _sse.Parser(last_id)
            fruitless = 0 if (yield from _hear_all(parser, tell)) else fruitless + 1
            last_id = parser.last_id
            yield Pause(self._retries.backoff(fruitless))

    # Pools and health.

    def pools(self) -> Talk[tuple[rest.PoolView, ...]]:
        return self._caller.call(_requests.pools(), _readers.pools)

    def declare_pool(self, namespace: str, name: str, declaration: rest.PoolDeclaration) -> Talk[rest.PoolView]:
        return self._caller.call(_requests.declare_pool(namespace, name, declaration), _readers.pool)

    def delete_pool(self, namespace: str, name: str) -> Talk[None]:
        return self._caller.call(_requests.delete_pool(namespace, name), _readers.nothing)

    def rejected(self, limit: int | None) -> Talk[rest.RejectedPage]:
        return self._caller.call(_requests.rejected(limit), _readers.rejected)

    def health(self) -> Talk[rest.Health]:
        return self._caller.call_once(_requests.health(), _readers.health)

    def log_in(self, username: str, password: str) -> Talk[rest.TokenAnswer]:
        return self._caller.call_bare(_requests.log_in(username, password), _readers.token)

    def log_out(self, refresh_token: str) -> Talk[None]:
        return self._caller.call_bare(_requests.log_out(refresh_token), _readers.nothing)

    def token(self) -> Talk[str]:
        return self._caller.fresh_token()


class _Newest:
    """The newest sequence that was told of each mission; the longest unmentioned are forgotten first."""

    def __init__(self) -> None:
        self._sequences: dict[MissionId, int] = {}

    def is_news(self, mission: rest.MissionView) -> bool:
        told = self._sequences.pop(mission.mission_id, -1)
        self._sequences[mission.mission_id] = max(told, mission.sequence)
        if len(self._sequences) > REMEMBERED:
            del self._sequences[next(iter(self._sequences))]
        return mission.sequence > told


def _hear_all(parser: _sse.Parser, tell: Callable[[Event], Stream[T]]) -> Telling[T, bool]:
    heard = False
    while (piece := (yield Hear())) is not None:
        heard = True
        for frame in parser.feed(piece):
            yield from _told(frame, tell)
    return heard


def _told(frame: _sse.Frame, tell: Callable[[Event], Stream[T]]) -> Stream[T]:
    if frame.event == "reset":
        yield from tell(Reset())
    elif frame.event == "mission":
        yield from tell(_readers.changed(frame))
    # A newer Commander may say more than we know.


def _as_it_is(event: Event) -> Stream[Event]:
    yield Emit(event)


def _only(mission: rest.MissionView) -> Stream[rest.MissionView]:
    yield Emit(mission)


def _sifted(source: Stream[T], is_wanted: Callable[[T], bool]) -> Stream[T]:
    """The same stream without what is not wanted."""
    reply: Any = None
    while True:
        try:
            step = source.send(reply)
        except StopIteration:
            return
        wanted = not isinstance(step, Emit) or is_wanted(step.value)
        reply = (yield step) if wanted else None


def _updated(missions: Iterable[rest.MissionView], newer: Iterable[rest.MissionView]) -> list[rest.MissionView]:
    by_id = {one.mission_id: one for one in newer}
    return [by_id.get(one.mission_id, one) for one in missions]


def in_batches(items: Iterable[T], size: int = rest.MAX_BATCH) -> Iterator[list[T]]:
    """Cut into lists that one request may carry."""
    rest_of = iter(items)
    while batch := list(islice(rest_of, size)):
        yield batch
