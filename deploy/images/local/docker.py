"""Docker: whether an image is there, and how one is made of an archive."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from datetime import UTC, datetime, timedelta

from deploy.images.local.recipe import Recipe, write_archive

BOUND_S = 500.0  # the engine's is 2 GB
ASK_BOUND_S = 60.0
# Another session of this machine may be about to start one that is younger.
KEPT_AT_LEAST = timedelta(hours=1)


class DockerFailed(Exception):
    """Docker did not do what it was asked. The text is its complaint, or that there is none."""


def built(program: str, recipe: Recipe) -> str:
    """The image of a program: made unless it is there. Returns its name."""
    repository = f"vllm-slo/{program}"
    name = f"{repository}:cluster-{recipe.tag()}"
    if _asked("image", "ls", "--quiet", name).strip():
        return name
    _make(name, recipe)
    _remove_others(repository, name)
    return name


def _make(name: str, recipe: Recipe) -> None:
    flags = [word for change in recipe.changes() for word in ("--change", change)]
    places = recipe.places()
    with _started("import", *flags, "-", name) as importing:
        assert importing.stdin is not None  # noqa: S101 - it was asked for
        with contextlib.suppress(BrokenPipeError):  # its own complaint says more
            write_archive(places, importing.stdin)
        try:
            said = importing.communicate(timeout=BOUND_S)[1]
        except subprocess.TimeoutExpired:
            importing.kill()
            raise DockerFailed(f"{name} was not taken within {BOUND_S:g} s") from None
    if importing.returncode:
        raise DockerFailed(_complaint(said))


def _remove_others(repository: str, name: str) -> None:
    """Images of the program's earlier states: a machine has room for one cluster, and it is ours now."""
    for other in _asked("image", "ls", "--format", "{{.Tag}}", f"{repository}:cluster-*").split():
        one = f"{repository}:{other}"
        made = datetime.fromisoformat(_asked("image", "inspect", "--format", "{{.Created}}", one).strip())
        if one != name and datetime.now(UTC) - made > KEPT_AT_LEAST:
            with _started("image", "rm", one) as removing:  # one that a Pod runs stays
                removing.communicate(timeout=ASK_BOUND_S)


def _asked(*words: str) -> str:
    with _started(*words) as asking:
        said, complaint = asking.communicate(timeout=ASK_BOUND_S)
    if asking.returncode:
        raise DockerFailed(_complaint(complaint))
    return said.decode()


def _started(*words: str) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            ["docker", *words],  # noqa: S607
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except OSError:
        raise DockerFailed("there is no docker on PATH") from None


def _complaint(said: bytes) -> str:
    """One line of it."""
    return " ".join(said.decode(errors="replace").split()) or f"no word of why ({sys.platform})"
