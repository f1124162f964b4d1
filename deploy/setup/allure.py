"""The Allure report: `make report` turns results/latest/allure into pages in results/latest/allure-report."""

import os
import re
import shutil
from pathlib import Path

from deploy.setup import clone, step
from deploy.setup.errors import SetupError
from deploy.setup.stamp import stamp

RECIPE = clone.ROOT / "reports" / "allure"
HOME = clone.TOOLS / "allure"
RECIPE_FILES = ("package.json", "package-lock.json", ".npmrc")
OLDEST_NODE = 20
LATEST = clone.ROOT / "results" / "latest"
# Allure puts both into every index.html, whatever its analytics switch says. A report must not call home.
TAG_MANAGER = re.compile(
    rb"<script\b[^>]*googletagmanager[^>]*>\s*</script>|<script>\s*window\.dataLayer\b.*?</script>", re.S
)


def report() -> None:
    """Make the pages of the newest run; installs the pinned Allure first when it is not there yet."""
    results = LATEST / "allure"
    if not (results.is_dir() and any(results.iterdir())):
        hint = "run `make smoke` first, or pytest with --alluredir results/latest/allure"
        raise SetupError(f"Allure results of a run in {clone.shown(results)}", "none", hint)
    install()
    pages = LATEST / "allure-report"
    # A run whose pages are made a second time must not become a second point of the trend.
    first = not pages.exists()
    # Allure adds to a folder that exists instead of making it anew.
    shutil.rmtree(pages, ignore_errors=True)
    env = clone.environment() | {
        "ALLURE_RESULTS": str(results.resolve()),
        "ALLURE_OUTPUT": str(pages.resolve()),
        "ALLURE_HISTORY": str(clone.ROOT / "results" / "history.jsonl"),
        "ALLURE_APPEND": "yes" if first else "no",
        "ALLURE_NO_ANALYTICS": "1",
    }
    with step.step(f"make {clone.shown(pages)} from {clone.shown(results)}"):
        program = HOME / "node_modules" / "allure" / "cli.js"
        argv: step.Words = ["node", program, "generate", "--config", RECIPE / "allurerc.mjs"]
        argv.append(results.resolve())
        step.run(argv, log="allure", hint="remove .tools/allure and run this again", limit_s=300, env=env)
    for page in pages.rglob("*.html"):
        page.write_bytes(without_tag_manager(page.read_bytes()))
    place = clone.shown(pages)
    print(f"  {place}/index.html; it wants a server: python3 -m http.server -d {place}")


def without_tag_manager(page: bytes) -> bytes:
    """`page` less the scripts that load Google Tag Manager and feed it."""
    return TAG_MANAGER.sub(b"", page)


def install() -> None:
    """Install the Allure that the lock names into .tools/allure."""
    _require_node()
    made = stamp(HOME, [*(RECIPE / name for name in RECIPE_FILES), Path(__file__)])
    if made.matches:
        return
    with step.step(f"install Allure into {clone.shown(HOME)}"):
        HOME.mkdir(parents=True, exist_ok=True)
        for name in RECIPE_FILES:
            shutil.copy(RECIPE / name, HOME / name)
        hint = "look at the network and at npm's settings (`npm config list`), then run this again"
        argv: step.Words = ["npm", "ci", "--prefix", HOME, "--ignore-scripts"]
        step.run(argv, log="npm", hint=hint, limit_s=600)
    made.write()


def _require_node() -> None:
    said = step.output(["node", "--version"]) if shutil.which("node") and shutil.which("npm") else None
    major = re.match(r"v(\d+)", said or "")
    if major is None or int(major[1]) < OLDEST_NODE:
        raise SetupError(
            f"node {OLDEST_NODE} or newer with npm, which the Allure report is made by",
            (said or "").strip() or f"no working node and npm in PATH={os.environ.get('PATH', '')}",
            "install Node.js; the self-contained page `python -m reports results/latest` needs none",
        )
