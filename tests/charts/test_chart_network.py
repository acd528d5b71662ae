"""Who may speak to whom, as the chart's NetworkPolicies say it: proven by a network that does what they say, in Python.

The test node's network enforces none, so what is held here is their content: every way that is used is open, and what
an intruder would want is shut.
"""

import ipaddress
from typing import Any, Final, NamedTuple

import pytest
from tools.charts import helm

Manifest = helm.Manifest

API_SERVER: Final = "203.0.113.9"
NAME_LABEL: Final = "kubernetes.io/metadata.name"
METADATA: Final = "169.254.169.254"
ELSEWHERE: Final = "198.51.100.7"
COMPONENTS: Final = ("commander", "operator", "rabbitmq", "redis", "test", "leaving")


class Pod(NamedTuple):
    """Somebody in a namespace, by default the release's, or (without labels) an address outside of the cluster."""

    labels: dict[str, str]
    address: str = "10.0.0.1"
    namespace: str = helm.NAMESPACE


def ours(component: str) -> Pod:
    names = ("name", "component")
    labels = {f"app.kubernetes.io/{name}": component for name in names}
    return Pod(labels | {"app.kubernetes.io/instance": "mission-control"})


SOLDIER: Final = Pod({"app.kubernetes.io/name": "soldier", "missioncontrol.dev/pool": "default"})
STRANGER: Final = Pod({"app": "somebody else's"})
WHO: Final = {name: ours(name) for name in COMPONENTS} | {"soldier": SOLDIER, "stranger": STRANGER}


class Network:
    """What a network lets through that enforces these policies."""

    def __init__(self, objects: list[Manifest]) -> None:
        policies = [one for one in objects if one["kind"] == "NetworkPolicy"]
        self._policies = [(one["metadata"].get("namespace", helm.NAMESPACE), one["spec"]) for one in policies]

    def lets(self, source: Pod, target: Pod, port: int, protocol: str = "TCP") -> bool:
        leaves = self._allows(source, "egress", "to", target, port, protocol)
        return leaves and self._allows(target, "ingress", "from", source, port, protocol)

    def _allows(self, pod: Pod, way: str, peers: str, other: Pod, port: int, protocol: str) -> bool:
        of_the_pod = [
            (namespace, spec)
            for namespace, spec in self._policies
            if pod.labels and namespace == pod.namespace and _selects(spec["podSelector"], pod)
        ]
        if not of_the_pod:
            return True
        return any(
            ("ports" not in rule or {"port": port, "protocol": protocol} in rule["ports"])
            and (peers not in rule or any(_is(peer, other, namespace) for peer in rule[peers]))
            for namespace, spec in of_the_pod
            for rule in spec[way]
        )


def _is(peer: dict[str, Any], other: Pod, of_the_policy: str) -> bool:
    if "ipBlock" in peer:
        block, address = peer["ipBlock"], ipaddress.ip_address(other.address)
        inside = [ipaddress.ip_network(one) for one in (block["cidr"], *block.get("except", ()))]
        return address in inside[0] and not any(address in one for one in inside[1:])
    is_there = _selects_namespace(peer.get("namespaceSelector"), other.namespace, of_the_policy)
    return bool(other.labels) and is_there and _selects(peer["podSelector"], other)


def _selects_namespace(selector: dict[str, Any] | None, namespace: str, of_the_policy: str) -> bool:
    """Without a selector only the policy's own namespace is meant; each namespace is labelled with its name."""
    if selector is None:
        return namespace == of_the_policy
    named: dict[str, str] = selector.get("matchLabels", {})
    among = [one["values"] for one in selector.get("matchExpressions", ()) if one["operator"] == "In"]
    return named.get(NAME_LABEL, namespace) == namespace and all(namespace in values for values in among)


def _selects(selector: dict[str, Any], pod: Pod) -> bool:
    wanted: dict[str, str] = selector.get("matchLabels", {})
    exists = [one["key"] for one in selector.get("matchExpressions", ())]
    return wanted.items() <= pod.labels.items() and all(key in pod.labels for key in exists)


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(helm.objects())


USED: Final = [
    ("operator", "commander", 8484),
    ("soldier", "commander", 8484),
    ("test", "commander", 8484),
    ("stranger", "commander", 8484),  # users of the API; its tokens decide
    ("commander", "rabbitmq", 5672),
    ("commander", "rabbitmq", 15672),
    ("commander", "redis", 6379),
    ("soldier", "rabbitmq", 5672),
]


@pytest.mark.parametrize(("source", "target", "port"), USED)
def test_what_is_used_is_open(network: Network, source: str, target: str, port: int) -> None:
    assert network.lets(WHO[source], WHO[target], port)


def test_nothing_else_is_open_between_our_pods(network: Network) -> None:
    ports = (22, 4369, 5672, 6379, 8484, 15672, 25672)
    open_ways = [
        (source, target, port)
        for source in WHO
        for target in (*COMPONENTS, "soldier")
        for port in ports
        if source != target and network.lets(WHO[source], WHO[target], port)
    ]
    assert sorted(open_ways) == sorted(USED)


