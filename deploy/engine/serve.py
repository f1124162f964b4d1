"""Starts vLLM's OpenAI server: `.engine/bin/python deploy/engine/serve.py FLAGS`, the flags being vLLM's own.

On a GPU this is vLLM's own entry point with a few defaults set. On the CPU build it also forks the engine
core instead of spawning it, which halves the start. The API key comes from VLLM_API_KEY only: every user of
the machine can read arguments. Temporary files and sockets go below VLLM_SLO_SCRATCH, by default
.cache/engine of the clone; caches always go to the latter, since a start with a cold cache takes 6 s longer.
No process of vLLM outlives this one, however it ends. Exit status 2: the flags or the folder cannot be used;
else vLLM's own.
"""

import ctypes
import importlib
import importlib.metadata
import json
import os
import runpy
import signal
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[2]
FORK_TRIED_WITH = "0.32.0+cpu"
PLAIN_ENTRY = "vllm.entrypoints.openai.api_server"
# By their shortest unambiguous spelling, since argparse takes that too.
SECRET_FLAGS = {"--api-k": "VLLM_API_KEY", "--hf-t": "HF_TOKEN"}
# A Unix socket's path may have 107 bytes, and vLLM adds "/" and a UUID of 36 to the folder.
LONGEST_SOCKET_FOLDER = 107 - 37
PR_SET_PDEATHSIG = 1

Environment = MutableMapping[str, str]


def main(flags: list[str]) -> None:
    """Serve until stopped."""
    refuse_secrets(flags)
    engine = describe(ROOT / ".engine" / "engine.json")
    add_to_path([ROOT / place for place in engine.get("pythonpath", [])], os.environ)
    home = ROOT / ".cache" / "engine"
    keep_inside(Path(os.environ.get("VLLM_SLO_SCRATCH") or home).absolute(), home / "cache", os.environ)
    stay_quiet(os.environ)
    os.register_at_fork(after_in_child=die_with_parent)
    if is_local_model(flags):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
    if engine.get("device") == "cpu":
        suit_cpu(os.environ)
        serve_forked()
    else:
        serve_plain()


def refuse_secrets(flags: list[str]) -> None:
    """Exit with status 2 where a flag would show a secret in the list of processes."""
    for flag in flags:
        name = flag.partition("=")[0].replace("_", "-")
        for prefix, variable in SECRET_FLAGS.items():
            if name.startswith(prefix):
                stop(f"no secret among the arguments, where all can read it; saw {name}; set {variable}")


def describe(path: Path) -> dict[str, Any]:
    """What the set-up wrote about the engine; empty where vLLM came in another way, as in an image."""
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def add_to_path(places: list[Path], env: Environment) -> None:
    """Let this process and its children find modules and metadata in `places`."""
    sys.path[:0] = [str(place) for place in places]
    known = [word for word in env.get("PYTHONPATH", "").split(os.pathsep) if word]
    env["PYTHONPATH"] = os.pathsep.join([*(str(place) for place in places), *known])


def keep_inside(scratch: Path, cache: Path, env: Environment) -> None:
    """Point vLLM, torch and the rest at `scratch` for temporary files and sockets, at `cache` for caches."""
    # A model named by its repository stays in the user's own hub cache: nobody wants to fetch it twice.
    home_cache = Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    env.setdefault("HF_HOME", str(home_cache / "huggingface"))
    temporary = scratch / "tmp"
    try:
        temporary.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        stop(f"VLLM_SLO_SCRATCH to be a folder that can be written to; saw {error}")
    places = {
        "TMPDIR": str(temporary),
        "XDG_CACHE_HOME": str(cache),
        "XDG_CONFIG_HOME": str(scratch / "config"),
        "VLLM_CACHE_ROOT": str(cache / "vllm"),
        "VLLM_CONFIG_ROOT": str(scratch / "config" / "vllm"),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "TRITON_CACHE_DIR": str(cache / "triton"),
        "FLASHINFER_WORKSPACE_BASE": str(cache),
        "CUDA_CACHE_PATH": str(cache / "cuda"),
        "VLLM_RPC_BASE_PATH": socket_folder(temporary),
    }
    env.update(places)


