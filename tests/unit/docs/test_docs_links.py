"""Every link in every Markdown file leads somewhere: to a file of this repository, and to a heading in it."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.snippets import ROOT

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")


def pages() -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout
    return sorted(ROOT / name for name in listed.split())


def links_of(text: str) -> Iterator[str]:
    for found in LINK.finditer(CODE.sub("", FENCE.sub("", text))):
        yield found.group(1) or found.group(2)


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def why_broken(page: Path, link: str) -> str | None:
    if re.match(r"(https?|mailto):", link):
        return None
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return f"there is no {target.relative_to(ROOT)}"
    if anchor and anchor not in anchors_of(target):
        return f"{target.relative_to(ROOT)} has no heading #{anchor}"
    return None


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = {link: why for link in links_of(page.read_text()) if (why := why_broken(page, link))}
    assert broken == {}


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = ROOT / "README.md"
    assert why_broken(page, "docs/nowhere.md") == "there is no docs/nowhere.md"
    assert why_broken(page, "#no-such-heading") == "README.md has no heading #no-such-heading"
    assert list(links_of("[a](b.md) `[c](d.md)` ![e](f.svg)\n```\n[g](h.md)\n```\n")) == ["b.md", "f.svg"]
