"""The product on a real node, from `helm install` to the last trace removed.

The tests are in the order of an installation's life, and share one: the last ones end it.
"""

import ast
import asyncio
import itertools
import json
import re
import shlex
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml
from support.cluster_door import ClusterDoor, a_mission, conditions_of
from support.installation import HAS_FAILED, RELEASE, Installation, image_of, installed
from support.nodes import NAME, ROOT, Node, make, run
from support.operator_stage import Object, Objects
from support.rest_door import RestDoor

from mission_contracts.mission import NUMBERS_PER_ERA

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600, func_only=True)]

NAMESPACE: Final = "missions"
NEXT_TAG: Final = "0.1.1"
SAMPLES: Final = ROOT / "manifests" / "samples"
TWO_SECONDS: Final = {"min_seconds": 1, "max_seconds": 2, "success_rate": 1}
"""Less than any grace: nothing of this length may run twice."""


@pytest.fixture(scope="module")
def release(a_node: Callable[[], Node]) -> Iterator[Installation]:
    """Installed with the README's commands, in a namespace that refuses every pod that is not restricted."""
    node = a_node()
    make("images")
    with installed(node, NAMESPACE) as installation:
        yield installation


@pytest.fixture
def installation(release: Installation, request: pytest.FixtureRequest) -> Iterator[Installation]:
    """The release, installed again after a test that failed: the next one finds nothing that is half done."""
    yield release
    if HAS_FAILED in request.node.stash:
        release.reinstall()


@pytest.fixture
async def rest(installation: Installation) -> AsyncIterator[RestDoor]:
    async with installation.rest() as door:
        yield door


@pytest.fixture
async def cluster(installation: Installation) -> AsyncIterator[ClusterDoor]:
    async with installation.cluster() as door:
        yield door


# Installed


async def test_soldiers_are_pods_beside_rabbitmq_4_and_redis_8(installation: Installation) -> None:
    await installation.until_ready("soldier-default-")
    assert installation.kubectl("exec", f"{RELEASE}-rabbitmq-0", "--", "rabbitmqctl", "version").startswith("4.")
    assert "v=8." in installation.kubectl("exec", f"{RELEASE}-redis-0", "--", "redis-server", "--version")


def test_every_sample_ends_as_its_readme_says(installation: Installation) -> None:
    installation.kubectl("apply", "-f", str(SAMPLES))
    installation.kubectl("wait", "--for=condition=Finished", "missions", "--all", "--timeout=180s")
    missions = json.loads(installation.kubectl("get", "missions", "-o", "json"))["items"]
    shown = {one["metadata"]["name"]: (one["status"]["state"], one["status"]["reason"]) for one in missions}
    assert shown == {name: ends for file, ends in sample_ends() for name in missions_in(file)}


def sample_ends() -> list[tuple[Path, tuple[str, str]]]:
    """How each sample ends, as the samples' README tells its readers."""
    rows = re.findall(
        r"^\| `(\S+\.yaml)` \|.*\| (\w+)(?:, (\w+))? \|$", (SAMPLES / "README.md").read_text(), re.MULTILINE
    )
    assert {file for file, *_ in rows} == {path.name for path in SAMPLES.glob("*.yaml")}
    return [(SAMPLES / file, (state, reason or state)) for file, state, reason in rows]


def missions_in(file: Path) -> list[str]:
    documents = filter(None, yaml.safe_load_all(file.read_text()))
    return [one["metadata"]["name"] for one in documents if one["kind"] == "Mission"]


PROBE: Final = """
import os, pathlib, socket

def is_refused(deed):
    try:
        deed()
    except OSError:
        return True
    return False

status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines() if ":" in line)
print({
    "is root": os.getuid() == 0,
    "writes programs": not is_refused(lambda: pathlib.Path("/app/planted").write_text("x")),
    "writes settings": not is_refused(lambda: pathlib.Path("/etc/planted").write_text("x")),
    "opens raw sockets": not is_refused(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()),
    "has capabilities": int(status["CapEff"], 16) != 0,
    "may gain privileges": status["NoNewPrivs"].strip() != "1",
    "can ask the Kubernetes API": pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists(),
})
"""


