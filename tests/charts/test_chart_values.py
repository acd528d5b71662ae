"""What the chart refuses, and with which words; what it takes."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tools.charts import helm

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
REFUSED = [
    pytest.param(
        {"comander": {"replicas": 2}}, "additional properties 'comander' not allowed", id="a misspelt section"
    ),
    pytest.param({"commander": {"replica": 2}}, "additional properties 'replica' not allowed", id="a misspelt value"),
    pytest.param({"commander": {"replicas": "two"}}, "got string, want integer", id="a word for a number"),
    pytest.param({"commander": {"replicas": 0}}, "minimum: got 0, want 1", id="no Commander at all"),
    pytest.param({"image": {"pullPolicy": "Sometimes"}}, "value must be one of 'Always'", id="an unknown pull policy"),
    pytest.param({"operator": {"image": {"digest": "latest"}}}, "does not match pattern", id="a digest that is none"),
    pytest.param({"commander": {"leaseSeconds": 9000}}, "maximum: got 9,000, want 300", id="a setting's own bound"),
    pytest.param({"defaultPool": {"name": "Default"}}, "does not match pattern", id="a pool that no mission can name"),
    pytest.param(
        {"defaultPool": {"spec": {"maxReplica": 3}}},
        "additional properties 'maxReplica' not allowed",
        id="a misspelt field of the pool's spec",
    ),
    pytest.param(
        {"redis": {"external": {"url": "redis://elsewhere:6379/0"}}},
        "redis.external names a server while the embedded one is enabled, so one of them would stay empty: "
        "set redis.embedded.enabled=false, or leave redis.external out.",
        id="two ledgers",
    ),
    pytest.param(
        {"rabbitmq": {"embedded": {"enabled": False}}},
        "rabbitmq.embedded.enabled is false and nothing says which server to use instead: "
        "set rabbitmq.external.urls or rabbitmq.external.existingSecret.",
        id="no broker",
    ),
    pytest.param(
        {
            "redis": {
                "embedded": {"enabled": False},
                "external": {"url": "redis://elsewhere:6379/0", "existingSecret": "ledger"},
            }
        },
        "redis.external has both url and existingSecret, and only one can be right: leave one of them out.",
        id="an address twice",
    ),
    pytest.param(
        {
            "secrets": {"existingSecret": "vault"},
            "rabbitmq": {"embedded": {"enabled": False}, "external": {"urls": ["amqp://elsewhere:5672/"]}},
        },
        "secrets.existingSecret holds the addresses too, so rabbitmq.external.urls would be ignored: put it into that "
        "Secret, or into one of its own that rabbitmq.external.existingSecret names.",
        id="an address that nobody would read",
    ),
    pytest.param(
        {"rabbitmq": {"external": {"managementUrl": "http://elsewhere:15672"}}},
        "rabbitmq.external.managementUrl and managementUrlInSecret speak of another RabbitMQ than the embedded one, "
        "which needs neither: leave them out, or set rabbitmq.embedded.enabled=false.",
        id="the management API of another broker",
    ),
    pytest.param(
        {
            "rabbitmq": {
                "embedded": {"enabled": False},
                "external": {"existingSecret": "broker", "managementUrl": "http://elsewhere:15672"},
            }
        },
        "rabbitmq.external.managementUrl would be ignored, because a Secret of yours holds the addresses: put it there "
        "under the key rabbitmq-management-url, and set rabbitmq.external.managementUrlInSecret=true.",
        id="a management API that nobody would read",
    ),
    pytest.param(
        {"commander": {"heartbeatSeconds": 2, "leaseSeconds": 6}},
        "commander.leaseSeconds (6) is less than four times commander.heartbeatSeconds (2), so one lost heartbeat "
        "could make a mission run twice: raise the one or lower the other.",
        id="a lease that one lost heartbeat ends",
    ),
    pytest.param(
        {"commander": {"replicas": 3, "podDisruptionBudget": {"minAvailable": 1, "maxUnavailable": 1}}},
        "commander.podDisruptionBudget has both minAvailable and maxUnavailable, and Kubernetes takes only one: "
        "leave one of them out.",
        id="a budget said twice",
    ),
    pytest.param(
        {"operator": {"podDisruptionBudget": {"enabled": True}}},
        "operator.podDisruptionBudget keeps 1 of 1 replicas, so no node that runs one could ever be drained: "
        "raise operator.replicas, or set maxUnavailable.",
        id="a budget that stops every drain",
    ),
    pytest.param(
        {"namespaces": ["team-a"], "identity": {"serviceAccounts": False}},
        "soldiers there could not read its Secret, which identity.serviceAccounts=false makes them log in with",
        id="client secrets for soldiers of another namespace",
    ),
    pytest.param(
        {"namespaces": ["team-a"], "rabbitmq": {"embedded": {"plugins": []}}},
        "soldiers there could not read its Secret, which tells them where RabbitMQ is",
        id="the broker's Secret for soldiers of another namespace",
    ),
    pytest.param(
        {"tls": {"enabled": True, "certificates": "CertManager", "authority": PEM}},
        "set tls.issuer.name",
        id="cert-manager without an issuer",
    ),
    pytest.param(
        {"tls": {"enabled": True, "certificates": "Secret"}},
        "tls.certificates is Secret and nothing says which authority signs, so no client could believe the servers",
        id="certificates of an authority that nobody is told of",
    ),
    pytest.param(
        {"tls": {"enabled": True, "authority": PEM}},
        "tls.authority would be ignored, because tls.certificates is Generated",
        id="an authority beside the generated one",
    ),
    pytest.param({"tls": {"authority": "a password"}}, "tls", id="an authority that is no certificate"),
    pytest.param(
        {"image": {"requireDigests": True}},
        "image.requireDigests is true and commander.image has none",
        id="a tag where digests are required",
    ),
    pytest.param(
        {
            "image": {"requireDigests": True},
            **{name: {"image": {"digest": f"sha256:{'0' * 64}"}} for name in ("operator", "commander", "soldier")},
        },
        "image.requireDigests is true and rabbitmq.embedded.image has none",
        id="a tag of an embedded server where digests are required",
    ),
    pytest.param({"namespaces": ["Team A"]}, "namespaces", id="what is no namespace"),
    pytest.param({"namespaces": ["team-a", "team-a"]}, "namespaces", id="a namespace twice"),
]


@pytest.mark.parametrize(("values", "sentence"), REFUSED)
def test_it_refuses(values: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(helm.RefusedError) as refusal:
        helm.rendered(values=[file])
    assert sentence in str(refusal.value)


@pytest.mark.parametrize("file", helm.examples(), ids=lambda file: file.name)
def test_it_takes_its_own_examples(file: Path) -> None:
    helm.lint([file])
    assert helm.objects(values=[file])
