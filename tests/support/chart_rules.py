"""What the chart installs on an API server without pods: kinds, accounts, rights and policies."""

from typing import Any, Final

from support.cluster_door import file_of
from tools.charts import helm
from tools.stack import KubeAccess

Object = dict[str, Any]

RULES: Final = frozenset(
    {
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
    }
)


def kinds_served(kube: KubeAccess, *options: str) -> list[Object]:
    """Have the release's namespace and our kinds served; returns what else is to be applied."""
    objects = helm.objects("--no-hooks", *options)
    crds = [one for one in objects if one["kind"] == "CustomResourceDefinition"]
    kube.kubectl("create", "namespace", helm.NAMESPACE)
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=file_of(crds))
    for crd in crds:
        kube.kubectl("wait", "--for=condition=Established", f"crd/{crd['metadata']['name']}", "--timeout=30s")
    return [one for one in objects if one["kind"] in RULES]