@pytest.mark.parametrize("workload", ["soldier-default", f"{RELEASE}-commander", f"{RELEASE}-operator"])
def test_attack_40_who_gets_into_a_pod_of_ours_stays_there(installation: Installation, workload: str) -> None:
    said = installation.kubectl("exec", "-i", f"deployment/{workload}", "--", "python", "-", stdin=PROBE)
    found = ast.literal_eval(said)
    assert {what for what, is_so in found.items() if is_so} <= {"can ask the Kubernetes API"}
    assert found["can ask the Kubernetes API"] is (workload != "soldier-default")


def test_helm_test_sends_a_mission_through_each_door(installation: Installation) -> None:
    said = installation.helm("test")
    assert re.search(r"^ok +REST \(missions\): ", said, re.MULTILINE), said
    assert re.search(r"^ok +Kubernetes \(missions\): ", said, re.MULTILINE), said


async def test_five_hundred_by_each_door_complete(
    installation: Installation, cluster: ClusterDoor, rest: RestDoor, say: Callable[[str], None]
) -> None:
    names = [f"many-{number:03}" for number in range(500)]
    began = time.monotonic()
    ids = await rest.submit_many(500)
    views = await rest.until_final(ids, seconds=120)
    by_rest = time.monotonic() - began
    assert Counter(view["state"] for view in views.values()) == {"COMPLETED": 500}

    began = time.monotonic()
    await cluster.apply(*(a_mission(name) for name in names))
    ended = await cluster.until_finished(names, seconds=120)
    by_kubectl = time.monotonic() - began
    assert Counter(one["status"]["state"] for one in ended.values()) == {"Completed": 500}
    say(f"500 noop missions: by REST {by_rest:.1f} s, by kubectl {by_kubectl:.1f} s (kubectl's own time included)")


async def test_a_mission_on_the_idle_system_is_faster_than_a_job_that_does_nothing(
    installation: Installation, say: Callable[[str], None]
) -> None:
    async with installation.objects() as objects:
        missions = await times(objects, "missions", "idle", a_mission, count=100)
        jobs = await times(objects, "jobs", "job", a_job, count=10)
    say("created → Completed on this idle node, seen by a watch:")
    for kind, seconds in (("Mission noop", missions), ("Job, no-op", jobs)):
        p50, p99 = quantile(seconds, 0.5), quantile(seconds, 0.99)
        say(f"  {kind:<14} p50 {p50 * 1000:7.1f} ms   p99 {p99 * 1000:7.1f} ms   of {len(seconds)}")
    assert quantile(missions, 0.5) < quantile(jobs, 0.5)


async def times(
    objects: Objects, plural: str, prefix: str, make_one: Callable[[str], Object], *, count: int
) -> list[float]:
    """Seconds from each creation to the moment at which a watch showed its end, one after the other."""
    listed = await objects.request("GET", objects.path(plural))
    ended: asyncio.Queue[str] = asyncio.Queue()
    watching = asyncio.create_task(_note_ends(objects, plural, listed["metadata"]["resourceVersion"], ended))
    seconds: list[float] = []
    for number in range(count):
        name = f"{prefix}-{number:03}"
        began = time.monotonic()
        await objects.request("POST", objects.path(plural), make_one(name))
        async with asyncio.timeout(60):
            while await ended.get() != name:
                pass
        seconds.append(time.monotonic() - began)
    watching.cancel()
    return seconds


async def _note_ends(objects: Objects, plural: str, after: str, ended: asyncio.Queue[str]) -> None:
    async for event in objects.watch(plural, after=after):
        status = event["object"].get("status", {})
        if status.get("state") == "Completed" or status.get("succeeded"):
            ended.put_nowait(event["object"]["metadata"]["name"])


