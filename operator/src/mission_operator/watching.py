"""kopf, told to watch and nothing else: no finalizers, no annotations, no peering, no Events of its own.

Only raw events are handled. kopf's change-detecting handlers copy the spec into an annotation and race with other
writers; a raw event that gets lost or fails is made up for by the next look at the same object.
"""

import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

import kopf
from kubernetes.aio.client import Configuration

from mission_contracts.resources import GROUP, MISSION, SOLDIER_POOL, VERSION
from mission_operator import login, screened_http

Look = Callable[[Mapping[str, Any], bool], None]
"""Takes an object's body, and whether it is gone. It must not block."""

_SERVER_ENDS_WATCH_SECONDS: Final = 3
_SILENCE_SECONDS: Final = 4.0
"""The API server ends each watch after 3 s, with a bookmark before, and kopf resumes it from there. So a watch that
is silent for longer has died without a word, and is opened anew."""

_AGAIN_SECONDS: Final = 0.25
"""Between two tries of a request. Soon, as nothing is seen before one succeeds; three watches cost the API server
twelve connections each second at most."""


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps nothing on objects; the default copies and compares each body, which nothing here asks for."""

    def build(self, **_: object) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        return None


class Watcher:
    """Calls back with each object of the served namespace, first and whenever it changes."""

    def __init__(
        self, found: Configuration, *, namespace: str, lease_name: str, identity: str, missions_selector: str = ""
    ) -> None:
        self._configuration = found
        self._identity = identity
        self._namespace = namespace
        self._lease_name = lease_name
        self._missions_selector = missions_selector
        self._registry = kopf.OperatorRegistry()
        kopf.on.login(registry=self._registry)(self._login)

    def missions(self, look: Look) -> None:
        kopf.on.event(GROUP, VERSION, MISSION.plural, registry=self._registry)(_handler(look))

    def pools(self, look: Look) -> None:
        kopf.on.event(GROUP, VERSION, SOLDIER_POOL.plural, registry=self._registry)(_handler(look))

    def lease(self, look: Look) -> None:
        kopf.on.event("coordination.k8s.io", "v1", "leases", registry=self._registry)(_handler(look))

    def beginning(self, deed: Callable[[], Awaitable[None]]) -> None:
        """Say what to do before the watches begin."""

        async def begin(**_: Any) -> None:
            await deed()

        kopf.on.startup(registry=self._registry)(begin)

    def leaving(self, farewell: Callable[[], Awaitable[None]]) -> None:
        """Say what to do when the process is asked to stop. kopf waits 5 s for tasks that it does not know."""

        async def leave(**_: Any) -> None:
            await farewell()

        kopf.on.cleanup(registry=self._registry)(leave)

    async def run(self) -> None:
        """Watch until SIGTERM or SIGINT, or until something breaks."""
        await kopf.operator(
            registry=self._registry,
            settings=_settings(self._lease_name, self._missions_selector),
            namespaces=[self._namespace],
            standalone=True,
            # Left alone, kopf asks for the user's name, which a container's user need not have.
            identity=cast("Any", self._identity),
        )

    async def _login(self, **_: Any) -> kopf.AiohttpSession:
        return screened_http.session(await login.connection(self._configuration))


def _handler(look: Look) -> Callable[..., Any]:
    async def handle(event: kopf.RawEvent, **_: Any) -> None:
        look(event["object"], event["type"] == "DELETED")

    return handle


def _settings(lease_name: str, missions_selector: str) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    # The namespace and the kinds are known: nothing to discover, and no rights needed to discover it.
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.watching.server_timeout = _SERVER_ENDS_WATCH_SECONDS
    settings.watching.inactivity_timeout = _SILENCE_SECONDS
    settings.watching.connect_timeout = 3
    settings.watching.reconnect_backoff = 0.05
    settings.watching.chunk_size = 500
    settings.watching.field_selectors["coordination.k8s.io", "v1", "leases"] = f"metadata.name={lease_name}"
    if missions_selector:
        settings.watching.field_selectors[GROUP, VERSION, MISSION.plural] = missions_selector
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 3
    # For ever: after the last one kopf would end the operator, and an API server that is away comes back.
    settings.networking.error_backoffs = itertools.repeat(_AGAIN_SECONDS)
    settings.queueing.idle_timeout = 1
    settings.queueing.exit_timeout = 0.1
    settings.queueing.error_delays = (0.1, 0.5, 1, 2)
    settings.process.ultimate_exiting_timeout = 10
    return settings
