"""Names, as the cluster and the broker accept them."""

import re

import pytest

from mission_contracts import names


@pytest.mark.parametrize("name", ["a", "a-b", "0", "a" * 63, "a" * 31 + "-" + "b" * 31])
def test_a_dns_label(name: str) -> None:
    assert names.is_dns_label(name)


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a.b", "a" * 64, "ä", "a b"])
def test_not_a_dns_label(name: str) -> None:
    assert not names.is_dns_label(name)


@pytest.mark.parametrize(
    ("pattern", "fits", "breaks"),
    [
        pytest.param(names.TYPE_PATTERN, "shop/Resize_image.v2", "/shop", id="a mission type"),
        pytest.param(names.OBJECT_NAME_PATTERN, "a.b-c", "a..b-", id="an object's name"),
        pytest.param(names.MODULE_PATTERN, "shop.missions:soldier", "shop..missions", id="a module"),
        pytest.param(names.ENVIRONMENT_NAME_PATTERN, "A_1", "1A", id="a variable"),
    ],
)
def test_a_pattern_knows_its_own(pattern: str, fits: str, breaks: str) -> None:
    assert re.fullmatch(pattern, fits)
    assert not re.fullmatch(pattern, breaks)


def test_every_pattern_has_a_sentence_for_whoever_breaks_it() -> None:
    patterns = {value for name, value in vars(names).items() if name.endswith("_PATTERN")}
    assert patterns == set(names.SENTENCES)
