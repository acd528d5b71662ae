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
    """Stop the operator, which would make them anew; then the soldiers, each with its grace."""
    namespace = environment["NAMESPACE"]
    deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    pods = f"/api/v1/namespaces/{namespace}/pods"
    send("PATCH", f"{deployments}/{environment['OPERATOR']}", {"spec": {"replicas": 0}}, MERGE)
    _until_none(send, pods, environment["OPERATOR_PODS"], OPERATORS_PATIENCE_SECONDS)
    send("DELETE", f"{deployments}?{_selecting(environment['SOLDIER_DEPLOYMENTS'])}")
    _until_none(send, pods, environment["SOLDIER_PODS"], float(environment["PATIENCE_SECONDS"]))


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
