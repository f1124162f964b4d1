"""Images made of what this machine has: what goes in, what names them, and that each program starts."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from deploy.images.local import binaries
from deploy.images.local.binaries import Binary, binary_program
from deploy.images.local.programs import PROGRAMS
from deploy.images.local.python import python_program, room
from deploy.images.local.recipe import NothingToMakeItOf, Recipe, write_archive
from environments.containers import docker_answers

ROOT = Path(__file__).parents[2]
# Program -> what it is asked, and what it says then.
ASKED = {
    "gateway": (["--help"], "python -m deploy.gateway"),
    "simulator": (["--help"], "python -m deploy.simulator"),
    "receiver": (["--help"], "python -m deploy.monitoring.receiver"),
    "nginx": (["-v"], "nginx version: nginx/"),
    "prometheus": (["--version"], "prometheus, version "),
    "alertmanager": (["--version"], "alertmanager, version "),
    "redis": (["--version"], "Redis server v="),
}
CONFINED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none"]


def made(*programs: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`python -m deploy.images.local PROGRAM...`"""
    return subprocess.run(
        [sys.executable, "-m", "deploy.images.local", *programs],
        capture_output=True, text=True, check=False, timeout=300, cwd=ROOT, env={**os.environ, **variables},
    )  # fmt: skip


def recipe(*parts: str, entrypoint: tuple[str, ...] = ("/a",)) -> Recipe:
    return Recipe(parts, dict, entrypoint)


class TestTags:
    def test_equal_content_has_one_name(self) -> None:
        assert recipe("a", "b").tag() == recipe("a", "b").tag()

    def test_another_content_or_another_start_has_another(self) -> None:
        tags = [recipe("a", "b"), recipe("ab"), recipe("a", "c"), recipe("a", "b", entrypoint=("/b",))]
        assert len({one.tag() for one in tags}) == 4

    def test_a_changed_module_changes_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from deploy.images.local import python

        monkeypatch.setattr(python, "ROOT", tmp_path)
        file = tmp_path / "one.py"
        file.write_text("import json\n")
        before = python_program([file], "one").tag()
        file.write_text("import json  # and a word\n")
        assert python_program([file], "one").tag() != before

    def test_what_is_imported_goes_with_it_and_what_that_needs(self) -> None:
        parts = PROGRAMS["gateway"]().parts
        packages = {part.partition("==")[0] for part in parts if "==" in part}
        assert {"fastapi", "starlette", "pydantic", "redis", "limits"} <= packages
        assert "numpy" not in packages
        assert {one.partition("==")[0] for one in PROGRAMS["load"]().parts if "==" in one} == {"orjson"}


class TestArchive:
    def read(self, places: dict[str, Path]) -> dict[str, tarfile.TarInfo]:
        written = io.BytesIO()
        write_archive(places, written)
        with tarfile.open(fileobj=io.BytesIO(written.getvalue())) as archive:
            return {one.name: one for one in archive}

    def test_files_are_roots_and_for_all_to_read(self, tmp_path: Path) -> None:
        secretive = tmp_path / "run"
        secretive.write_text("x")
        secretive.chmod(0o700)
        plain = tmp_path / "text"
        plain.write_text("y")
        plain.chmod(0o600)
        found = self.read({"usr/bin/run": secretive, "app/text": plain})
        assert {(one.uid, one.gid) for one in found.values()} == {(0, 0)}
        assert found["usr/bin/run"].mode & 0o777 == 0o755
        assert found["app/text"].mode & 0o777 == 0o644

    def test_there_is_a_user_and_a_folder_for_all(self) -> None:
        found = self.read({})
        assert found["tmp"].mode == 0o1777
        assert {"etc/passwd", "etc/group", "etc/nsswitch.conf"} <= set(found)

    def test_links_become_what_they_lead_to(self, tmp_path: Path) -> None:
        (tmp_path / "real").write_text("z")
        (tmp_path / "link").symlink_to("real")
        assert self.read({"lib/link": tmp_path / "link"})["lib/link"].isreg()


