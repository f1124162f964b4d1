"""The engines of a local stack: how each kind is started, one or several alike."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments.binaries import ROOT, find_engine, find_model
from environments.fingerprint import files_fingerprint
from environments.ports import take_port
from environments.process import Process
from environments.profile import EngineProfile, PortProfile
from environments.provider import Secret, StackNotReady

PRINT_BOUND_S = 30.0
KV_CACHE_BYTES = 67_108_864  # 64 MiB: zeroing the default of 1 GiB costs 2.5 s of each start


@dataclass(frozen=True, slots=True)
class Engine:
    """Started engines. `urls` are where all others reach them: through the interposer, if there is one."""

    urls: tuple[str, ...]
    components: tuple[Process, ...]
    fingerprint: Mapping[str, str]
    simulated: bool

    @property
    def url(self) -> str:
        """The first one's."""
        return self.urls[0]


@dataclass(frozen=True, slots=True)
class _Place:
    """Which of several engines, and where it works."""

    name: str
    port: int
    folder: Path
    logs: Path
    devices: str | None  # the GPUs that it sees; None for all


def start_engine(profile: EngineProfile, ports: PortProfile, key: Secret, folder: Path, logs: Path) -> Engine:
    """Start the engines and return at once; readiness is waited for elsewhere."""
    if profile.kind == "external":
        assert profile.url is not None  # noqa: S101 - the profile was checked
        own = Engine((profile.url,), (), {"engine.url": profile.url}, simulated=False)
    else:
        own = _start_replicas(profile, ports, key, folder, logs)
    return _interposed(own, profile, folder, logs) if profile.interposer else own


def _start_replicas(
    profile: EngineProfile, ports: PortProfile, key: Secret, folder: Path, logs: Path
) -> Engine:
    vllm = _start_vllm if profile.settings is None else _start_by_settings
    start = vllm if profile.kind == "vllm" else _start_simulator
    each = profile.gpus // profile.replicas
    with ExitStack() as undo:  # when one cannot be started, those before it do not stay
        started = []
        for number in range(profile.replicas):
            name = f"engine-{number + 1}" if number else "engine"
            port = take_port(ports.engine and ports.engine + number, name)
            devices = [str(number * each + gpu) for gpu in range(each)] if profile.replicas > 1 else []
            place = _Place(name, port, folder / name, logs, ",".join(devices) or None)
            started.append(start(profile, place, key))
            for part in started[-1].components:
                undo.callback(part.stop)
        undo.pop_all()
    return Engine(
        tuple(engine.url for engine in started),
        tuple(part for engine in started for part in engine.components),
        {**started[0].fingerprint, "engine.replicas": str(profile.replicas)},
        started[0].simulated,
    )


def _start_vllm(profile: EngineProfile, place: _Place, key: Secret) -> Engine:
    environment = find_engine()
    model = profile.weights or find_model(profile.model)
    flags = ["--model", str(model), "--served-model-name", profile.model]
    flags += [] if profile.weights else ["--load-format", "dummy"]
    flags += ["--host", "127.0.0.1", "--port", str(place.port), "--max-model-len", str(profile.max_model_len)]
    flags += ["--disable-uvicorn-access-log", "--shutdown-timeout", "10"]
    if environment.device == "cpu":
        flags += ["--dtype", "bfloat16", "--enforce-eager", "--distributed-executor-backend", "uni"]
        flags += ["--kv-cache-memory-bytes", str(KV_CACHE_BYTES)]
    process = Process.start(
        place.name,
        [environment.python, ROOT / "deploy" / "engine" / "serve.py", *flags, *profile.arguments],
        log=place.logs / f"{place.name}.log",
        cwd=place.folder,
        environment={
            "VLLM_API_KEY": key,
            "PYTHONPATH": ":".join(map(str, environment.pythonpath)),
            "VLLM_SLO_SCRATCH": str(place.folder),
            **({"CUDA_VISIBLE_DEVICES": place.devices} if place.devices else {}),
        },
    )
    facts = {
        "engine.version": f"vllm {environment.version}",
        "engine.device": environment.device,
        "engine.flags": " ".join([*flags[2:], *profile.arguments]),
        "engine.model.sha256": files_fingerprint(model),
    }
    return Engine((f"http://127.0.0.1:{place.port}",), (process,), facts, simulated=False)


