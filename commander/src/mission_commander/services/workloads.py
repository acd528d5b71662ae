"""Who a pod is: its ServiceAccount's token, reviewed by the cluster, says which part of Mission Control it may be."""

from typing import Final, Protocol

import msgspec

from mission_contracts.tokens import Holder, Role

AUDIENCE: Final = "mission-control"
_ACCOUNT_PREFIX: Final = "system:serviceaccount:"


class ClusterAwayError(Exception):
    """The Kubernetes API did not answer, or would not say."""


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """What the cluster vouches for: an account, and the pod that its token is bound to."""

    namespace: str
    account: str
    pod: str
    """Empty for a token that is bound to no pod."""
    pod_uid: str = ""


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """A pod as far as it matters here."""

    uid: str
    pool: str
    """By its label; empty where it has none."""


class Cluster(Protocol):
    """Every method raises ClusterAwayError."""

    async def review(self, token: str) -> Workload | None:
        """Who this token is of; None for one that is not valid, of another audience, or of a pod that is gone."""
        ...

    async def pod(self, namespace: str, name: str) -> Pod | None: ...


class StrangerError(Exception):
    """The token is good, and of nobody who has business here; the sentence says why."""


class Accounts(msgspec.Struct, frozen=True, kw_only=True):
    """Where the installation's pods are, and as which of them the operator runs."""

    namespace: str
    """The control plane's: the operator's pods are in it."""
    operator: str
    served: frozenset[str]
    """Soldiers' pods are in these."""


class Workloads:
    """Turns a reviewed token into the holder of ours."""

    def __init__(self, cluster: Cluster, accounts: Accounts) -> None:
        self._cluster = cluster
        self._accounts = accounts

    async def holder_of(self, token: str) -> Holder | None:
        """Say who that is; None for a token that the cluster does not vouch for. Raises StrangerError."""
        workload = await self._cluster.review(token) if token.strip() else None
        if workload is None:
            return None
        if not self._is_ours(workload):
            raise StrangerError("this ServiceAccount token is of another namespace, or bound to no pod")
        pod = await self._cluster.pod(workload.namespace, workload.pod)
        if pod is None or pod.uid != workload.pod_uid:
            raise StrangerError("the pod that this token is bound to is gone")
        return self._holder(workload, pod)

    def _is_ours(self, workload: Workload) -> bool:
        ours = workload.namespace == self._accounts.namespace or workload.namespace in self._accounts.served
        return ours and workload.pod != ""

    def _holder(self, workload: Workload, pod: Pod) -> Holder:
        """A pod with a pool's label is a soldier, whichever account it runs as: the operator gave it that label.

        A pool's template may name an account, so that an account alone makes nobody the operator.
        """
        if pod.pool and workload.namespace in self._accounts.served:
            return Holder(
                subject="soldier",
                role=Role.SOLDIER,
                namespace=workload.namespace,
                pool=pod.pool,
                pod=workload.pod,
            )
        is_operators = (workload.namespace, workload.account) == (self._accounts.namespace, self._accounts.operator)
        if is_operators and not pod.pool:
            return Holder(subject="operator", role=Role.OPERATOR)
        raise StrangerError("this pod belongs to no pool: the operator labels those that do")


def account_of(username: str) -> tuple[str, str] | None:
    """Read `system:serviceaccount:NAMESPACE:NAME`; None for anybody else."""
    if not username.startswith(_ACCOUNT_PREFIX):
        return None
    namespace, _, name = username.removeprefix(_ACCOUNT_PREFIX).partition(":")
    return (namespace, name) if namespace and name else None