@pytest.mark.parametrize("name", ["operator", "commander", "test", "leaving"])
def test_who_asks_the_kubernetes_api_reaches_it(network: Network, name: str) -> None:
    assert network.lets(WHO[name], Pod({}, API_SERVER), 6443)


@pytest.mark.parametrize("name", ["operator", "commander", "soldier", "test"])
def test_names_are_looked_up(network: Network, name: str) -> None:
    assert network.lets(WHO[name], Pod({}, ELSEWHERE), 53, "UDP")


@pytest.mark.parametrize("name", [*COMPONENTS, "soldier"])
def test_attack_40_nobody_reaches_the_clouds_metadata(network: Network, name: str) -> None:
    assert not network.lets(WHO[name], Pod({}, METADATA), 80)


@pytest.mark.parametrize("name", ["operator", "rabbitmq", "redis", "commander"])
def test_only_soldiers_go_elsewhere(network: Network, name: str) -> None:
    assert not network.lets(WHO[name], Pod({}, ELSEWHERE), 8080)
    assert network.lets(SOLDIER, Pod({}, ELSEWHERE), 8080), "their handlers' work is there"


def test_soldiers_can_be_kept_in() -> None:
    network = Network(helm.objects("--set-json", "networkPolicy.soldiersTo=[]"))
    assert not network.lets(SOLDIER, Pod({}, ELSEWHERE), 443)
    assert network.lets(SOLDIER, WHO["rabbitmq"], 5672)


def test_the_api_can_be_kept_from_strangers() -> None:
    chosen = '[{"podSelector": {"matchLabels": {"team": "shop"}}}]'
    options = ("--set", "networkPolicy.apiFromEverywhere=false", "--set-json", f"networkPolicy.apiFrom={chosen}")
    network = Network(helm.objects(*options))
    assert not network.lets(STRANGER, WHO["commander"], 8484)
    assert network.lets(Pod({"team": "shop"}), WHO["commander"], 8484)
    assert network.lets(SOLDIER, WHO["commander"], 8484)


def test_servers_of_ones_own_are_reached() -> None:
    external = Network(helm.objects(values=[helm.EXAMPLES / "external-values.yaml"]))
    assert external.lets(WHO["commander"], Pod({}, ELSEWHERE), 5671)
    assert not external.lets(WHO["commander"], Pod({}, METADATA), 80)


def test_they_can_be_left_out() -> None:
    kinds = {one["kind"] for one in helm.objects("--set", "networkPolicy.enabled=false")}
    assert "NetworkPolicy" not in kinds


# Several namespaces


@pytest.fixture(scope="module")
def several() -> Network:
    options = ("--set=namespaces={team-a,team-b}", "--set=networkPolicy.apiFromEverywhere=false")
    return Network(helm.objects(*options, "--set-json=networkPolicy.soldiersTo=[]"))


@pytest.mark.parametrize("namespace", ["team-a", "team-b"])
def test_soldiers_of_served_namespaces_reach_what_they_use_and_nothing_else(several: Network, namespace: str) -> None:
    soldier = SOLDIER._replace(namespace=namespace)
    ports = (22, 4369, 5672, 6379, 8484, 15672, 25672)
    open_ways = {(name, port) for name in WHO for port in ports if several.lets(soldier, WHO[name], port)}
    strangers = {(name, port) for name, port in open_ways if name in {"stranger", "soldier"}}
    assert open_ways - strangers == {("commander", 8484), ("rabbitmq", 5672)}


@pytest.mark.parametrize("namespace", ["team-c", helm.NAMESPACE])
def test_who_looks_like_a_soldier_in_another_namespace_reaches_nothing(several: Network, namespace: str) -> None:
    pretender = SOLDIER._replace(namespace=namespace)
    for name, port in (("commander", 8484), ("rabbitmq", 5672), ("redis", 6379), ("rabbitmq", 15672)):
        assert not several.lets(pretender, WHO[name], port)


@pytest.mark.parametrize("name", ["operator", "commander"])
def test_who_looks_like_the_control_plane_in_a_served_namespace_reaches_nothing(several: Network, name: str) -> None:
    pretender = WHO[name]._replace(namespace="team-a")
    for target, port in (("commander", 8484), ("rabbitmq", 5672), ("redis", 6379), ("rabbitmq", 15672)):
        assert not several.lets(pretender, WHO[target], port)


def test_a_soldier_of_one_team_reaches_none_of_another(several: Network) -> None:
    assert not several.lets(SOLDIER._replace(namespace="team-a"), SOLDIER._replace(namespace="team-b"), 8484)


# TLS


def test_with_tls_the_ports_that_speak_it_are_open_and_the_others_are_not() -> None:
    network = Network(helm.objects("--set=tls.enabled=true"))
    secured = {("rabbitmq", 5672): ("rabbitmq", 5671), ("rabbitmq", 15672): ("rabbitmq", 15671)}
    for source, target, port in USED:
        assert network.lets(WHO[source], WHO[target], secured.get((target, port), (target, port))[1])
    for target, port in secured:
        assert not network.lets(WHO["commander"], WHO[target], port)
