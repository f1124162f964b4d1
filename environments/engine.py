"""The engine of a local stack: how each kind is started, and how it is known to be ready."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from environments.binaries import ROOT, find_engine, find_model
from environments.fingerprint import model_fingerprint
from environments.ports import take_port
from environments.process import Process
from environments.profile import EngineProfile, PortProfile
from environments.provider import Secret

KV_CACHE_BYTES = 67_108_864  # 64 MiB: zeroing the default of 1 GiB costs 2.5 s of each start


@dataclass(frozen=True, slots=True)
class Engine:
    """A started engine. `url` is where all others reach it: through the interposer, if there is one."""

    url: str
    components: tuple[Process, ...]
    fingerprint: Mapping[str, str]
    simulated: bool


def start_engine(profile: EngineProfile, ports: PortProfile, key: Secret, folder: Path, logs: Path) -> Engine:
    """Start the engine and return at once; readiness is waited for elsewhere."""
    if profile.kind == "external":
        assert profile.url is not None  # noqa: S101 - the profile was checked
        own = Engine(profile.url, (), {"engine.url": profile.url}, simulated=False)
    else:
        port = take_port(ports.engine, "engine")
        own = (_start_vllm if profile.kind == "vllm" else _start_simulator)(profile, port, key, folder, logs)
    return _interposed(own, profile, folder, logs) if profile.interposer else own


def _start_vllm(profile: EngineProfile, port: int, key: Secret, folder: Path, logs: Path) -> Engine:
    environment, model = find_engine(), find_model(profile.model)
    flags = ["--model", str(model), "--load-format", "dummy", "--served-model-name", profile.model]
    flags += ["--host", "127.0.0.1", "--port", str(port), "--max-model-len", str(profile.max_model_len)]
    flags += ["--disable-uvicorn-access-log", "--shutdown-timeout", "10"]
    if environment.device == "cpu":
        flags += ["--dtype", "bfloat16", "--enforce-eager", "--distributed-executor-backend", "uni"]
        flags += ["--kv-cache-memory-bytes", str(KV_CACHE_BYTES)]
    process = Process.start(
        "engine",
        [environment.python, ROOT / "deploy" / "engine" / "serve.py", *flags, *profile.arguments],
        log=logs / "engine.log",
        cwd=folder / "engine",
        environment={
            "VLLM_API_KEY": key,
            "PYTHONPATH": ":".join(map(str, environment.pythonpath)),
            "VLLM_SLO_SCRATCH": str(folder / "engine"),
        },
    )
    facts = {
        "engine.version": f"vllm {environment.version}",
        "engine.device": environment.device,
        "engine.flags": " ".join([*flags[2:], *profile.arguments]),
        "engine.model.sha256": model_fingerprint(model),
    }
    return Engine(f"http://127.0.0.1:{port}", (process,), facts, simulated=False)


def _start_simulator(profile: EngineProfile, port: int, key: Secret, folder: Path, logs: Path) -> Engine:
    flags = ["--host", "127.0.0.1", "--port", str(port), "--model", profile.model]
    flags += ["--max-model-len", str(profile.max_model_len), *profile.simulator_arguments]
    process = Process.start(
        "engine",
        [sys.executable, "-m", "deploy.simulator", *flags],
        log=logs / "engine.log",
        cwd=ROOT,
        environment={"VLLM_API_KEY": key},
    )
    facts = {"engine.version": "simulator", "engine.flags": " ".join(flags)}
    return Engine(f"http://127.0.0.1:{port}", (process,), facts, simulated=True)


def _interposed(own: Engine, profile: EngineProfile, folder: Path, logs: Path) -> Engine:
    with ExitStack() as undo:  # when the interposer cannot be started, the engine does not stay
        for part in own.components:
            undo.callback(part.stop)
        port = take_port(0, "interposer")
        process = Process.start(
            "interposer",
            [*profile.interposer, "--upstream", own.url, "--port", str(port)],
            log=logs / "interposer.log",
            cwd=ROOT,
        )
        undo.pop_all()
    facts = {**own.fingerprint, "engine.interposer": " ".join(profile.interposer)}
    return Engine(f"http://127.0.0.1:{port}", (*own.components, process), facts, own.simulated)
