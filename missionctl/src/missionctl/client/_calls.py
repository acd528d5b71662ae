"""One call from its first try to its last word: token, retries, renewal."""

from itertools import count
from typing import TypeVar

from mission_contracts.clock import Clock
from missionctl.client import _readers, _tokens, errors
from missionctl.client._readers import Reader
from missionctl.client._retries import Retries
from missionctl.client._steps import Listen, Pause, Renew, Send, Talk
from missionctl.client._tokens import TokenKeeper
from missionctl.client._wire import Answer, Lost, Outcome, Request

T = TypeVar("T")
HTTP_UNAUTHORIZED = 401


class Caller:
    """Makes calls to one Commander in the name of one client."""

    def __init__(self, url: str, tokens: TokenKeeper, retries: Retries, clock: Clock) -> None:
        self.url = url
        self.tokens = tokens
        self._retries = retries
        self._clock = clock

    def call(self, request: Request, read: Reader[T], *, by: type[Send] | type[Listen] = Send) -> Talk[T]:
        """Send a request until it has an answer that no other try would better, and read it."""
        token = yield from self.fresh_token()
        answer = yield from self._persist(by(request.bearing(token)))
        if answer.status == HTTP_UNAUTHORIZED and self.tokens.credentials:
            # Signed by another key, or our clock and the Commander's differ: once more with a new one.
            yield Renew(token)
            answer = yield from self._persist(by(request.bearing(self.tokens.token)))
        return read(self.url, answer)

    def call_bare(self, request: Request, read: Reader[T]) -> Talk[T]:
        """Send a request that brings its own proof, without a token, until it has an answer."""
        answer = yield from self._persist(Send(request))
        return read(self.url, answer)

    def call_once(self, request: Request, read: Reader[T]) -> Talk[T]:
        """Send a request and take any answer for the last word, also a 503."""
        outcome: Outcome = yield Send(request)
        return read(self.url, self._answered(request, outcome))

    def fresh_token(self) -> Talk[str]:
        """The token in use, renewed if it is about to expire; empty for a client without credentials."""
        if self.tokens.credentials and self.tokens.is_due:
            yield Renew(self.tokens.token)
        return self.tokens.token

    def renewal(self, stale: str) -> Talk[None]:
        """Get a token newer than `stale`, unless somebody else just did. One at a time: the driver sees to it."""
        credentials = self.tokens.credentials
        if credentials is None or self.tokens.token != stale:
            return
        asked_at = self._clock.monotonic()
        answer = yield from self._persist(Send(_tokens.token_request(credentials)))
        self.tokens.keep(_readers.token(self.url, answer), asked_at=asked_at)

    def _persist(self, step: Send | Listen) -> Talk[Answer]:
        began_at = self._clock.monotonic()
        for attempt in count(1):
            outcome: Outcome = yield step
            spent_seconds = self._clock.monotonic() - began_at
            pause = self._retries.pause(step.request, outcome, attempt=attempt, spent_seconds=spent_seconds)
            if pause is None:
                break
            yield Pause(pause)
        return self._answered(step.request, outcome)

    def _answered(self, request: Request, outcome: Outcome) -> Answer:
        if isinstance(outcome, Lost):
            raise errors.unreachable(self.url, outcome, request)
        return outcome
