"""What the chart installs: restricted pods, settings that exist, the same keys again and again."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr
from tools.charts import conformity, helm
from tools.generate.crds import definition

from mission_commander.settings import CommanderSettings
from mission_contracts.mission import Priority
from mission_contracts.resources import MISSION, SOLDIER_POOL
from mission_contracts.topology import CONSUMER_TIMEOUT_MS
from mission_operator.pools.default import read
from mission_operator.settings import OperatorSettings

Manifest = helm.Manifest

EVERY_EXAMPLE = [pytest.param((), id="by default")] + [pytest.param((file,), id=file.name) for file in helm.examples()]
RESTRICTED_VOLUMES = {"configMap", "emptyDir", "projected"}


@pytest.fixture(scope="module")
def by_default() -> list[Manifest]:
    return helm.objects()


def one(objects: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (
        each for each in objects if each["kind"] == kind and each["metadata"]["name"] == f"mission-control-{name}"
    )
    return found


def pods(objects: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    for each in objects:
        if each["kind"] == "Pod":
            yield each["metadata"]["name"], each["spec"]
        elif "template" in each.get("spec", {}):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]


def environment(workload: Manifest) -> dict[str, Any]:
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


@pytest.mark.parametrize("values", EVERY_EXAMPLE)
def test_every_pod_is_restricted(values: tuple[Path, ...]) -> None:
    for name, pod in pods(helm.objects(values=values)):
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] in {65532, 999}, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert {kind for volume in pod.get("volumes", ()) for kind in volume} - {"name"} <= RESTRICTED_VOLUMES, name
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name


def test_only_who_talks_to_the_cluster_has_a_token(by_default: list[Manifest]) -> None:
    with_token = {
        name
        for name, pod in pods(by_default)
        if any(
            "serviceAccountToken" in source
            for v in pod.get("volumes", ())
            for source in v.get("projected", {}).get("sources", ())
        )
    }
    parts = ("operator", "commander", "test", "leaving")
    assert with_token == {f"mission-control-{part}" for part in parts}
    assert all(pod["automountServiceAccountToken"] is False for _, pod in pods(by_default))
    accounts = [each for each in by_default if each["kind"] == "ServiceAccount"]
    assert all(account["automountServiceAccountToken"] is False for account in accounts)


def test_every_container_says_what_it_needs(by_default: list[Manifest]) -> None:
    for name, pod in pods(by_default):
        for container in pod["containers"]:
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert "memory" in container["resources"]["limits"], name


def test_no_probe_starts_a_process(by_default: list[Manifest]) -> None:
    probes = [
        container[probe]
        for _, pod in pods(by_default)
        for container in pod["containers"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        if probe in container
    ]
    assert probes
    assert [probe for probe in probes if "exec" in probe] == []


@pytest.mark.parametrize(
    ("component", "prefix", "settings"),
    [("commander", "COMMANDER_", CommanderSettings), ("operator", "OPERATOR_", OperatorSettings)],
)
def test_every_setting_exists(by_default: list[Manifest], component: str, prefix: str, settings: Any) -> None:
    given = environment(one(by_default, "Deployment", component))
    names = {name.removeprefix(prefix).lower() for name in given if name.startswith(prefix)}
    assert names <= set(settings.model_fields)


def test_the_commander_can_read_its_settings(by_default: list[Manifest], monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kubelet would: with the Secret's keys and the variables that refer to others put in."""
    keys = {name: base64.b64decode(value).decode() for name, value in one(by_default, "Secret", "keys")["data"].items()}
    variables: dict[str, str] = {}
    for name, value in environment(one(by_default, "Deployment", "commander")).items():
        text = _given(value, keys)
        for known, content in variables.items():
            text = text.replace(f"$({known})", content)
        variables[name] = text
        monkeypatch.setenv(name, text)
    read_back = CommanderSettings()
    assert read_back.install_key.get_secret_value() == keys["install-key"]
    assert {name: client.role.value for name, client in read_back.clients.items()} == {
        "operator": "operator",
        "soldier": "soldier",
        "user": "user",
    }
    assert read_back.clients["soldier"].secret.get_secret_value() == keys["client-secret"]
    assert read_back.rabbitmq_urls == [keys["rabbitmq-urls"]]
    assert read_back.redis_url == keys["redis-url"]


