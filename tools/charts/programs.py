"""helm and kubeconform: built from their Go modules, once per machine, into the cache that the servers share."""

from pathlib import Path
from typing import Final

from tools.stack import binaries
from tools.stack.binaries import Recipe

HERE: Final = Path(__file__).parent / "go"
HELM: Final = "v3.22.0"
LOSS: Final = "the chart cannot be checked here"
_MINOR: Final = binaries.KUBERNETES.split(".")[1]
_CAPABILITIES: Final = ("pkg/chartutil", "pkg/lint/rules")


def _helm_flags() -> str:
    """Without them helm believes in a Kubernetes 1.20 when it renders without a cluster."""
    versions = [
        f"-X helm.sh/helm/v3/{package}.k8sVersion{part}={number}"
        for package in _CAPABILITIES
        for part, number in (("Major", "1"), ("Minor", _MINOR))
    ]
    return " ".join(["-s -w", f"-X helm.sh/helm/v3/internal/version.version={HELM}", *versions])


RECIPES: Final = (
    Recipe(
        name="helm",
        module=HERE / "helm",
        package="helm.sh/helm/v3/cmd/helm",
        minutes="about a minute on two cores",
        ldflags=_helm_flags(),
    ),
    Recipe(
        name="kubeconform",
        module=HERE / "kubeconform",
        package="github.com/yannh/kubeconform/cmd/kubeconform",
        minutes="seconds",
    ),
    *(recipe for recipe in binaries.RECIPES if recipe.name == "kubectl"),
)
"""kubectl has kustomize in it."""


def ensure() -> None:
    """Build what is missing, or say why that cannot be."""
    binaries.build(RECIPES, loss=LOSS)


def why_not() -> str | None:
    """Say why the programs are not there; building them is for `make chart`, not for a test."""
    lacking = binaries.missing(RECIPES)
    if not lacking:
        return None
    unbuilt = f"{', '.join(lacking)} not built yet, so {LOSS}: run `make chart` first (a minute or two, once)."
    return binaries.why_not(RECIPES, loss=LOSS) or unbuilt
