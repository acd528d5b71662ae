"""Before `helm uninstall`: the soldiers leave first, while there is still a Commander and a broker to report to.

Their Deployments belong to SoldierPools, which stay with the CRDs, so helm would leave them running for nobody.
"""

import os
import sys
import time
import urllib.parse
from collections.abc import Mapping

from api_access import Send, kubernetes

AGAIN_SECONDS = 0.5
OPERATORS_PATIENCE_SECONDS = 30.0
MERGE = {"Content-Type": "application/merge-patch+json"}


def main() -> int:
    leave(kubernetes(os.environ), os.environ)
    return 0


def leave(send: Send, environment: Mapping[str, str]) -> None:
    """Stop the operators, which would make them again; then the soldiers of every namespace, each with its grace."""
    own = environment["NAMESPACE"]
    served = environment["SERVED"].split(",")
    for operator in environment["OPERATORS"].split(","):
        send("PATCH", f"{_deployments(own)}/{operator}", {"spec": {"replicas": 0}}, MERGE)
    _until_none(send, _pods(own), environment["OPERATOR_PODS"], OPERATORS_PATIENCE_SECONDS)
    for namespace in served:
        send("DELETE", f"{_deployments(namespace)}?{_selecting(environment['SOLDIER_DEPLOYMENTS'])}")
    deadline = time.monotonic() + float(environment["PATIENCE_SECONDS"])
    for namespace in served:
        _until_none(send, _pods(namespace), environment["SOLDIER_PODS"], deadline - time.monotonic())


def _deployments(namespace: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments"


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def _until_none(send: Send, pods: str, selector: str, patience_seconds: float) -> None:
    """Wait, but not for ever: what still runs then ends by itself, and its work is handed out again."""
    deadline = time.monotonic() + patience_seconds
    while left := [one["metadata"]["name"] for one in send("GET", f"{pods}?{_selecting(selector)}")["items"]]:
        if time.monotonic() > deadline:
            print(f"not waiting any longer for {', '.join(left)}", flush=True)
            return
        time.sleep(AGAIN_SECONDS)
    print(f"no pod with {selector} is left", flush=True)


def _selecting(selector: str) -> str:
    return urllib.parse.urlencode({"labelSelector": selector})


if __name__ == "__main__":
    sys.exit(main())
