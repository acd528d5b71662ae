"""Least privilege, measured: what our roles grant, and what the node's API server saw in the whole run of these tests.

It comes last by its name: the log begins with the node, and holds what every test before it had the operator do.
"""

import sys
from collections.abc import Callable

import pytest
from support.ability import cannot_run
from support.installation import RELEASE
from support.nodes import Node
from tools import cluster as clusters
from tools.charts import helm
from tools.stack import audit

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300, func_only=True)]


@pytest.mark.parametrize("part", ["operator", "commander"])
def test_every_verb_granted_was_seen_and_no_other(
    a_node: Callable[[], Node], layout: clusters.Layout, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    a_node()
    used = audit.seen(audit.log_in(layout.node), f":{RELEASE}-{part}")
    if not used:
        cannot_run("no other end-to-end test ran on this node, so there is nothing to compare: run all of tests/e2e")
    given = audit.granted(rules_of(part))
    with capsys.disabled():
        sys.stdout.write(f"\nKubernetes, the {part}: {audit.table(given, used)}\n")
    assert used == given


def rules_of(part: str) -> list[helm.Manifest]:
    """All that the chart grants to a part's ServiceAccount."""
    name = f"{RELEASE}-{part}"
    roles = [one for one in helm.objects() if one["kind"] in {"Role", "ClusterRole"}]
    return [rule for one in roles if one["metadata"]["name"].endswith(name) for rule in one["rules"]]
