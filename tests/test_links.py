"""Every relative link and picture of every page of the project leads somewhere, its anchor included."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MADE = {"results"}  # by runs, and ignored by git
PART = Path("deploy/monitoring/introduction.md")  # of deploy/guides/metrics.md
LINK = re.compile(r"\]\(([^()\s]+)\)")
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`|^ {4}(?![-*|\d])[^\n]*", re.M | re.S)


def pages() -> list[Path]:
    rooms = [one for one in ROOT.iterdir() if one.is_dir() and one.name not in MADE]
    rooms = [one for one in rooms if not one.name.startswith(".") or one.name == ".github"]
    found = [*ROOT.glob("*.md"), *(path for room in rooms for path in room.rglob("*.md"))]
    return sorted({path.relative_to(ROOT) for path in found} - {PART})


def links(text: str) -> list[str]:
    """Relative ones, outside of code; a picture that is a link is two."""
    return [one for one in LINK.findall(CODE.sub("", text)) if not re.match(r"[a-z]+:", one)]


@cache
def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings: no punctuation but hyphens, a number where a heading comes again."""
    found: set[str] = set()
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    for title in re.findall(r"^#+ +(.+?) *$", prose, re.M):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w -]", "", words).replace(" ", "-")
        again = sum(one == slug or re.fullmatch(rf"{re.escape(slug)}-\d+", one) is not None for one in found)
        found.add(f"{slug}-{again}" if again else slug)
    return found


def dead(page: Path) -> list[str]:
    lost = []
    for link in links(page.read_text()):
        path, _, anchor = link.partition("#")
        there = page.parent / path if path else page
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            lost.append(link)
    return lost


@pytest.mark.parametrize("page", pages(), ids=str)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert dead(ROOT / page) == []


def test_a_dead_link_and_a_dead_anchor_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A `b`, c\n## A `b`, c\n")
    text = "# Here\n[a](other.md#a-b-c) [b](other.md#a-b-c-1) [c](#here) [d](https://example.com)\n"
    text += "[e](gone.md) [f](other.md#gone) ![g](gone.png) `[h](code.md)`\n"
    (tmp_path / "page.md").write_text(text)
    assert dead(tmp_path / "page.md") == ["gone.md", "other.md#gone", "gone.png"]
    assert {Path("README.md"), Path(".github/CONTRIBUTING.md"), Path("reports/README.md")} <= set(pages())