def _given(value: Any, keys: dict[str, str]) -> str:
    if isinstance(value, str):
        return value
    return keys[value["secretKeyRef"]["key"]] if "secretKeyRef" in value else "missions"


def test_a_prometheus_finds_the_commanders_metrics_unless_it_is_told_not_to(by_default: list[Manifest]) -> None:
    template = one(by_default, "Deployment", "commander")["spec"]["template"]
    [port] = template["spec"]["containers"][0]["ports"]
    where = {"scrape": "true", "port": str(port["containerPort"]), "path": "/metrics"}
    told = template["metadata"]["annotations"].items()
    assert {name: value for name, value in told if "prometheus" in name} == {
        f"prometheus.io/{name}": value for name, value in where.items()
    }
    silent = one(helm.objects("--set=commander.metrics.annotations=false"), "Deployment", "commander")
    assert "prometheus.io" not in json.dumps(silent)


def test_the_operator_can_read_the_default_pool(by_default: list[Manifest], tmp_path: Path) -> None:
    file = tmp_path / "soldierpool.json"
    file.write_text(one(by_default, "ConfigMap", "default-pool")["data"]["soldierpool.json"])
    assert read(file)["metadata"]["name"] == "default"
    conformity.demand(file.read_text())


def test_rabbitmq_lets_an_order_wait_as_long_as_its_queue_does(by_default: list[Manifest]) -> None:
    configuration = one(by_default, "ConfigMap", "rabbitmq")["data"]["rabbitmq.conf"]
    assert f"consumer_timeout = {CONSUMER_TIMEOUT_MS}\n" in configuration


def test_redis_is_as_durable_as_the_commander_asks(by_default: list[Manifest]) -> None:
    configuration = one(by_default, "ConfigMap", "redis")["data"]["redis.conf"].splitlines()
    assert {"appendonly yes", "appendfsync always", "maxmemory-policy noeviction"} <= set(configuration)


def test_a_new_chart_alone_restarts_neither_rabbitmq_nor_redis(by_default: list[Manifest]) -> None:
    for name in ("rabbitmq", "redis"):
        metadata = one(by_default, "StatefulSet", name)["spec"]["template"]["metadata"]
        assert "0.1.0" not in json.dumps(metadata), name


def test_the_crds_are_those_of_the_contracts(by_default: list[Manifest]) -> None:
    installed = {each["metadata"]["name"]: each for each in by_default if each["kind"] == "CustomResourceDefinition"}
    for resource in (MISSION, SOLDIER_POOL):
        crd = installed[resource.full_name]
        assert crd["spec"] == yaml.safe_load(json.dumps(definition(resource)["spec"]))
        assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_crds_that_another_release_brings_are_left_out() -> None:
    clusterwide = {"CustomResourceDefinition", "ValidatingAdmissionPolicy"}
    names = [
        one["metadata"]["name"] for one in helm.objects("--set", "crds.enabled=false") if one["kind"] in clusterwide
    ]
    assert names == [f"missions-mission-control-{one}" for one in ("pools", "deployments", "pods")], "a release's own"


def test_the_operator_and_the_api_server_are_told_the_same_of_pools() -> None:
    """Also for a name that looks like one handed to pools, and where servers and pull secrets are the user's."""
    options = (
        "--set=fullnameOverride=pool-x,pools.secrets={a,b-*},image.pullSecrets[0].name=registry",
        "--set=redis.embedded.enabled=false,redis.external.existingSecret=ledger",
    )
    objects = helm.objects(*options)
    [operator] = [
        each for each in objects if each["metadata"]["name"] == "pool-x-operator" and each["kind"] == "Deployment"
    ]
    told = environment(operator)
    assert told["OPERATOR_POOL_SECRETS"] == "a,b-*"
    assert told["OPERATOR_RESERVED_NAMES"] == "pool-x-*,data-pool-x-*,sh.helm.release.v1.*,ledger,registry"
    policies = [each for each in objects if each["kind"] == "ValidatingAdmissionPolicy" and "variables" in each["spec"]]
    assert len(policies) == 2
    for policy in policies:
        variables = {each["name"]: each["expression"] for each in policy["spec"]["variables"]}
        assert variables["allowedSecrets"] == "['a', 'b-*']"
        assert variables["reserved"] == str(told["OPERATOR_RESERVED_NAMES"].split(","))