def socket_folder(folder: Path) -> str:
    """A spelling of `folder` that is short enough for the path of a socket in it."""
    if len(os.fsencode(folder)) <= LONGEST_SOCKET_FOLDER:
        return str(folder)
    # The same folder by way of a descriptor that this process keeps open as long as it lives.
    return f"/proc/{os.getpid()}/fd/{os.open(folder, os.O_RDONLY)}"


def stay_quiet(env: Environment) -> None:
    """Defaults of every device: no reports home, and no second series for each counter's creation."""
    env.setdefault("VLLM_NO_USAGE_STATS", "1")
    env.setdefault("DO_NOT_TRACK", "1")
    env.setdefault("PROMETHEUS_DISABLE_CREATED_SERIES", "True")


def is_local_model(flags: list[str]) -> bool:
    """Whether `--model` names a folder, so that nothing has to be asked of a hub."""
    for flag, following in zip(flags, [*flags[1:], ""], strict=True):
        name, equals, value = flag.partition("=")
        if name == "--model":
            return Path(value if equals else following).is_dir()
    return False


def suit_cpu(env: Environment) -> None:
    """Defaults of the CPU build.

    One OpenMP thread and no worker process (`--distributed-executor-backend uni`, which vLLM takes only
    without its multiprocessing): with its defaults a spinning worker starves the API server on two cores, and
    all tokens of an answer arrive in one burst.
    """
    env.setdefault("OMP_NUM_THREADS", "1")
    env.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    # Any value overrules --kv-cache-memory-bytes, and an empty one is a crash.
    if (space := env.pop("VLLM_CPU_KVCACHE_SPACE", None)) is not None:
        say(f"VLLM_CPU_KVCACHE_SPACE={space!r} is not used; give --kv-cache-memory-bytes")


def serve_forked() -> None:
    """Serve with the engine core forked from this process, its modules loaded already, instead of spawned.

    This leans on vLLM's internals, so another version or a missing name falls back to the plain entry point.
    """
    try:
        fork_engine_core()
        entry = importlib.import_module("vllm.entrypoints.launchers.api_server.entry").main
    except (ImportError, AttributeError) as error:
        say(f"cannot fork the engine core ({error}); starting it the plain way, which takes longer")
        entry = serve_plain
    entry()


def fork_engine_core() -> None:
    """Have vLLM fork its engine core, and load beforehand what the core would have to load.

    Raises ImportError or AttributeError where vLLM is another version or has no such names.
    """
    installed = importlib.metadata.version("vllm")
    if installed != FORK_TRIED_WITH:
        raise ImportError(f"vLLM is {installed}, and this was tried with {FORK_TRIED_WITH}")
    platform = importlib.import_module("vllm.platforms.cpu").CpuPlatform
    original = platform.check_and_update_config.__func__

    def check_and_update_config(cls: type, config: object) -> None:
        original(cls, config)  # sets "spawn", whatever the environment says
        os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "fork"

    for module in ("v1.engine.core", "v1.executor.uniproc_executor", "v1.worker.cpu_worker"):
        importlib.import_module(f"vllm.{module}")
    platform.check_and_update_config = classmethod(check_and_update_config)


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends, however it ends.

    vLLM's engine core stays otherwise when the API server is killed, and holds the memory of the device.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def serve_plain() -> None:
    """Serve through vLLM's own entry point."""
    sys.argv[0] = PLAIN_ENTRY
    runpy.run_module(PLAIN_ENTRY, run_name="__main__")


def say(text: str) -> None:
    """One line about this launcher itself, beside vLLM's own log."""
    print(f"serve.py: {text}", file=sys.stderr, flush=True)


def stop(text: str) -> NoReturn:
    """Say what was expected and exit with status 2."""
    say(f"expected {text}")
    sys.exit(2)


if __name__ == "__mp_main__":  # a process that vLLM spawned instead of forking it
    die_with_parent()
if __name__ == "__main__":
    main(sys.argv[1:])
