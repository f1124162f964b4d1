"""Every command of a workflow: it is there, it has its options, and the table says where else it is run."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from reports.history.entries import RATES
from tests.workflows.reading import FOLDER, ROOT, commands, jobs, ours, scripts, steps

TABLE = re.compile(r"^\| `([^`]+)` \| (.+) \|$", re.MULTILINE)
OTHERS = {"aws", "kubectl", "git", "tee", "mkdir", "cp", "rm"}
CALLS = [words for step in scripts() for words in commands(step.run or "")]
OURS = [words for words in CALLS if ours(words)]


@cache
def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


@cache
def told(*words: str) -> str:
    """What `python -m WORDS --help` prints."""
    argv = [sys.executable, "-m", *words, "--help"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=240, check=True)
    return done.stdout


def table() -> dict[str, str]:
    """Command -> where it is run, of the README's last table."""
    text = (FOLDER / "README.md").read_text().partition("## Each command")[2]
    return dict(TABLE.findall(text))


def test_only_known_programs_are_called() -> None:
    assert {words[0] for words in CALLS if not ours(words)} == OTHERS


def test_every_make_target_is_there() -> None:
    asked = {words[1] for words in OURS if words[0] == "make"}
    assert {"lint", "types", "setup", "report", "report-gate", "audit", "workflows", "stack-down"} == asked
    assert asked <= make_targets()


def test_every_part_that_is_set_up_is_there() -> None:
    parts = [
        word.removeprefix("PARTS=").split() for words in OURS for word in words if word.startswith("PARTS=")
    ]
    help_text = told("deploy.setup")
    assert parts
    for part in {name for names in parts for name in names}:
        assert re.search(rf"\b{part}\b", help_text), part


@pytest.mark.parametrize("words", [words for words in OURS if words[1:2] == ["-m"]], ids=" ".join)
def test_every_option_of_a_module_is_there(words: list[str]) -> None:
    name = ours(words)
    assert name is not None
    help_text = told(*name.split()[2:])
    for option in [word.partition("=")[0] for word in words[3:] if word.startswith("--")]:
        assert re.search(rf"(^|[\s,]){re.escape(option)}\b", help_text), option


def test_the_table_names_every_command_and_no_other() -> None:
    assert set(table()) == {str(ours(words)) for words in OURS}


def test_what_the_table_says_of_ci_run_is_so() -> None:
    run = (ROOT / ".ci" / "run").read_text().replace("$python", "python")
    for command, where in table().items():
        if where.startswith("`.ci/run`, within"):
            continue
        assert (f"run {command}" in run) == where.startswith("`.ci/run`"), command


def test_what_the_table_leaves_to_a_test_has_that_test() -> None:
    for where in table().values():
        for path in re.findall(r"`(tests/[\w/.]+)`", where):
            assert (ROOT / path).is_file(), path


def test_the_nights_claims_can_be_selected() -> None:
    """`-m "not disruptive"` leaves out what breaks parts, and leaves every suite something."""
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-qq", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*argv, "-m", "not disruptive"], cwd=ROOT, capture_output=True, text=True, timeout=240, check=True
    )
    found = {line.split("/")[1] for line in done.stdout.splitlines() if line.startswith("suites/")}
    there = {path.parent.name for path in (ROOT / "suites").glob("*/test_*.py")}
    assert found == there


def test_what_drift_is_asked_of_is_what_a_night_measures() -> None:
    """A name that no objective of the catalog has would fail every night: `trend` knows it not."""
    (words,) = [words for words in OURS if words[0] == ".github/nights"]
    catalog = (ROOT / "suites" / "catalog" / "objectives").glob("*.yaml")
    known = {name for path in catalog for name in re.findall(r"indicator: (\w+)", path.read_text())}
    assert set(words[2:]) <= {*known, *RATES}


def test_the_base_that_is_scanned_is_the_one_that_images_are_built_from() -> None:
    named = {
        line.removeprefix("ARG BASE=")
        for path in (ROOT / "deploy" / "images").glob("*.Containerfile")
        for line in path.read_text().splitlines()
        if line.startswith("ARG BASE=") and path.stem != "engine"
    }
    scanned = {str(step.fields["with"]["image-ref"]) for step in steps() if "trivy" in (step.uses or "")}
    assert scanned - {"vllm-slo/${{ matrix.image }}:scan"} == named


def test_every_image_that_is_built_by_default_is_scanned() -> None:
    (images,) = [fields for _, job, fields in jobs() if job == "images"]
    script = (ROOT / "deploy" / "images" / "build").read_text()
    (default,) = re.findall(r"^\[ \$# -gt 0 \] \|\| set -- (.+)$", script, re.MULTILINE)
    assert sorted(images["strategy"]["matrix"]["image"]) == sorted(default.split())


def test_what_a_night_keeps_is_what_the_next_one_is_given() -> None:
    (restored,) = [
        step.fields["with"] for step in steps() if (step.uses or "").startswith("actions/cache/restore@")
    ]
    (saved,) = [
        step.fields["with"] for step in steps() if (step.uses or "").startswith("actions/cache/save@")
    ]
    # GitHub finds a cache by its paths as they are written, too; a key that never changes is saved once.
    assert saved["path"] == restored["path"]
    assert saved["key"] == restored["key"]
    assert "github.run_id" in saved["key"]
    assert "github.run_attempt" in saved["key"]
    assert saved["key"].startswith(restored["restore-keys"])


def test_a_night_keeps_no_second_copy_of_itself_by_its_other_name(tmp_path: Path) -> None:
    """A cache follows links: `latest` would come back as a folder, and no newer run takes its place."""
    (saved,) = [
        step.fields["with"] for step in steps() if (step.uses or "").startswith("actions/cache/save@")
    ]
    (tmp_path / "results" / "a-run").mkdir(parents=True)
    (tmp_path / "results" / "latest").symlink_to("a-run")
    for name in ("verdict.json", "run.json", "fingerprint.json", "report.html"):
        (tmp_path / "results" / "a-run" / name).touch()
    kept: set[Path] = set()
    for pattern in saved["path"].split():
        found = set(tmp_path.glob(pattern.removeprefix("!")))
        kept = kept - found if pattern.startswith("!") else kept | found
    assert {str(path.relative_to(tmp_path)) for path in kept} == {
        f"results/a-run/{name}.json" for name in ("verdict", "run", "fingerprint")
    }


def test_what_is_published_is_what_was_uploaded_by_whichever_attempt() -> None:
    """`Re-run failed jobs` gives a second attempt to one job, and no new artefact to the other."""
    measure, publish = [fields for file, _, fields in jobs() if file == "nightly"]
    assert measure["outputs"]["pages"] == "${{ steps.pages.outputs.name }}"
    (put,) = [one["with"] for one in measure["steps"] if one.get("with", {}).get("path") == ".cache/pages/"]
    assert put["name"] == "${{ steps.pages.outputs.name }}"
    (got,) = [one["with"] for one in publish["steps"] if "download-artifact@" in one["uses"]]
    assert got["name"] == "${{ needs.measure.outputs.pages }}"
