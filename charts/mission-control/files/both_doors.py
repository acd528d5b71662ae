"""`helm test`: sends one mission through each door, and says how long it took to come back."""

import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping

from api_access import Json, Send, http, kubernetes, readable, trusting

PATIENCE_SECONDS = 120.0
AGAIN_SECONDS = 0.2
API = "/apis/missioncontrol.dev/v1alpha1/namespaces/{namespace}/missions"


class DoorError(Exception):
    """The message says which door is shut, and what it said."""


def main() -> int:
    """Try both doors in each namespace, also when one is shut."""
    results = [_is_served(os.environ | {"NAMESPACE": namespace}) for namespace in os.environ["SERVED"].split(",")]
    return 0 if all(results) else 1


def _is_served(environment: Mapping[str, str]) -> bool:
    where = f" ({environment['NAMESPACE']})"
    results = [
        _tried(f"REST{where}", lambda: through_rest(http(trust=trusting(environment)), environment)),
        _tried(f"Kubernetes{where}", lambda: through_kubernetes(kubernetes(environment), environment)),
    ]
    return all(results)


def _tried(door: str, deed: Callable[[], str]) -> bool:
    began = time.monotonic()
    try:
        said = deed()
    except DoorError as error:
        print(f"FAILED  {door}: {error}", flush=True)
        return False
    print(f"ok      {door}: {said} after {time.monotonic() - began:.3f} s", flush=True)
    return True


def through_rest(send: Send, environment: Mapping[str, str]) -> str:
    """Submit over HTTP, and ask until the mission is final."""
    commander = environment["COMMANDER_URL"]
    credentials = {"client_id": environment["CLIENT_ID"], "client_secret": environment["CLIENT_SECRET"]}
    token = eventually("no token from the Commander", lambda: send("POST", f"{commander}/token", credentials))
    headers = {
        "Authorization": f"Bearer {token['access_token']}",
        "Idempotency-Key": f"helm-test-{secrets.token_hex(8)}",
    }
    mission = {"type": "noop", "payload": {}, "pool": environment["POOL"], "namespace": environment["NAMESPACE"]}
    accepted = eventually(
        "the Commander takes no mission", lambda: send("POST", f"{commander}/missions", mission, headers)
    )
    where = f"{commander}/missions/{accepted['mission_id']}"

    def final() -> Json | None:
        seen = send("GET", f"{where}?wait=10s", None, headers)
        return seen if seen["state"] in {"COMPLETED", "FAILED", "CANCELLED"} else None

    seen = eventually(f"mission {accepted['mission_id']} does not end", final)
    if seen["state"] != "COMPLETED":
        raise DoorError(
            f"mission {seen['mission_id']} ended as {seen['state']}: {seen.get('message') or seen['reason']}"
        )
    return "a mission was COMPLETED"


def through_kubernetes(send: Send, environment: Mapping[str, str]) -> str:
    """Create a Mission, and look until its condition Finished is true."""
    missions = API.format(namespace=environment["NAMESPACE"])
    wanted = {
        "apiVersion": "missioncontrol.dev/v1alpha1",
        "kind": "Mission",
        "metadata": {"generateName": "helm-test-"},
        "spec": {"type": "noop", "payload": {}, "pool": environment["POOL"], "ttlSecondsAfterFinished": 60},
    }
    created = eventually("the API server takes no Mission", lambda: send("POST", missions, wanted))
    name = created["metadata"]["name"]

    def final() -> Json | None:
        status: Json = send("GET", f"{missions}/{name}").get("status", {})
        return status if _is_finished(status) else None

    status = eventually(f"Mission {name} does not finish", final)
    if status["state"] != "Completed":
        raise DoorError(f"Mission {name} ended as {status['state']}: {status.get('message') or status.get('reason')}")
    return f"Mission {name} was Completed"


def _is_finished(status: Json) -> bool:
    return any(one["type"] == "Finished" and one["status"] == "True" for one in status.get("conditions", []))


def eventually(shut: str, ask: Callable[[], Json | None], patience_seconds: float = PATIENCE_SECONDS) -> Json:
    """Ask until there is an answer; what was said last explains why there is none."""
    deadline = time.monotonic() + patience_seconds
    said = "no answer yet"
    while True:
        try:
            answer = ask()
        except (OSError, ValueError) as error:
            said = readable(error)
        else:
            if answer is not None:
                return answer
        if time.monotonic() > deadline:
            raise DoorError(f"{shut} within {patience_seconds:.0f} s ({said}): look at its pod's log")
        time.sleep(AGAIN_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
