"""What the demo shows, in order, on a real API server."""

import json
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tools.demo import endings, watching
from tools.demo.errors import DemoError
from tools.demo.telling import Teller
from tools.stack import KubeAccess, StackError

ROOT: Final = Path(__file__).parents[2]
CRDS: Final = "manifests/crds"
POLICY: Final = "manifests/base/admission-policy.yaml"
SAMPLES: Final = "manifests/samples"
FINISH_SECONDS: Final = 60
POLICY_SECONDS: Final = 15
TOLD_ABOUT: Final = "fails"
"""The mission that is described: how it failed, and why."""


class Story:
    """Types commands for the reader, and shows what comes of them."""

    def __init__(self, kube: KubeAccess, teller: Teller) -> None:
        self._kube = kube
        self._teller = teller

    def install(self) -> None:
        """Teach the API server our kinds and the policy on payloads."""
        self._teller.step("The API server learns what a Mission and a SoldierPool are")
        self._show("apply", "-f", CRDS, "-f", POLICY)
        self._kubectl("wait", "--for=condition=Established", "crd", "-l", "app.kubernetes.io/part-of=mission-control")
        self._wait_until_payloads_are_held()

    def run_samples(self) -> None:
        """Apply the samples, and watch them until all are finished."""
        teller = self._teller
        teller.step("Missions are applied, and warm soldiers run them at once (no pod starts for a mission)")
        teller.command("kubectl get missions -w &")
        command = [str(self._kube.kubectl_binary), "get", "missions", "-w"]
        with watching.watching(
            command,
            {**self._kube.environment(), "PATH": ""},
            lambda line, after_seconds: teller.row(line, after_seconds=after_seconds),
        ):
            teller.command(f"kubectl apply -f {SAMPLES}")
            self._kubectl("apply", "-f", SAMPLES)
            wait = ("wait", "--for=condition=Finished", "missions", "--all", f"--timeout={FINISH_SECONDS}s")
            teller.command(shlex.join(("kubectl", *wait)))
            self._kubectl(*wait)

    def show_the_end(self) -> None:
        """Every state with its reason, one mission in full; raises when a sample did not end as it should."""
        self._teller.step("Every mission has reached its end, and says why")
        for line in self._typed("get", "missions", "-o", "wide").splitlines():
            self._teller.row(line)
        self._teller.step(f"What there is to know about one of them ({TOLD_ABOUT})")
        self._show("describe", "mission", TOLD_ABOUT)
        surprises = endings.surprises(json.loads(self._kubectl("get", "missions", "-o", "json"))["items"])
        if surprises:
            raise DemoError("; ".join(surprises))

    def _wait_until_payloads_are_held(self) -> None:
        """The API server begins to hold a policy some time after it was created: a refused dry run shows it."""
        probe = {"type": "noop", "payload": {"text": "x" * 300_000}}
        deadline = time.monotonic() + POLICY_SECONDS
        while self._is_accepted(probe):
            if time.monotonic() > deadline:
                raise DemoError(f"the API server did not begin to hold {POLICY} within {POLICY_SECONDS} s")
            time.sleep(0.1)

    def _is_accepted(self, spec: Mapping[str, object]) -> bool:
        probe = {
            "apiVersion": "missioncontrol.dev/v1alpha1",
            "kind": "Mission",
            "metadata": {"name": "probe"},
            "spec": spec,
        }
        try:
            self._kube.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(probe))
        except StackError:
            return False
        return True

    def _show(self, *arguments: str) -> None:
        self._teller.line(self._typed(*arguments).rstrip())

    def _typed(self, *arguments: str) -> str:
        self._teller.command(shlex.join(("kubectl", *arguments)))
        return self._kubectl(*arguments)

    def _kubectl(self, *arguments: str) -> str:
        """Paths are shown as the reader would type them, from the repository's root."""
        return self._kube.kubectl(*(str(ROOT / word) if word.startswith("manifests/") else word for word in arguments))
