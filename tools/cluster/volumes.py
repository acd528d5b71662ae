"""Gives each claim of the default StorageClass a folder that any user id can write, and takes it back afterwards.

Level-triggered: a watch only rings; each ring lists claims and volumes and does whatever is lacking.
"""

import json
import shutil
import ssl
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Protocol

PROVISIONER = "missioncontrol.dev/folder"
ASKED_BY = "volume.kubernetes.io/storage-provisioner"
"""kube-controller-manager's mark on a claim: this provisioner is meant."""
MADE_BY = "pv.kubernetes.io/provisioned-by"
WATCH_SECONDS = 300
RETRY_SECONDS = 1.0

CLAIMS = "/api/v1/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"


@dataclass(frozen=True)
class Make:
    """A claim waits for this volume."""

    volume: Mapping[str, Any]


@dataclass(frozen=True)
class Remove:
    """This volume's claim is gone."""

    name: str


def decide(
    claims: Sequence[Mapping[str, Any]], volumes: Sequence[Mapping[str, Any]], folder: Path
) -> Iterator[Make | Remove]:
    """Say what is lacking."""
    names = {volume["metadata"]["name"] for volume in volumes}
    for claim in claims:
        if _waits_for_us(claim) and _name(claim) not in names:
            yield Make(_volume(claim, folder))
    for volume in volumes:
        if _is_ours(volume) and volume.get("status", {}).get("phase") == "Released":
            yield Remove(volume["metadata"]["name"])


def _waits_for_us(claim: Mapping[str, Any]) -> bool:
    metadata = claim["metadata"]
    asked = str(metadata.get("annotations", {}).get(ASKED_BY))
    is_bound, is_leaving = "volumeName" in claim["spec"], "deletionTimestamp" in metadata
    return asked == PROVISIONER and not is_bound and not is_leaving


def _is_ours(volume: Mapping[str, Any]) -> bool:
    made = str(volume["metadata"].get("annotations", {}).get(MADE_BY))
    policy = str(volume["spec"].get("persistentVolumeReclaimPolicy"))
    return made == PROVISIONER and policy == "Delete"


def _name(claim: Mapping[str, Any]) -> str:
    return f"pvc-{claim['metadata']['uid']}"


def _volume(claim: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    metadata, spec = claim["metadata"], claim["spec"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": _name(claim), "annotations": {MADE_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec["storageClassName"],
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "hostPath": {"path": str(folder / _name(claim)), "type": "Directory"},
        },
    }


class Objects(Protocol):
    """The little of an API server that is used here."""

    def list(self, path: str) -> Sequence[Mapping[str, Any]]: ...

    def create(self, path: str, item: Mapping[str, Any]) -> None: ...

    def delete(self, path: str) -> None: ...

    def watch(self, path: str) -> Iterator[object]: ...


class Provisioner:
    """Runs beside the node's programs, in threads that end with the process."""

    def __init__(self, objects: Objects, folder: Path, say: Callable[[str], None]) -> None:
        self._objects = objects
        self._folder = folder
        self._say = say
        self._bell = threading.Event()

    def start(self) -> None:
        for path in (CLAIMS, VOLUMES):
            threading.Thread(target=self._listen, args=(path,), daemon=True).start()
        threading.Thread(target=self._work, daemon=True).start()

    def reconcile(self) -> None:
        """Do once what is lacking now."""
        claims, volumes = self._objects.list(CLAIMS), self._objects.list(VOLUMES)
        for deed in decide(claims, volumes, self._folder):
            self._do(deed)

    def _do(self, deed: Make | Remove) -> None:
        if isinstance(deed, Make):
            place = Path(deed.volume["spec"]["hostPath"]["path"])
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o777)  # mkdir's own mode would pass through the umask
            self._objects.create(VOLUMES, deed.volume)
            return
        shutil.rmtree(self._folder / deed.name, ignore_errors=True)
        self._objects.delete(f"{VOLUMES}/{deed.name}")

    def _listen(self, path: str) -> None:
        while True:
            self._bell.set()  # something may have changed while nobody listened
            try:
                for _ in self._objects.watch(path):
                    self._bell.set()
            except (OSError, HTTPException):
                time.sleep(RETRY_SECONDS)

    def _work(self) -> None:
        while self._bell.wait():
            self._bell.clear()
            try:
                self.reconcile()
            except (OSError, HTTPException) as error:
                self._say(f"A volume could not be given or taken back, retried in {RETRY_SECONDS:.0f} s: {error}")
                time.sleep(RETRY_SECONDS)
                self._bell.set()


class ApiObjects:
    """Objects over HTTPS with the administrator's certificate; a client library would double the start."""

    def __init__(self, url: str, *, authority: Path, certificate: Path, key: Path) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        context.load_cert_chain(certificate, key)
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        self._url = url
        self._opener = urllib.request.build_opener(*handlers)

    def list(self, path: str) -> Sequence[Mapping[str, Any]]:
        with self._send("GET", path) as answer:
            items: list[Mapping[str, Any]] = json.load(answer)["items"]
        return items

    def create(self, path: str, item: Mapping[str, Any]) -> None:
        self._send("POST", path, json.dumps(item).encode()).close()

    def delete(self, path: str) -> None:
        self._send("DELETE", path).close()

    def watch(self, path: str) -> Iterator[object]:
        """Yield whenever something changed, until the API server ends the watch."""
        query = urllib.parse.urlencode({"watch": "1", "timeoutSeconds": WATCH_SECONDS})
        with self._send("GET", f"{path}?{query}", patience=WATCH_SECONDS + 30) as answer:
            yield from answer

    def _send(self, method: str, path: str, body: bytes | None = None, *, patience: float = 30) -> HTTPResponse:
        headers = {"Content-Type": "application/json"} if body else {}
        url = f"{self._url}{path}"
        request = urllib.request.Request(url, data=body, method=method, headers=headers)  # noqa: S310 - always https
        answer: HTTPResponse = self._opener.open(request, timeout=patience)
        return answer
