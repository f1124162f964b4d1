"""The Allure report: `make report` turns results/latest/allure into pages, `make report-gate` judges it."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.setup import clone, node, step
from deploy.setup.allure_trends import write_trends
from deploy.setup.errors import SetupError

RECIPE = clone.ROOT / "reports" / "allure"
HOME = clone.TOOLS / "allure"
PROGRAM = HOME / "node_modules" / "allure" / "cli.js"
INPUTS = (Path(__file__), Path(node.__file__))
OLDEST_NODE = node.OLDEST
OLDEST_NODE_OF_GATE = 22  # Allure's gate calls iterator helpers, which Node 20 does not have
RESULTS = clone.ROOT / "results"
HISTORY = "history.jsonl"
POINT = "allure-history-id"  # in a run's folder: which line of the history is its own
LONGEST_HISTORY = 500
# Allure puts both into every index.html, whatever its analytics switch says. A report must not call home.
TAG_MANAGER = re.compile(
    rb"<script\b[^>]*googletagmanager[^>]*>\s*</script>|<script>\s*window\.dataLayer\b.*?</script>", re.S
)


@dataclass(frozen=True, slots=True)
class Results:
    """Allure's results of one run, and what its own files say of it."""

    folder: Path  # of the run
    claims: int  # that came to their end
    selected: int | None  # that the session had to make; None where it did not come to say so
    record: Mapping[str, Any]  # run.json; empty where there is none

    @property
    def name(self) -> str:
        """The report's name, which says what a reader must not miss."""
        doubts = ["simulated"] if self.record.get("simulated") else []
        if self.record and self.record.get("finished_at") is None:
            doubts.append("not finished")  # it was killed, or goes on
        if self.selected is not None and self.claims < self.selected:
            doubts.append(f"{self.claims} of {self.selected} claims")
        return ", ".join([f"vLLM SLO {self.record.get('run_id', self.folder.name)}", *doubts])


def report() -> None:
    """Make the pages of the newest run; installs the pinned Allure first when it is not there yet."""
    results = newest(RESULTS)
    install()
    pages = results.folder / "allure-report"
    # Allure adds to a folder that exists instead of making it anew.
    shutil.rmtree(pages, ignore_errors=True)
    shown = clone.shown(RESULTS / "latest")
    with step.step(f"make {shown}/allure-report from {shown}/allure"), _scratch() as scratch:
        _generate(results, pages, scratch)
    for page in pages.rglob("*.html"):
        page.write_bytes(without_tag_manager(page.read_bytes()))
    print(f"  {results.name}")
    print(f"  {shown}/allure-report/index.html; it wants a server: {_served(shown)}")


def gate() -> None:
    """Judge the newest run by Allure's quality gate. SetupError says which of its rules was broken."""
    results = newest(RESULTS)
    if results.record.get("simulated"):
        hint = "run it with a real engine: what a simulator does says nothing about vLLM"
        raise SetupError("results of a real engine: a simulated one never passes a gate", results.name, hint)
    install(OLDEST_NODE_OF_GATE)
    with step.step(f"judge {clone.shown(RESULTS / 'latest')}/allure"), _scratch() as scratch:
        rules = {"ALLURE_LEAST": str(results.selected or 1), "ALLURE_OUTPUT": str(scratch / "output")}
        _allure(results, "quality-gate", rules)
    print(f"  {results.claims} claims, none failed; the session had to make {results.selected or '?'}")


def newest(results: Path) -> Results:
    """What results/latest holds for Allure; SetupError when there is nothing to make pages of."""
    folder = (results / "latest").resolve()
    told = folder / "allure"
    claims = len(list(told.glob("*-result.json")))
    if not claims:
        shown = clone.shown(results / "latest" / "allure")
        seen = "a session that ended before its first claim did" if told.is_dir() else "none"
        hint = "run `make smoke` first, or pytest with --alluredir results/latest/allure"
        raise SetupError(f"Allure results of a run in {shown}", seen, hint)
    return Results(folder, claims, _selected(told), _record(folder))