class TestPrograms:
    def test_a_rooms_files_are_where_python_finds_them(self) -> None:
        names = {str(one.relative_to(ROOT)) for one in room("deploy/gateway")}
        assert {
            "deploy/__init__.py",
            "deploy/gateway/__main__.py",
            "deploy/gateway/redis_settle.lua",
        } <= names
        assert not [name for name in names if name.endswith(".pyc")]

    def test_an_interpreter_lies_in_one_place_whoever_it_belongs_to(self) -> None:
        recipe = PROGRAMS["simulator"]()
        assert recipe.entrypoint == ("/usr/local/bin/python", "-m", "deploy.simulator")
        assert recipe.environment["PYTHONHOME"] == "/usr/local"
        names = set(recipe.places())
        assert "usr/local/bin/python" in names
        assert [name for name in names if name.startswith("usr/local/lib/python3") and name.endswith("os.py")]
        tops = {name.partition("/")[0] for name in names}
        assert tops <= {"usr", "app", "lib", "lib64"}, "no folder of anybody's"

    def test_a_program_that_is_nowhere_is_told_with_what_to_try(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(binaries, "CACHE", tmp_path)
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(NothingToMakeItOf, match=r"nothing-here .* make setup PARTS=nginx"):
            binary_program(Binary("nginx/programs.json", "nothing-here", "usr/sbin/nothing-here", "nginx"))

    def test_the_real_engine_brings_its_launcher_and_its_model(self) -> None:
        if not (ROOT / ".engine" / "engine.json").is_file():
            pytest.skip("no .engine: `make setup`")
        parts = PROGRAMS["engine-cpu"]().parts
        names = {part.partition(" ")[0] for part in parts}
        assert {"deploy/engine/serve.py", ".engine/engine.json", ".cache/models/tiny/config.json"} <= names


class TestCommand:
    def test_an_unknown_program_is_refused_with_those_that_are_known(self) -> None:
        done = made("gatewai")
        assert done.returncode == 2
        assert "gatewai" in done.stderr
        assert "simulator" in done.stderr

    def test_a_docker_that_does_not_run_is_told_in_one_line(self, tmp_path: Path) -> None:
        done = made("receiver", DOCKER_HOST=f"unix://{tmp_path}/nobody.sock")
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("docker: ")
        assert done.stdout == ""

    def test_no_docker_at_all_is_told_too(self, tmp_path: Path) -> None:
        done = made("receiver", PATH=str(tmp_path))
        assert (done.returncode, done.stderr) == (1, "docker: there is no docker on PATH\n")


@pytest.fixture(scope="module")
def images() -> dict[str, str]:
    """Program -> its image; one that this machine has nothing for is left out."""
    if not docker_answers():
        pytest.skip("no Docker answers")
    here = [name for name in ASKED if _is_here(name)]
    done = made(*here)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def _is_here(program: str) -> bool:
    try:
        PROGRAMS[program]()
    except NothingToMakeItOf:
        return False
    return True


@pytest.mark.parametrize("program", ASKED)
def test_it_starts_without_any_right(images: dict[str, str], program: str) -> None:
    if program not in images:
        pytest.skip(f"no {program} on this machine")
    words, said = ASKED[program]
    done = subprocess.run(
        ["docker", "run", "--rm", *CONFINED, images[program], *words],  # noqa: S607
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert said in done.stdout + done.stderr


def test_it_runs_as_nobody_in_particular_and_is_made_once(images: dict[str, str]) -> None:
    asked = ["docker", "image", "inspect", "--format", "{{.Config.User}} {{.Created}}", *images.values()]
    before = subprocess.check_output(asked, text=True, timeout=60)
    assert {line.split()[0] for line in before.splitlines()} == {"10001:10001"}
    assert json.loads(made(*images).stdout) == images
    assert subprocess.check_output(asked, text=True, timeout=60) == before
