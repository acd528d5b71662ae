"""What the demo shows, in order, on a real API server."""

import json
import shlex
import time
from pathlib import Path
from typing import Final

from tools.demo import endings, watching
from tools.demo.errors import DemoError
from tools.demo.telling import Teller
from tools.stack import KubeAccess

ROOT: Final = Path(__file__).parents[2]
CRDS: Final = "manifests/crds"
POLICY: Final = "manifests/base/admission-policy.yaml"
SAMPLES: Final = "manifests/samples"
FINISH_SECONDS: Final = 45
NEW_KIND_SECONDS: Final = 2.0
"""An API server holds up each creation of a kind that it knows for less than this, by as much again."""
TOLD_ABOUT: Final = "fails"
"""The mission that is described: how it failed, and why."""


class Story:
    """Types commands for the reader, and shows what comes of them."""

    def __init__(self, kube: KubeAccess, teller: Teller) -> None:
        self._kube = kube
        self._teller = teller
        self._installed_at = 0.0

    def install(self) -> None:
        """Teach the API server our kinds and the policy on payloads."""
        self._teller.step("The API server learns what a Mission and a SoldierPool are")
        self._show("apply", "-f", CRDS, "-f", POLICY)
        self._kubectl("wait", "--for=condition=Established", "crd", "-l", "app.kubernetes.io/part-of=mission-control")
        self._installed_at = time.monotonic()

    def run_samples(self) -> None:
        """Apply the samples, and watch them until all are finished."""
        time.sleep(max(0.0, self._installed_at + NEW_KIND_SECONDS - time.monotonic()))
        teller = self._teller
        teller.step("Missions are applied, and warm soldiers run them at once (no pod starts for a mission)")
        teller.command("kubectl get missions -w &")
        command = [str(self._kube.kubectl_binary), "get", "missions", "-w"]
        with watching.watching(
            command,
            {**self._kube.environment(), "PATH": ""},
            teller.look,
        ):
            teller.command(f"kubectl apply -f {SAMPLES}")
            self._kubectl("apply", "-f", SAMPLES)
            wait = ("wait", "--for=condition=Finished", "missions", "--all", f"--timeout={FINISH_SECONDS}s")
            teller.command(shlex.join(("kubectl", *wait)))
            self._kubectl(*wait)

    def show_the_end(self) -> None:
        """Every state with its reason, one mission in full; raises when a sample did not end as it should."""
        self._teller.step("Every mission has reached its end, and says why")
        self._teller.rows(self._typed("get", "missions", "-o", "wide"))
        self._teller.step(f"What there is to know about one of them ({TOLD_ABOUT})")
        self._show("describe", "mission", TOLD_ABOUT)
        self._teller.step("The pool that ran them: soldiers stay warm for what comes next")
        self._show("get", "pool")
        surprises = endings.surprises(json.loads(self._kubectl("get", "missions", "-o", "json"))["items"])
        if surprises:
            raise DemoError("; ".join(surprises))

    def _show(self, *arguments: str) -> None:
        self._teller.line(self._typed(*arguments).rstrip())

    def _typed(self, *arguments: str) -> str:
        self._teller.command(shlex.join(("kubectl", *arguments)))
        return self._kubectl(*arguments)

    def _kubectl(self, *arguments: str) -> str:
        """Paths are shown as the reader would type them, from the repository's root."""
        return self._kube.kubectl(*(str(ROOT / word) if word.startswith("manifests/") else word for word in arguments))