def others(history: Path, own: str | None) -> list[str]:
    """Lines of a history that can be read, without a run's own, the newest so many of them."""
    try:
        lines = history.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    points = [(line, point) for line in lines if isinstance(point := _read(line), dict)]
    if len(points) < sum(map(bool, lines)):
        print(f"  {len(lines) - len(points)} torn lines of {clone.shown(history)} are left out")
    return [f"{line}\n" for line, point in points if point.get("uuid") != own][-LONGEST_HISTORY:]


def without_tag_manager(page: bytes) -> bytes:
    """`page` less the scripts that load Google Tag Manager and feed it."""
    return TAG_MANAGER.sub(b"", page)


def install(oldest_node: int = OLDEST_NODE) -> None:
    """Install the Allure that the lock names into .tools/allure."""
    if oldest_node == OLDEST_NODE:
        what, instead = "report", "the self-contained page `python -m reports results/latest` needs none"
    else:
        what, instead = (
            "quality gate",
            "the verdict itself, `python -m reports results/latest` and its exit code, needs none",
        )
    node.require(oldest_node, f"Allure's {what}", f"install Node.js {oldest_node}; {instead}")
    node.install(RECIPE, HOME, *INPUTS)


def _generate(results: Results, pages: Path, scratch: Path) -> None:
    """Make the pages, then take the history over: what fails leaves it as it was."""
    draft, trends = scratch / HISTORY, scratch / "trends"
    # A run whose pages are made a second time must not become a second point of the trend.
    before = others(RESULTS / HISTORY, _own_point(results.folder))
    draft.write_text("".join(before), encoding="utf-8")
    write_trends(trends, [json.loads(line) for line in before], results.folder / "allure")
    _allure(results, "generate", {"ALLURE_OUTPUT": str(pages), "ALLURE_HISTORY": str(draft)}, trends)
    _keep_history(draft, results.folder)


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vllm-slo-allure-") as folder:
        yield Path(folder)


def _allure(results: Results, command: str, told: Mapping[str, str], *beside: Path) -> None:
    """Run a command of Allure on a run's results; the recipe reads what it is told from its environment."""
    env = clone.environment() | {
        "ALLURE_RESULTS": str(results.folder / "allure"),
        "ALLURE_REPORT_NAME": results.name,
        "ALLURE_NO_ANALYTICS": "1",
        "NO_COLOR": "1",
        **told,
    }
    argv: step.Words = ["node", PROGRAM, command, "--config", RECIPE / "allurerc.mjs"]
    argv += [results.folder / "allure", *beside]
    hint = "remove .tools/allure and run this again" if command == "generate" else "`make report` shows which"
    step.run(argv, log=f"allure-{command}", hint=hint, limit_s=300, env=env)


def _keep_history(draft: Path, run: Path) -> None:
    """The new history in the place of the old one, whole; and in the run's folder which point is its own."""
    lines = draft.read_text(encoding="utf-8").splitlines()
    point = _read(lines[-1]) if lines else None
    if isinstance(point, dict) and point.get("uuid"):
        (run / POINT).write_text(str(point["uuid"]), encoding="utf-8")
    fresh = RESULTS / f".{HISTORY}.new"
    shutil.copy(draft, fresh)
    fresh.replace(RESULTS / HISTORY)


def _own_point(run: Path) -> str | None:
    try:
        return (run / POINT).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _selected(told: Path) -> int | None:
    """How many claims the session had to make, as it noted before the first of them."""
    try:
        facts = (told / "environment.properties").read_text(encoding="latin-1")
    except OSError:
        return None
    found = re.search(r"^claims\\ selected=(\d+)$", facts, re.M)
    return int(found[1]) if found else None


def _record(run: Path) -> dict[str, Any]:
    try:
        found = _read((run / "run.json").read_text(encoding="utf-8"))
    except OSError:
        return {}
    return found if isinstance(found, dict) else {}


def _read(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _served(shown: str) -> str:
    return f"python3 -m http.server --bind 127.0.0.1 -d {shown}/allure-report"