def test_policies_can_be_left_to_the_operator() -> None:
    objects = helm.objects("--set=pools.admissionPolicies=false,crds.enabled=false")
    assert not any("ValidatingAdmissionPolicy" in each["kind"] for each in objects)


def test_crds_that_shall_go_with_the_release_are_not_kept() -> None:
    crds = [each for each in helm.objects("--set", "crds.keep=false") if each["kind"] == "CustomResourceDefinition"]
    assert [crd for crd in crds if "annotations" in crd["metadata"]] == []


def test_a_secret_of_the_users_replaces_ours() -> None:
    objects = helm.objects(values=[helm.EXAMPLES / "ha-values.yaml"])
    assert [each for each in objects if each["kind"] == "Secret"] == []
    operator = environment(one(objects, "Deployment", "operator"))
    assert operator["OPERATOR_SOLDIER_SECRET_NAME"] == "mission-control-from-the-vault"


def test_external_servers_replace_the_embedded_ones() -> None:
    objects = helm.objects(values=[helm.EXAMPLES / "external-values.yaml"])
    assert [each for each in objects if each["kind"] == "StatefulSet"] == []
    commander = environment(one(objects, "Deployment", "commander"))
    assert commander["COMMANDER_REDIS_URL"] == {"secretKeyRef": {"name": "ledger", "key": "redis-url"}}
    urls = base64.b64decode(one(objects, "Secret", "keys")["data"]["rabbitmq-urls"]).decode()
    assert [url.rpartition("@")[2] for url in urls.split(",")] == [
        "rabbitmq-0.example.com:5671/missions",
        "rabbitmq-1.example.com:5671/missions",
    ]


def test_images_come_from_where_one_says() -> None:
    digest = f"sha256:{'a' * 64}"
    chosen = ("image.registry=registry.example.com/team", "image.tag=2.0", f"commander.image.digest={digest}")
    objects = helm.objects(*(word for value in chosen for word in ("--set-string", value)))
    images = {name: pod["containers"][0]["image"] for name, pod in pods(objects)}
    assert images == {
        "mission-control-operator": "registry.example.com/team/mission-operator:2.0",
        "mission-control-commander": f"registry.example.com/team/mission-commander@{digest}",
        "mission-control-rabbitmq": "registry.example.com/team/rabbitmq:4-management",
        "mission-control-redis": "registry.example.com/team/redis:8",
        "mission-control-test": "registry.example.com/team/mission-operator:2.0",
        "mission-control-leaving": "registry.example.com/team/mission-operator:2.0",
    }


def test_placement_reaches_the_pods() -> None:
    objects = helm.objects("--set", "commander.nodeSelector.disk=fast,commander.priorityClassName=high")
    pod = one(objects, "Deployment", "commander")["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"disk": "fast"}
    assert pod["priorityClassName"] == "high"


def test_the_first_admins_password_is_a_file_and_no_variable(by_default: list[Manifest]) -> None:
    commander = one(by_default, "Deployment", "commander")
    told = environment(commander)
    pod = commander["spec"]["template"]["spec"]
    (mounted,) = [each for each in pod["containers"][0]["volumeMounts"] if each["name"] == "first-admin"]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "first-admin"]
    ((source,),) = (volume["projected"]["sources"],)
    assert told["COMMANDER_FIRST_ADMIN"] == "admin"
    assert mounted["name"] == volume["name"]
    (item,) = source["secret"]["items"]
    assert told["COMMANDER_FIRST_ADMIN_PASSWORD_FILE"] == f"{mounted['mountPath']}/{item['path']}"
    keys = one(by_default, "Secret", "keys")
    assert len(base64.b64decode(keys["data"][item["key"]])) == 48


def test_without_a_first_admin_nothing_is_mounted() -> None:
    commander = one(helm.objects("--set=commander.firstAdmin="), "Deployment", "commander")
    assert "COMMANDER_FIRST_ADMIN" not in environment(commander)
    assert "first-admin" not in {each["name"] for each in commander["spec"]["template"]["spec"]["volumes"]}


# Who has RabbitMQ's password


def variables(*options: str, values: tuple[Path, ...] = ()) -> tuple[dict[str, Any], dict[str, Any]]:
    objects = helm.objects(*options, values=values)
    return tuple(environment(one(objects, "Deployment", part)) for part in ("commander", "operator"))  # type: ignore[return-value]