def quantile(seconds: Sequence[float], part: float) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * part))]


def a_job(name: str) -> Object:
    container = {
        "name": "nothing",
        "image": "python:3.13-slim",
        "imagePullPolicy": "IfNotPresent",
        "command": ["true"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security = {"runAsNonRoot": True, "runAsUser": 999, "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {"restartPolicy": "Never", "securityContext": security, "containers": [container]}
    spec = {"backoffLimit": 0, "template": {"spec": pod}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


# Pods killed


@pytest.mark.parametrize("victim", ["soldier-default-", *(f"{RELEASE}-{part}" for part in
    ("commander", "operator", "redis", "rabbitmq"))])  # fmt: skip
async def test_deleting_a_pod_while_two_hundred_run_loses_none_and_repeats_none(
    installation: Installation, cluster: ClusterDoor, rest: RestDoor, victim: str
) -> None:
    await installation.have_soldiers(2)
    batch = Batch(rest, cluster, f"without-{victim.rstrip('-').rpartition('-')[2]}")
    await batch.submit(by_rest=100, by_kubectl=100)
    await batch.until_some_end()
    before = installation.pods(victim)
    installation.kubectl("delete", "pod", next(iter(before)), "--wait=false")
    await batch.until_all_completed_in_one_hand_out()
    await installation.until_ready(victim, len(before))


async def test_a_mission_deleted_while_no_operator_lives_is_cancelled_when_one_is_back(
    installation: Installation, cluster: ClusterDoor
) -> None:
    """A minute of work is given up within seconds of the operator's return, which looks what is still there."""
    a_minute = {"min_seconds": 60, "max_seconds": 60, "success_rate": 1}
    await cluster.apply(a_mission("orphan", "simulate", payload=a_minute))
    running = "it runs, and its soldier is seen to be busy"
    await cluster.objects.until_status("missions", "orphan", lambda s: s.get("state") == "InProgress", running)
    await cluster.objects.until_status("soldierpools", "default", lambda s: s.get("inFlight") == 1, running)
    operator = f"{RELEASE}-operator"
    await asyncio.to_thread(installation.kubectl, "scale", "deployment", operator, "--replicas=0")
    await installation.until_ready(operator, 0)
    await asyncio.to_thread(installation.kubectl, "delete", "mission", "orphan")
    await asyncio.to_thread(installation.kubectl, "scale", "deployment", operator, "--replicas=1")
    await installation.until_ready(operator)
    idle = "nothing runs any more"
    await cluster.objects.until_status("soldierpools", "default", lambda s: s.get("inFlight") == 0, idle)


class Batch:
    """Missions of one or two seconds through both doors, and how they ended."""

    def __init__(self, rest: RestDoor, cluster: ClusterDoor, name: str) -> None:
        self._rest = rest
        self._cluster = cluster
        self._name = name
        self._ids: list[str] = []
        self._names: list[str] = []

    async def submit(self, *, by_rest: int, by_kubectl: int) -> None:
        self._names = [f"{self._name}-{number:03}" for number in range(by_kubectl)]
        missions = [a_mission(name, "simulate", payload=TWO_SECONDS) for name in self._names]
        await self._cluster.apply(*missions)
        # Last, because kubectl takes its time, and these would be over before it is done.
        self._ids = await self._rest.submit_many(by_rest, "simulate", payload=TWO_SECONDS)

    async def until_some_end(self) -> None:
        """Wait for the moment to break something: some have ended, and most have not."""
        deadline = time.monotonic() + 60
        while not (ended := self._ended(await self._rest.look_up(self._ids))):
            assert time.monotonic() < deadline, "no mission ended"
            await asyncio.sleep(0.1)
        assert ended < len(self._ids), "the fault would come too late to prove anything"

    async def until_all_completed_in_one_hand_out(self) -> None:
        views = await self._rest.until_final(self._ids, seconds=240)
        objects = await self._cluster.until_finished(self._names, seconds=240)
        shown = [(view["state"], view["epoch"]) for view in views.values()]
        shown += [(one["status"]["state"].upper(), one["status"]["epoch"]) for one in objects.values()]
        assert Counter(state for state, _ in shown) == {"COMPLETED": len(self._ids) + len(self._names)}
        assert Counter(map(hand_outs, (epoch for _, epoch in shown))) == {1: len(shown)}, "each was handed out once"

    @staticmethod
    def _ended(views: Sequence[Any]) -> int:
        return sum(view is not None and view["state"] == "COMPLETED" for view in views)


def hand_outs(epoch: int) -> int:
    """How often a mission was given to soldiers; each hand-out raises its epoch by one, and runs at most once."""
    return epoch % NUMBERS_PER_ERA


# Upgraded


async def test_an_upgrade_under_load_loses_nothing_and_repeats_nothing(
    installation: Installation, cluster: ClusterDoor, rest: RestDoor, say: Callable[[str], None]
) -> None:
    run(sys.executable, "-m", "tools.images", "--tag", NEXT_TAG, "--cluster", NAME)
    await installation.have_soldiers(2)
    load = Load(rest, cluster)
    async with asyncio.TaskGroup() as tasks:
        submitting = tasks.create_task(load.run())
        await load.until_it_flows()
        await asyncio.to_thread(installation.helm, "upgrade", "--wait", "--set", f"image.tag={NEXT_TAG}")
        await until_all_pods_are_new(installation)
        await load.until_it_flows()
        load.stop()
        await submitting
    views = await rest.until_final(load.ids, seconds=120)
    objects = await cluster.until_finished(load.names, seconds=120)
    ends = [view["state"] for view in views.values()] + [one["status"]["state"].upper() for one in objects.values()]
    epochs = [view["epoch"] for view in views.values()] + [one["status"]["epoch"] for one in objects.values()]
    say(f"upgrade under load: {len(ends)} missions of 1 to 2 s, {load.refusals} requests had to be sent again")
    assert Counter(ends) == {"COMPLETED": len(ends)}
    assert Counter(map(hand_outs, epochs)) == {1: len(ends)}


async def until_all_pods_are_new(installation: Installation) -> None:
    """Wait until every soldier runs the new image, and the old ones have left."""
    deadline = time.monotonic() + 180
    while True:
        found = json.loads(await asyncio.to_thread(installation.kubectl, "get", "pods", "-o", "json"))["items"]
        images = Counter(image_of(pod) for pod in found if pod["metadata"]["name"].startswith("soldier-"))
        if all(image.endswith(f":{NEXT_TAG}") for image in images) and images:
            return
        assert time.monotonic() < deadline, f"soldiers of another version are still there: {images}"
        await asyncio.sleep(0.5)


class Load:
    """About ten missions a second through both doors, until it is stopped; what is refused for now is sent again."""

    def __init__(self, rest: RestDoor, cluster: ClusterDoor) -> None:
        self._rest = rest
        self._cluster = cluster
        self._stopped = asyncio.Event()
        self.ids: list[str] = []
        self.names: list[str] = []
        self.refusals = 0

    def stop(self) -> None:
        self._stopped.set()

    async def run(self) -> None:
        for number in itertools.count():
            if self._stopped.is_set():
                return
            self.ids.append(await self._submit(f"load-{number}"))
            if number % 5 == 0:
                await self._create(f"load-{number:05}")
            await asyncio.sleep(0.1)

    async def until_it_flows(self) -> None:
        """Wait until some more were accepted, and some of all have completed."""
        before = len(self.ids)
        deadline = time.monotonic() + 60
        while len(self.ids) < before + 20 or not await self._completed():
            assert time.monotonic() < deadline, "no missions flow"
            await asyncio.sleep(0.2)

    async def _completed(self) -> int:
        views = await retried(lambda: self._rest.look_up(self.ids[-100:]))
        return sum(view is not None and view["state"] == "COMPLETED" for view in views)

    async def _submit(self, key: str) -> str:
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = await self._rest.post({"type": "simulate", "payload": TWO_SECONDS}, key=key)
                if answer.status_code == 202:
                    return str(answer.json()["mission_id"])
                assert answer.status_code == 503, answer.text
            except httpx.TransportError:
                pass
            self.refusals += 1
            assert time.monotonic() < deadline, "the Commander takes no mission any more"
            await asyncio.sleep(0.2)

    async def _create(self, name: str) -> None:
        await self._cluster.objects.create("missions", a_mission(name, "simulate", payload=TWO_SECONDS))
        self.names.append(name)


async def retried(ask: Callable[[], Awaitable[list[Any]]]) -> list[Any]:
    try:
        return await ask()
    except httpx.HTTPError:
        return []


# Gone


async def test_after_an_uninstall_no_pod_webhook_or_finalizer_is_left_and_every_mission_is(
    installation: Installation, cluster: ClusterDoor
) -> None:
    names = [f"last-{number}" for number in range(5)]
    await cluster.apply(*(a_mission(name, "simulate", payload=TWO_SECONDS) for name in names))
    missions = set(await cluster.objects.all("missions"))
    await asyncio.to_thread(installation.helm, "uninstall", "--wait")
    kept = await cluster.objects.all("missions")
    assert set(kept) == missions
    assert not [name for name, one in kept.items() if one["metadata"].get("finalizers")]
    await installation.until_no_pod_is_left()
    webhooks = "validatingwebhookconfigurations,mutatingwebhookconfigurations"
    assert installation.kubectl("get", webhooks, "-o", "name") == ""
    crds = installation.kubectl("get", "crds", "-o", "name")
    assert {"missions.missioncontrol.dev", "soldierpools.missioncontrol.dev"} <= set(re.findall(r"/(\S+)", crds))


async def test_installed_again_it_goes_on_where_it_was(installation: Installation, cluster: ClusterDoor) -> None:
    await asyncio.to_thread(installation.helm, "uninstall", "--wait", "--ignore-not-found")
    before = await cluster.objects.all("missions")
    await asyncio.to_thread(installation.helm, "install", "--wait")
    ended = await cluster.until_finished(before, seconds=120)
    for name, one in before.items():
        if conditions_of(one.get("status", {"conditions": ()})).get("Finished", {}).get("status") == "True":
            assert ended[name]["status"] == one["status"], "what was final stays as it was"
    await asyncio.to_thread(installation.helm, "uninstall", "--wait")


async def test_the_documented_removal_leaves_nothing(installation: Installation) -> None:
    installation.helm("uninstall", "--wait", "--ignore-not-found")
    for command in documented_removal():
        installation.kubectl(*command)
    kinds = installation.kubectl("api-resources", "--verbs=list", "-o", "name").split()
    lasting = [kind for kind in kinds if not kind.startswith(("events", "namespaces"))]
    deadline = time.monotonic() + 60
    while left := ours(installation.kubectl("get", ",".join(lasting), "--all-namespaces", "-o", "name")):
        assert time.monotonic() < deadline, f"left behind: {left}"
        await asyncio.sleep(1)


def documented_removal() -> Iterator[list[str]]:
    """The commands of the chart's README, without the namespace, which is ours here."""
    text = (ROOT / "charts" / RELEASE / "README.md").read_text()
    block = text.partition("To remove that as well:")[2].partition("```console\n")[2].partition("```")[0]
    commands = [shlex.split(line)[2:] for line in block.splitlines() if line.startswith("$ kubectl ")]
    assert len(commands) == 3, block
    for words in commands:
        yield [word for word in words if word not in ("--namespace", "missions")]


def ours(listed: str) -> list[str]:
    """What bears our names, but for Kubernetes' own admission, and the node itself."""
    its_own = re.compile(rf"admission|/mission-control-{NAME}$")
    return [line for line in listed.split() if re.search(r"mission|soldier", its_own.sub("", line))]
