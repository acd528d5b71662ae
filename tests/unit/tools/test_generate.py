"""How models become what the API server takes; what it makes of them is in tests/integration/test_resources.py."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
import yaml
from pydantic import AwareDatetime, BaseModel, Field
from tools.generate import __main__ as command
from tools.generate.crds import definition
from tools.generate.errors import GenerateError
from tools.generate.files import generated
from tools.generate.structural import structural

from mission_contracts.names import DNS_LABEL_PATTERN, SENTENCES
from mission_contracts.resources import MISSION, SOLDIER_POOL, Rule

Text = Annotated[str, Field(max_length=10)]


class Colour(StrEnum):
    """Its docstring."""

    RED = "red"


class Inner(BaseModel):
    """Its docstring too."""

    size: int = 3


class Sample(BaseModel):
    """One of each."""

    text: Text
    maybe: Text | None = None
    colour: Colour = Field(default=Colour.RED, description="Its description.")
    above: Annotated[float, Field(gt=0, lt=5)] = 1
    at: AwareDatetime | None = None
    inner: Inner = Field(default_factory=Inner, description="The field's.")
    optional_inner: Inner | None = None
    label: Annotated[str, Field(pattern=DNS_LABEL_PATTERN, max_length=63)] = "a"
    other: Annotated[str, Field(pattern="^a$", max_length=1)] = "a"
    strings: Annotated[dict[str, Text], Field(max_length=2)] | None = None
    items: Annotated[tuple[Inner, ...], Field(max_length=4)] = ()
    payload: dict[str, Any]
    result: Any = None


@pytest.fixture(scope="module")
def properties() -> dict[str, Any]:
    schema: dict[str, Any] = structural(Sample)["properties"]
    return schema


@pytest.mark.parametrize(
    ("field", "becomes"),
    [
        ("text", {"type": "string", "maxLength": 10}),
        ("maybe", {"type": "string", "maxLength": 10}),
        ("colour", {"description": "Its description.", "type": "string", "enum": ["red"], "default": "red"}),
        (
            "above",
            {
                "type": "number",
                "default": 1,
                "minimum": 0,
                "exclusiveMinimum": True,
                "maximum": 5,
                "exclusiveMaximum": True,
            },
        ),
        ("at", {"type": "string", "format": "date-time"}),
        ("other", {"type": "string", "default": "a", "maxLength": 1, "pattern": "^a$"}),
        (
            "strings",
            {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "string", "maxLength": 10}},
        ),
        ("payload", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        ("result", {"x-kubernetes-preserve-unknown-fields": True}),
    ],
)
def test_a_field_becomes(properties: dict[str, Any], field: str, becomes: dict[str, Any]) -> None:
    assert properties[field] == becomes


def test_only_what_has_no_default_is_required() -> None:
    assert structural(Sample)["required"] == ["text", "payload"]


def test_an_object_whose_fields_all_have_defaults_is_itself_defaulted(properties: dict[str, Any]) -> None:
    assert properties["inner"]["default"] == {}
    assert properties["inner"]["description"] == "The field's."


def test_an_optional_object_is_not_defaulted(properties: dict[str, Any]) -> None:
    assert "default" not in properties["optional_inner"]


def test_an_empty_list_is_no_default(properties: dict[str, Any]) -> None:
    assert "default" not in properties["items"]
    assert properties["items"]["items"]["properties"]["size"] == {"type": "integer", "default": 3}


def test_a_pattern_with_a_sentence_becomes_a_rule_that_says_it(properties: dict[str, Any]) -> None:
    assert "pattern" not in properties["label"]
    assert properties["label"]["x-kubernetes-validations"] == [
        {"rule": f"self.matches(r'{DNS_LABEL_PATTERN}')", "message": SENTENCES[DNS_LABEL_PATTERN]}
    ]


class OpenText(BaseModel):
    """Without a bound."""

    text: str


class OpenList(BaseModel):
    """Without a bound."""

    items: tuple[int, ...]


class OpenMap(BaseModel):
    """Without a bound."""

    map: dict[str, int]


class Union(BaseModel):
    """Which no structural schema can say."""

    either: Annotated[int | bool, Field()]


class Multiple(BaseModel):
    """With a keyword that nobody has translated."""

    number: Annotated[int, Field(multiple_of=2)]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (OpenText, "OpenText.text: a text needs max_length"),
        (OpenList, "OpenList.items: a list needs max_length"),
        (OpenMap, "OpenMap.map: a map needs max_length"),
        (Union, "Union.either: a structural schema needs one type"),
        (Multiple, "Multiple.number: no translation for multipleOf"),
    ],
)
def test_what_the_api_server_would_refuse_is_named_by_its_path(model: type[BaseModel], says: str) -> None:
    with pytest.raises(GenerateError, match=says):
        structural(model)


def test_a_rule_about_a_field_that_does_not_exist_is_refused() -> None:
    astray = Rule(at=("spec", "colour"), holds="self != ''", message="must be said")
    with pytest.raises(GenerateError, match=r"spec\.colour, which does not exist"):
        definition(msgspec.structs.replace(MISSION, rules=(astray,)))


@pytest.mark.parametrize("resource", [MISSION, SOLDIER_POOL], ids=lambda resource: resource.kind)
def test_every_rule_has_a_sentence(resource: Any) -> None:
    assert all(rule.message for rule in resource.rules)


class TestTheCommand:
    def test_what_it_writes_it_finds_up_to_date(self, tmp_path: Path) -> None:
        assert command.main(["--root", str(tmp_path)]) == 0
        assert command.main(["--root", str(tmp_path), "--check"]) == 0

    def test_a_changed_file_is_named_with_the_command_to_run(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        command.main(["--root", str(tmp_path)])
        changed = tmp_path / "manifests/crds/missions.missioncontrol.dev.yaml"
        changed.write_text(changed.read_text() + "\n")
        capsys.readouterr()
        assert command.main(["--root", str(tmp_path), "--check"]) == 1
        assert capsys.readouterr().err == (
            "manifests/crds/missions.missioncontrol.dev.yaml is out of date: "
            "run `python -m tools.generate` and commit the result\n"
        )

    def test_a_missing_file_is_named_too(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main(["--root", str(tmp_path), "--check"]) == 1
        assert len(capsys.readouterr().err.splitlines()) == len(generated())

    def test_this_repository_is_up_to_date(self) -> None:
        assert command.main(["--check"]) == 0

    def test_every_file_says_that_it_is_generated(self) -> None:
        assert all("do not edit" in text.splitlines()[0] for text in generated().values())

    def test_every_manifest_is_yaml_without_anchors(self) -> None:
        for path, text in generated().items():
            if path.suffix == ".yaml" and "templates" not in path.parts:
                assert list(yaml.safe_load_all(text))
                assert "&id" not in text
