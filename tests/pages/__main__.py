"""`python -m tests.pages RUN_FOLDER --output DIR`: pictures of the top of a run's page, and of all of it."""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from instruments.errors import SloError
from reports.history import find_since
from reports.model import read_report
from reports.page import write_page
from tests.pages.browser import NARROW, SCHEMES, WIDE, Scheme, browser, opened

MOST_BYTES = 250_000
TOP_WIDE, TOP_NARROW = 2_000, 1_800  # how much of the page a picture of its top shows, in pixels
_COLOURS = (128, 64, 32, 16)


def main(arguments: list[str] | None = None) -> int:
    """Write the pictures; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.pages", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="RUN_FOLDER")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where the pictures go")
    parser.add_argument("--whole", action="store_true", help="also the whole page, however long: large files")
    options = parser.parse_args(arguments)
    try:
        report = read_report(options.folder)
    except SloError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, browser() as started:
        page = Path(scratch) / "report.html"
        write_page(report, page, find_since(report))
        for width in (WIDE, NARROW):
            for scheme in SCHEMES:
                for whole in (False, True)[: 1 + options.whole]:
                    path = options.output / f"{'page' if whole else 'top'}-{width}-{scheme}.png"
                    path.write_bytes(picture(started, page, width, scheme, whole=whole))
                    print(f"{path}: {path.stat().st_size:,} bytes")  # noqa: T201
    return 0


def picture(started: Browser, page: Path, width: int, scheme: Scheme, *, whole: bool) -> bytes:
    """A PNG with as many colours as it takes to stay below MOST_BYTES; a whole page with the fewest."""
    with opened(started, page, scheme, width) as seen:
        if whole:
            taken = seen.page.screenshot(full_page=True)
        else:
            seen.page.set_viewport_size({"width": width, "height": TOP_WIDE if width == WIDE else TOP_NARROW})
            taken = seen.page.screenshot()
    image = Image.open(io.BytesIO(taken)).convert("RGB")
    for colours in _COLOURS[-1:] if whole else _COLOURS:
        reduced = io.BytesIO()
        image.quantize(colours, dither=Image.Dither.NONE).save(reduced, "PNG", optimize=True)
        if len(reduced.getvalue()) < MOST_BYTES:
            break
    return reduced.getvalue()


if __name__ == "__main__":
    sys.exit(main())
