"""TLS as the chart renders it: who has a certificate, who is told of the authority, and that no plain port is left."""

import base64
import json
from typing import Final

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store
from tools.charts import conformity, helm

Manifest = helm.Manifest

ON: Final = "--set=tls.enabled=true"
SERVERS: Final = ("commander", "rabbitmq", "redis")
AUTHORITY: Final = "/etc/mission-control/authority/ca.crt"


@pytest.fixture(scope="module")
def generated() -> list[Manifest]:
    return helm.objects(ON, "--set=namespaces={team-a,team-b}")


def one(objects: list[Manifest], kind: str, name: str) -> Manifest:
    [found] = [
        each for each in objects if each["kind"] == kind and each["metadata"]["name"] == f"mission-control-{name}"
    ]
    return found


def environment(workload: Manifest) -> dict[str, object]:
    [container] = workload["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


def authority(objects: list[Manifest]) -> x509.Certificate:
    """That of the release's own namespace; every one must be told the same."""
    told = [
        each["data"]["ca.crt"]
        for each in objects
        if each["metadata"]["name"] == "mission-control-authority" and each["kind"] == "ConfigMap"
    ]
    assert len(set(told)) == 1
    return x509.load_pem_x509_certificate(told[0].encode())


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("name", ["mission-control-{}", "mission-control-{}.missions.svc", "localhost"])
def test_each_server_has_a_certificate_of_the_authority_for_its_names(
    generated: list[Manifest], server: str, name: str
) -> None:
    data = one(generated, "Secret", f"{server}-tls")["data"]
    certificate = x509.load_pem_x509_certificate(base64.b64decode(data["tls.crt"]))
    verifier = (
        PolicyBuilder().store(Store([authority(generated)])).build_server_verifier(x509.DNSName(name.format(server)))
    )
    assert verifier.verify(certificate, [])


def test_every_namespace_is_told_of_the_authority_and_none_of_its_key(generated: list[Manifest]) -> None:
    told = [each for each in generated if each["metadata"]["name"] == "mission-control-authority"]
    assert {(each["kind"], each["metadata"].get("namespace")) for each in told} == {
        ("ConfigMap", None), ("ConfigMap", "team-a"), ("ConfigMap", "team-b"), ("Secret", None),
    }  # fmt: skip
    for each in generated:
        if each["kind"] == "ConfigMap":
            assert "PRIVATE KEY" not in json.dumps(each)


def test_clients_are_told_of_encrypted_addresses_and_of_the_authority(generated: list[Manifest]) -> None:
    keys = one(generated, "Secret", "keys")["data"]
    assert base64.b64decode(keys["rabbitmq-urls"]).startswith(b"amqps://")
    assert base64.b64decode(keys["rabbitmq-urls"]).endswith(b"@mission-control-rabbitmq.missions.svc:5671/")
    assert base64.b64decode(keys["redis-url"]).startswith(b"rediss://")
    commander = environment(one(generated, "Deployment", "commander"))
    assert str(commander["COMMANDER_RABBITMQ_MANAGEMENT_URL"]).startswith("https://")
    assert commander["COMMANDER_AUTHORITY_FILE"] == AUTHORITY
    operator = environment(one(generated, "Deployment", "operator-team-a"))
    assert operator["OPERATOR_COMMANDER_URL"] == "https://mission-control-commander.missions.svc:8484"
    assert operator["OPERATOR_AUTHORITY_FILE"] == AUTHORITY
    assert operator["OPERATOR_SOLDIER_AUTHORITY_CONFIG_MAP"] == "mission-control-authority"


def test_every_file_that_is_named_is_mounted(generated: list[Manifest]) -> None:
    for name in ("commander", "operator-team-a"):
        pod = one(generated, "Deployment", name)["spec"]["template"]["spec"]
        [container] = pod["containers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert set(mounts.values()) == {volume["name"] for volume in pod["volumes"]}
        named = [
            str(value)
            for value in environment({"spec": {"template": {"spec": pod}}}).values()
            if str(value).startswith("/etc/")
        ]
        assert named
        for file in named:
            assert any(file.startswith(f"{folder}/") for folder in mounts), file


def test_the_servers_listen_with_tls_only(generated: list[Manifest]) -> None:
    redis = one(generated, "ConfigMap", "redis")["data"]["redis.conf"].splitlines()
    assert {"port 0", "tls-port 6379"} <= set(redis)
    rabbitmq = one(generated, "ConfigMap", "rabbitmq")["data"]["rabbitmq.conf"]
    assert "listeners.tcp = none" in rabbitmq
    assert "listeners.tcp.default" not in rabbitmq
    probes = json.dumps(one(generated, "Deployment", "commander"))
    assert probes.count('"scheme": "HTTPS"') == 3


def test_cert_manager_makes_the_certificates_where_it_is_asked_to(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("authority") / "ca.crt"
    file.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    objects = helm.objects(
        ON, "--set=tls.certificates=CertManager,tls.issuer.name=company", f"--set-file=tls.authority={file}"
    )
    made = {each["spec"]["secretName"]: each["spec"] for each in objects if each["kind"] == "Certificate"}
    assert set(made) == {f"mission-control-{server}-tls" for server in SERVERS}
    for spec in made.values():
        assert spec["issuerRef"] == {"name": "company", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    assert not any(each["kind"] == "Secret" and each["type"] == "kubernetes.io/tls" for each in objects)


def test_external_servers_get_no_certificate() -> None:
    objects = helm.objects(ON, values=[helm.EXAMPLES / "external-values.yaml"])
    secrets = [
        each["metadata"]["name"] for each in objects if each["kind"] == "Secret" and each["type"] == "kubernetes.io/tls"
    ]
    assert sorted(secrets) == ["mission-control-authority", "mission-control-commander-tls"]


def test_without_tls_nothing_of_it_is_there() -> None:
    rendered = helm.rendered()
    assert "mission-control-authority" not in rendered
    assert "kubernetes.io/tls" not in rendered
    assert "/etc/mission-control/tls" not in rendered


def test_what_is_rendered_conforms() -> None:
    conformity.demand(helm.rendered(ON, "--set=namespaces={team-a,team-b}"))
