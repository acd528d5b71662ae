"""The Kubernetes API, as far as it says who a pod is: TokenReview, and the labels of a pod."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import msgspec

from mission_commander.services.workloads import AUDIENCE, ClusterAwayError, Pod, Workload, account_of

TIMEOUT_SECONDS: Final = 3.0
POOL_LABEL: Final = "missioncontrol.dev/pool"
_POD_NAME: Final = "authentication.kubernetes.io/pod-name"
_POD_UID: Final = "authentication.kubernetes.io/pod-uid"
_REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"


class _User(msgspec.Struct, frozen=True):
    username: str = ""
    extra: dict[str, list[str]] = {}


class _Status(msgspec.Struct, frozen=True):
    authenticated: bool = False
    audiences: list[str] = []
    user: _User = _User()


class _Review(msgspec.Struct, frozen=True):
    status: _Status = _Status()


class _Metadata(msgspec.Struct, frozen=True):
    uid: str = ""
    labels: dict[str, str] = {}


class _PodObject(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()


_T = TypeVar("_T")

_review: Final = msgspec.json.Decoder(_Review)
_pod: Final = msgspec.json.Decoder(_PodObject)


class KubernetesCluster:
    """Asks with this pod's own token; made by `connect`."""

    def __init__(self, http: httpx.AsyncClient, token_file: Path) -> None:
        self._http = http
        self._token_file = token_file

    async def review(self, token: str) -> Workload | None:
        asked = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [AUDIENCE]},
        }
        status = _read(await self._ask("POST", _REVIEWS, asked), _review).status
        account = account_of(status.user.username)
        # A server that knows no audiences answers without any, and must not be believed.
        if not status.authenticated or AUDIENCE not in status.audiences or account is None:
            return None
        names, uids = status.user.extra.get(_POD_NAME, [""]), status.user.extra.get(_POD_UID, [""])
        return Workload(namespace=account[0], account=account[1], pod=names[0], pod_uid=uids[0])

    async def pod(self, namespace: str, name: str) -> Pod | None:
        answer = await self._ask("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        found = _read(answer, _pod).metadata
        return Pod(uid=found.uid, pool=found.labels.get(POOL_LABEL, ""))

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        # Read each time: the kubelet renews it.
        headers = {"Authorization": f"Bearer {self._token_file.read_text().strip()}"}
        try:
            answer = await self._http.request(method, path, json=body, headers=headers)
        except httpx.HTTPError as error:
            raise ClusterAwayError(f"the Kubernetes API did not answer: {error!r}") from error
        if not answer.is_success and answer.status_code != httpx.codes.NOT_FOUND:
            raise ClusterAwayError(
                f"the Kubernetes API answered {method} {path} with {answer.status_code}: has the Commander's "
                "ServiceAccount its rights?"
            )
        return answer


def _read(answer: httpx.Response, decoder: "msgspec.json.Decoder[_T]") -> _T:
    try:
        return decoder.decode(answer.content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ClusterAwayError(f"the Kubernetes API's answer cannot be read: {error}") from error


@asynccontextmanager
async def connect(url: str, token_file: Path, authority_file: Path) -> AsyncIterator[KubernetesCluster]:
    """Keep connections to the API server while the context is open."""
    tls = ssl.create_default_context(cafile=str(authority_file))
    async with httpx.AsyncClient(base_url=url, verify=tls, timeout=TIMEOUT_SECONDS, trust_env=False) as http:
        yield KubernetesCluster(http, token_file)
