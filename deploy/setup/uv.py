"""uv: the installer that the set-up fetches for itself, and what pip knows about this machine's sources."""

import ast
import ssl
import sys
from pathlib import Path

from deploy.setup import clone, packages, step
from deploy.setup.stamp import stamp

HOME = clone.TOOLS / "uv"
PROGRAM = HOME / "bin" / "uv"
REQUIREMENT = Path(__file__).with_name("uv.txt")
NETWORK_HINT = "look at the network and at pip's settings (`pip config list`), then run this again"


def ensure() -> Path:
    """The path of uv, fetched and hash-checked when it is not there yet."""
    made = stamp(HOME, [REQUIREMENT, Path(__file__)])
    if made.matches and PROGRAM.exists():
        return PROGRAM
    _ensure_venv_module()
    with step.step(f"fetch uv into {clone.shown(HOME)}"):
        hint = "remove .tools and run this again"
        step.run([sys.executable, "-m", "venv", "--clear", HOME], log="uv-venv", hint=hint, limit_s=120)
        pip: step.Words = [HOME / "bin" / "python", "-m", "pip", "install", "--require-hashes"]
        step.run(
            [*pip, "--only-binary", ":all:", "-r", REQUIREMENT], log="uv", hint=NETWORK_HINT, limit_s=300
        )
    made.write()
    return PROGRAM


def environment() -> dict[str, str]:
    """The clone's environment plus what pip is configured with, as uv reads none of pip's settings.

    Addresses travel in the environment and not in arguments: they may hold a password.
    """
    env = clone.environment()
    pip = pip_settings()
    if index := pip.get("index-url"):
        env.setdefault("UV_DEFAULT_INDEX", index)
    if links := find_links(pip):
        env.setdefault("UV_FIND_LINKS", ",".join(links))
    if certificates := pip.get("cert"):
        env.setdefault("SSL_CERT_FILE", certificates)
    elif _system_has_certificates():
        # A company's own authority is known to the system, and not to the list that uv carries.
        env.setdefault("UV_SYSTEM_CERTS", "1")
    return env


def pip_settings() -> dict[str, str]:
    """What pip's files and PIP_ variables set, by option; the environment wins, as in pip itself."""
    listed = step.output([HOME / "bin" / "python", "-m", "pip", "config", "list"]) or ""
    by_section: dict[str, dict[str, str]] = {}
    for line in listed.splitlines():
        name, equals, value = line.partition("=")
        section, dot, option = name.rpartition(".")
        if equals and dot:
            by_section.setdefault(section, {})[option] = str(ast.literal_eval(value))
    return by_section.get("global", {}) | by_section.get("install", {}) | by_section.get(":env:", {})


def find_links(pip: dict[str, str]) -> list[str]:
    """pip's extra places for wheels, less the folders that are not there, at which uv would stop."""
    return [place for place in pip.get("find-links", "").split() if "://" in place or Path(place).is_dir()]


def make_environment(folder: Path, python: str | Path) -> None:
    """An empty virtual environment at `folder`, replacing what was there."""
    argv: step.Words = [ensure(), "venv", "--clear", "--no-python-downloads", "--python", python, folder]
    hint = f"`{python}` must be a working Python; name another in PYTHON=, or remove {clone.shown(folder)}"
    step.run(argv, log=f"venv{folder.name}", hint=hint, limit_s=120, env=environment())


def sync(folder: Path, lock: Path, *flags: str, limit_s: float, hint: str = NETWORK_HINT) -> None:
    """Make the packages in the environment at `folder` those of `lock`, each checked against its hash."""
    argv: step.Words = [ensure(), "pip", "sync", "--require-hashes", "--compile-bytecode", *flags]
    hint += f"; where a hash does not fit, {clone.shown(lock)} or the package was changed"
    argv += ["--python", folder / "bin" / "python", lock]
    step.run(argv, log=f"sync{folder.name}", hint=hint, limit_s=limit_s, env=environment())


def _system_has_certificates() -> bool:
    places = ssl.get_default_verify_paths()
    return places.cafile is not None or (places.capath is not None and any(Path(places.capath).iterdir()))


def _ensure_venv_module() -> None:
    if step.output([sys.executable, "-c", "import ensurepip, venv"]) is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        name = "python3-venv" if Path(sys.executable).name == "python3" else f"python{version}-venv"
        packages.install([name], why=f"Python {version}'s venv and ensurepip modules")


def usable(folder: Path) -> bool:
    """Whether the environment at `folder` was made at this place and its interpreter starts.

    A system upgrade can take the interpreter away, and a moved clone leaves scripts that name the old place.
    """
    activate = folder / "bin" / "activate"
    made_here = activate.is_file() and str(folder) in activate.read_text()
    return made_here and step.output([folder / "bin" / "python", "-c", ""], limit_s=30) is not None
