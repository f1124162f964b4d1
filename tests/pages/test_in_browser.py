"""Every page in Chromium: readable by everybody, at every width, on paper, by keyboard, without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator

from reports.model import read_report
from reports.page import write_page
from tests.pages.browser import AXE, CHROMIUM, HEIGHT, NARROW, SCHEMES, WIDE, Scheme, browser, opened
from tests.pages.edges import EDGES, build

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
needs_axe = pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed in .tools/checks")
A4_PX = 703  # 210 mm less two margins of 12 mm, at 96 dots an inch
SCREENS = 15
PageOf = Callable[[str], Path]
LIT = "one => getComputedStyle(one).outlineStyle === 'solid' && getComputedStyle(one).outlineWidth === '2px'"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> PageOf:
    """Makes each page once."""
    folder = tmp_path_factory.mktemp("pages")

    @cache
    def page(name: str) -> Path:
        path = folder / f"{name}.html"
        write_page(read_report(build(name, folder)), path)
        return path

    return page


@needs_axe
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("edge", [name for name in EDGES if name != "huge"])
def test_everybody_can_read_it(chromium: Browser, page_of: PageOf, edge: str, scheme: Scheme) -> None:
    with opened(chromium, page_of(edge), scheme) as seen:
        seen.unfold()
        # What is not of colours is the same in both schemes.
        assert seen.faults(only="color-contrast" if scheme == "dark" else None) == []


@needs_axe
def test_everybody_can_read_a_huge_one(chromium: Browser, page_of: PageOf) -> None:
    """Its colours are those of the small ones, and would take half a minute to look at."""
    with opened(chromium, page_of("huge")) as seen:
        assert seen.faults(but="color-contrast") == []


@pytest.mark.parametrize("edge", EDGES)
def test_it_is_small_asks_nobody_and_never_scrolls_sideways(
    chromium: Browser, page_of: PageOf, edge: str
) -> None:
    path = page_of(edge)
    assert path.stat().st_size < 2_000_000
    with opened(chromium, path) as seen:
        for width in (WIDE, NARROW):
            seen.size(width)
            assert seen.overflowing == []
        seen.unfold()
        assert seen.overflowing == []
        assert seen.asked == [path.resolve().as_uri()]


def test_a_huge_run_is_read_in_a_few_screens(chromium: Browser, page_of: PageOf) -> None:
    with opened(chromium, page_of("huge")) as seen:
        assert seen.height < SCREENS * HEIGHT
        assert "1,520 passed of 1,600 claims" in seen.page.locator("#claims").inner_text()


def test_the_keyboard_reaches_what_is_folded(chromium: Browser, page_of: PageOf) -> None:
    with opened(chromium, page_of("met")) as seen:
        seen.page.keyboard.press("Tab")
        skip = seen.page.locator(".skip")
        assert _focused(skip)
        box = skip.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        seen.page.keyboard.press("Enter")
        assert _focused(seen.page.locator("main"))
        fold = seen.page.locator("details.file").first
        fold.locator("summary").first.focus()
        seen.page.keyboard.press("Tab")
        seen.page.keyboard.press("Shift+Tab")
        assert fold.locator("summary").first.evaluate(LIT)
        assert not fold.locator(".tests").is_visible()
        seen.page.keyboard.press("Enter")
        assert fold.locator(".tests").is_visible()


def test_a_line_of_the_verdict_leads_to_its_objective(chromium: Browser, page_of: PageOf) -> None:
    with opened(chromium, page_of("violated")) as seen:
        seen.page.locator(".grounds a", has_text="chat.ttft").first.click()
        target = seen.page.locator(":target")
        assert "chat.ttft" in target.inner_text()
        covered = seen.page.evaluate(
            "document.querySelector(':target').getBoundingClientRect().top"
            " >= document.querySelector('nav').getBoundingClientRect().bottom - 1"
        )
        assert covered


def test_nothing_moves_where_motion_is_not_wanted(chromium: Browser, page_of: PageOf) -> None:
    with opened(chromium, page_of("met")) as seen:
        assert seen.page.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
        moving = seen.page.evaluate(
            "[...document.querySelectorAll('*')].filter(one => getComputedStyle(one).animationName !== 'none'"
            " || parseFloat(getComputedStyle(one).transitionDuration) > 0).length"
        )
        assert moving == 0


@pytest.mark.parametrize("edge", ["met", "violated", "gate-with-gaps"])
def test_on_paper_nothing_is_cut_off_and_what_failed_is_unfolded(
    chromium: Browser, page_of: PageOf, edge: str
) -> None:
    with opened(chromium, page_of(edge), "dark", A4_PX) as seen:
        seen.page.emulate_media(media="print")
        cut = seen.page.evaluate(
            "[...document.querySelectorAll('table, svg, pre, figure')].filter(one => one.checkVisibility()"
            " && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 160))"
        )
        assert cut == []
        assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not seen.page.locator("nav").is_visible()
        failures = seen.page.locator("#claims table.claims pre")
        assert [one.is_visible() for one in failures.all()] == [True] * (edge == "violated")
        assert not any(one.is_visible() for one in seen.page.locator("details.file .tests").all())


def _focused(one: Locator) -> bool:
    return bool(one.evaluate("one => one === document.activeElement"))
