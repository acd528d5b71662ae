"""The check by schemas finds what it is there to find, and finds nothing in what we ship."""

import pytest
from tools.charts import __main__ as command
from tools.charts import base, conformity, helm


def test_what_we_ship_conforms(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("planted", "instead_of", "says"),
    [
        pytest.param(
            "readOnlyRootFileSystem", "readOnlyRootFilesystem", "readOnlyRootFileSystem", id="a field that is misspelt"
        ),
        pytest.param('replicas: "1"', "replicas: 1", "got string, want integer", id="a word for a number"),
        pytest.param(
            "kind: Deploymint", "kind: Deployment", "could not find schema for Deploymint", id="an unknown kind"
        ),
    ],
)
def test_it_finds(planted: str, instead_of: str, says: str) -> None:
    with pytest.raises(conformity.NotConformingError) as found:
        conformity.demand(helm.rendered().replace(instead_of, planted))
    assert says in str(found.value)


def test_it_finds_a_field_that_our_crd_does_not_have() -> None:
    refused = conformity.MANIFESTS / "samples" / "refused-by-the-api-server" / "unknown-field.yaml"
    with pytest.raises(conformity.NotConformingError, match="additional properties 'retries' not allowed"):
        conformity.demand(refused.read_text())


def test_a_base_that_is_not_what_the_chart_renders_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    path, text = next(iter(base.files().items()))
    monkeypatch.setattr(base, "files", lambda: {path: text + "# changed\n"})
    assert base.outdated() == {path: text + "# changed\n"}