def test_soldiers_hold_no_password_of_rabbitmq_where_the_commander_makes_their_users() -> None:
    commander, operator = variables()
    assert commander["COMMANDER_RABBITMQ_MANAGEMENT_URL"].endswith("@mission-control-rabbitmq:15672")
    assert operator["OPERATOR_SOLDIER_RABBITMQ_FROM"] == "Commander"
    assert "OPERATOR_SOLDIER_RABBITMQ_SECRET_NAME" not in operator


def test_without_a_management_api_soldiers_use_the_secret() -> None:
    commander, operator = variables("--set-json", "rabbitmq.embedded.plugins=[]")
    assert "COMMANDER_RABBITMQ_MANAGEMENT_URL" not in commander
    assert operator["OPERATOR_SOLDIER_RABBITMQ_SECRET_NAME"] == "mission-control-keys"


def test_a_rabbitmq_of_ones_own_gets_users_too_where_its_management_api_is_named() -> None:
    url = "https://admin:secret@rabbitmq.example.com:15671"
    options = ("--set", f"rabbitmq.external.managementUrl={url}")
    external = (helm.EXAMPLES / "external-values.yaml",)
    commander, operator = variables(*options, values=external)
    assert commander["COMMANDER_RABBITMQ_MANAGEMENT_URL"] == {
        "secretKeyRef": {"name": "mission-control-keys", "key": "rabbitmq-management-url"}
    }
    assert operator["OPERATOR_SOLDIER_RABBITMQ_FROM"] == "Commander"
    keys = one(helm.objects(*options, values=external), "Secret", "keys")["data"]
    assert base64.b64decode(keys["rabbitmq-management-url"]).decode() == url


# Who proves what with a ServiceAccount


def projected(workload: Manifest) -> list[Manifest]:
    volumes = workload["spec"]["template"]["spec"].get("volumes", ())
    sources = [source for volume in volumes for source in volume.get("projected", {}).get("sources", ())]
    return [source["serviceAccountToken"] for source in sources if "serviceAccountToken" in source]


def test_the_operator_shows_the_commander_a_token_that_opens_nothing_else(by_default: list[Manifest]) -> None:
    operator = one(by_default, "Deployment", "operator")
    told = environment(operator)
    assert "mission-control" in {source.get("audience") for source in projected(operator)}
    assert told["OPERATOR_TOKEN_FILE"].startswith("/var/run/secrets/mission-control/")
    assert told["OPERATOR_SOLDIER_IDENTITY"] == "ServiceAccount"
    assert "OPERATOR_CLIENT_SECRET" not in told


def test_the_commander_may_review_tokens_and_look_at_pods_and_no_more(by_default: list[Manifest]) -> None:
    rules = [
        (each["kind"], rule)
        for each in by_default
        if each["kind"] in {"Role", "ClusterRole"} and each["metadata"]["name"].endswith("-commander")
        for rule in each["rules"]
    ]
    assert rules == [
        ("ClusterRole", {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}),
        ("Role", {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}),
    ]


def test_without_service_accounts_nobody_needs_a_cluster_role() -> None:
    objects = helm.objects("--set", "identity.serviceAccounts=false")
    assert not [each for each in objects if each["kind"].startswith("ClusterRole")]
    assert "OPERATOR_CLIENT_SECRET" in environment(one(objects, "Deployment", "operator"))
    assert projected(one(objects, "Deployment", "commander")) == []


def test_rights_reach_the_commander_as_they_are_written() -> None:
    rights = {"shop": {"pools": ["web"], "high_priority": True}}
    given = f"--set-json=commander.rights={json.dumps(rights)}"
    commander, _ = variables(given, "--set=commander.defaultRights=shop")
    assert json.loads(commander["COMMANDER_RIGHTS"]) == rights
    told = CommanderSettings(
        install_key=SecretStr("x"), rights=json.loads(commander["COMMANDER_RIGHTS"]), default_rights="shop"
    )
    assert told.rights["shop"].rights().missing(
        namespace="any", pool="other", mission_type="noop", priority=Priority.HIGH
    ) == ("pool", "other")
    assert commander["COMMANDER_DEFAULT_RIGHTS"] == "shop"


def test_without_rights_the_commander_is_told_of_none() -> None:
    commander, _ = variables()
    assert not {"COMMANDER_RIGHTS", "COMMANDER_DEFAULT_RIGHTS"} & commander.keys()
