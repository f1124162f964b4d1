"""A Chromium that opens a page, notes all that the page asks for, and lets axe-core look at it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Page, sync_playwright

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
WIDE, NARROW = 1440, 390
HEIGHT = 900
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
AXE = Path(__file__).parents[2] / ".tools" / "checks" / "node_modules" / "axe-core" / "axe.min.js"
_FOUND = """async options => (await axe.run(document, {resultTypes: ['violations'], ...options}))
    .violations.map(one => ({
    rule: one.id, impact: one.impact, of: one.nodes.length, why: one.nodes[0].failureSummary,
    where: one.nodes.slice(0, 3).map(node => node.target.join(' '))}))"""
_STICKS_OUT = """() => document.documentElement.scrollWidth <= innerWidth ? [] :
    [...document.querySelectorAll('body *')].filter(one => !one.closest('.scroll, pre, .tail')
    && one.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map(one => one.outerHTML.slice(0, 120))
    || ['?']"""


@dataclass(frozen=True, slots=True)
class Opened:
    """A page that is open, and every address that was asked for since."""

    page: Page
    asked: list[str]

    def size(self, width: int) -> None:
        self.page.set_viewport_size({"width": width, "height": HEIGHT})

    def unfold(self) -> None:
        """Open all that is folded."""
        self.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")

    @property
    def height(self) -> int:
        return int(self.page.evaluate("document.documentElement.scrollHeight"))

    @property
    def overflowing(self) -> list[str]:
        """What sticks out to the right of the page, where the page can be scrolled sideways at all."""
        found: list[str] = self.page.evaluate(_STICKS_OUT)
        return found

    def faults(self, only: str | None = None, but: str | None = None) -> list[dict[str, Any]]:
        """What axe-core finds wrong: by one rule, by all but one, or by all; of every impact but minor."""
        self.page.add_script_tag(content=AXE.read_text(encoding="utf-8"))
        options: dict[str, Any] = {"runOnly": [only]} if only else {}
        options |= {"rules": {but: {"enabled": False}}} if but else {}
        found: list[dict[str, Any]] = self.page.evaluate(_FOUND, options)
        return [one for one in found if one["impact"] != "minor"]


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def opened(browser: Browser, path: Path, scheme: Scheme = "light", width: int = WIDE) -> Iterator[Opened]:
    """The page at `path`, without motion and without a network; closed at the end."""
    asked: list[str] = []
    context = browser.new_context(
        viewport={"width": width, "height": HEIGHT},
        color_scheme=scheme,
        reduced_motion="reduce",
        offline=True,
    )
    try:
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.resolve().as_uri())
        yield Opened(page, asked)
    finally:
        context.close()