def _start_by_settings(profile: EngineProfile, place: _Place, key: Secret) -> Engine:
    """As a host starts it: deploy.engine's own launcher on a file of settings."""
    assert profile.settings is not None  # noqa: S101 - asked for it
    environment, file = find_engine(), ROOT / profile.settings
    place.folder.mkdir(parents=True, exist_ok=True)
    model = profile.weights or find_model(profile.model)
    launch = [sys.executable, "-m", "deploy.engine.launch"]
    flags = ["--settings", str(file), "--model", str(model), "--host", "127.0.0.1", "--port", str(place.port)]
    started_as = _said([*launch, *flags, "--print-json"])
    _check_alike(profile, started_as["args"])
    process = Process.start(
        place.name,
        [*launch, *flags],
        log=place.logs / f"{place.name}.log",
        cwd=ROOT,
        environment={
            "VLLM_API_KEY": key,
            "VLLM_SLO_SCRATCH": str(place.folder),
            **({"CUDA_VISIBLE_DEVICES": place.devices} if place.devices else {}),
        },
    )
    facts = {
        "engine.version": f"vllm {environment.version}",
        "engine.device": environment.device,
        "engine.settings": f"{profile.settings} {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}",
        "engine.flags": " ".join(started_as["args"][1:]),  # less the model's folder, which has a hash below
        "engine.environment": " ".join(f"{k}={v}" for k, v in sorted(started_as["environment"].items())),
        "engine.model.sha256": files_fingerprint(model),
    }
    return Engine((f"http://127.0.0.1:{place.port}",), (process,), facts, simulated=False)


def _check_alike(profile: EngineProfile, args: list[str]) -> None:
    """Clients are told what the profile says: an engine that says something else is refused at once."""
    told = {"--served-model-name": profile.model, "--max-model-len": str(profile.max_model_len)}
    said = {flag: args[args.index(flag) + 1] if flag in args else "(vLLM's default)" for flag in told}
    if said != told:
        raise StackNotReady(
            f"the profile and the engine's settings {profile.settings} contradict each other",
            expected=" ".join(f"{flag} {value}" for flag, value in told.items()),
            seen=" ".join(f"{flag} {value}" for flag, value in said.items()),
            hint="make engine.model and engine.max_model_len of the profile those of the settings",
        )


def _said(command: list[str]) -> dict[str, Any]:
    """What the launcher would start; StackNotReady with its own words where it would start nothing."""
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=PRINT_BOUND_S, check=True
        )
        return dict(json.loads(done.stdout))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise StackNotReady(
            "the engine's settings cannot be used",
            expected="flags of vLLM, as deploy.engine.launch --print-json says them",
            seen=str(getattr(error, "stderr", None) or error).strip()[-2000:],
            hint="correct the file that engine.settings of the profile names",
        ) from None


def _start_simulator(profile: EngineProfile, place: _Place, key: Secret) -> Engine:
    flags = ["--host", "127.0.0.1", "--port", str(place.port), "--model", profile.model]
    flags += ["--max-model-len", str(profile.max_model_len), *profile.simulator_arguments]
    process = Process.start(
        place.name,
        [sys.executable, "-m", "deploy.simulator", *flags],
        log=place.logs / f"{place.name}.log",
        cwd=ROOT,
        environment={"VLLM_API_KEY": key},
    )
    facts = {"engine.version": "simulator", "engine.flags": " ".join(flags)}
    return Engine((f"http://127.0.0.1:{place.port}",), (process,), facts, simulated=True)


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
    return Engine((f"http://127.0.0.1:{port}",), (*own.components, process), facts, own.simulated)
