"""What tests of the operator as a process share: an API server with our kinds, and a Commander that tests control."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.operator_stage import Objects, Stage, serving_our_kinds, staged
from support.operators_commander import OperatorsCommander
from tools.stack import KubeAccess


@pytest.fixture(scope="module")
def served(kube: KubeAccess) -> KubeAccess:
    """An API server that serves our kinds."""
    return serving_our_kinds(kube)


@pytest.fixture
async def stage(served: KubeAccess, kube_namespace: str, tmp_path: Path) -> AsyncIterator[Stage]:
    """A namespace in which operators can be started."""
    async with staged(served, kube_namespace, tmp_path) as stage:
        yield stage


@pytest.fixture
def objects(stage: Stage) -> Objects:
    return stage.objects


@pytest.fixture
def commander(stage: Stage) -> OperatorsCommander:
    return stage.commander
