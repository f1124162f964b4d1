"""The arms: how each proxy is started before a server, where it listens, and which processes are its own."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks import place
from benchmarks.installer import Unavailable, environment
from benchmarks.meter import die_with_parent, tree

START_BOUND_S = 120.0  # LiteLLM imports for a long time
STOP_BOUND_S = 15.0
LITELLM = "litellm[proxy]==1.105.0"
NGINX = place.ROOT / ".cache" / "nginx" / "root" / "usr" / "sbin" / "nginx"
KEY_ENV = "BENCH_KEY"


@dataclass(frozen=True, slots=True)
class Arm:
    """One way from client to server."""

    name: str
    title: str
    how: str
    # (URL of the server, folder, port to listen on, key) -> command line and environment of its own.
    command: Callable[[str, Path, int, str], tuple[list[str], Mapping[str, str]]] | None

    def install(self) -> None:
        """Raise Unavailable, with the reason, where this arm cannot be had."""
        if self.name == "litellm":
            environment("litellm", [LITELLM])
        if self.name == "nginx":
            _nginx()


@dataclass(frozen=True, slots=True)
class Running:
    """An arm that answers: its URL, its key, and its first process (None for the direct way)."""

    url: str
    key: str
    pid: int | None

    def cpu_s(self) -> float:
        """CPU seconds that its processes have used until now; 0 for the direct way."""
        return sum(map(_cpu_s, tree(self.pid))) if self.pid is not None else 0.0


@contextmanager
def running(arm: Arm, server_url: str, folder: Path) -> Iterator[Running]:
    """Start an arm before the server; stopped in the end. RuntimeError when it does not answer in bounds."""
    key = f"sk-{secrets.token_hex(16)}"
    if arm.command is None:
        yield Running(server_url, key, None)
        return
    port = _free_port()
    argv, env = arm.command(server_url, folder, port, key)
    with (folder / f"{arm.name}.log").open("wb") as log:
        child = subprocess.Popen(
            place.pinned(place.client_cores(), argv),
            cwd=place.ROOT,
            env={**os.environ, **env, KEY_ENV: key},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        try:
            _await_port(child, port, folder / f"{arm.name}.log")
            yield Running(f"http://127.0.0.1:{port}", key, child.pid)
        finally:
            _stop(child)


def _ours(server_url: str, folder: Path, port: int, key: str) -> tuple[list[str], Mapping[str, str]]:
    settings = {
        "listen": {"port": port},
        "metrics": {"port": _free_port()},
        "upstream": {"url": server_url},
        "keys": [{"name": "bench", "key_env": KEY_ENV, "limit": "100000/second"}],
        "limits": {"client": "100000/second", "anonymous": "10/second"},
    }
    file = folder / "gateway.yaml"
    file.write_text(yaml.safe_dump(settings))
    return [place.PYTHON, "-m", "deploy.gateway", "--config", str(file)], {}


def _plain_nginx(server_url: str, folder: Path, port: int, key: str) -> tuple[list[str], Mapping[str, str]]:
    file = folder / "nginx.conf"
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind}; " for kind in ("proxy", "fastcgi", "uwsgi", "scgi", "client_body")
    )
    user = "user root; " if os.geteuid() == 0 else ""  # or its workers could not enter the folder
    file.write_text(
        f"daemon off; {user}worker_processes 1; pid {folder}/nginx.pid;\n"
        f"error_log {folder}/nginx-error.log; events {{ worker_connections 4096; }}\n"
        f"http {{ access_log off; {temporary}\n"
        f"upstream engine {{ server {server_url.removeprefix('http://')}; keepalive 512; }}\n"
        f"server {{ listen 127.0.0.1:{port} backlog=2048; location / {{ proxy_pass http://engine; "
        'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } } }\n'
    )
    return [str(_nginx()), "-e", f"{folder}/nginx-error.log", "-p", str(folder), "-c", str(file)], {}


def _litellm(server_url: str, folder: Path, port: int, key: str) -> tuple[list[str], Mapping[str, str]]:
    model = {"model": f"openai/{place.MODEL_NAME}", "api_base": f"{server_url}/v1", "api_key": "none"}
    config = {
        "model_list": [{"model_name": place.MODEL_NAME, "litellm_params": model}],
        "general_settings": {"master_key": f"os.environ/{KEY_ENV}"},
        "litellm_settings": {"telemetry": False},
    }
    file = folder / "litellm.yaml"
    file.write_text(yaml.safe_dump(config))
    program = place.HOME / "litellm" / "bin" / "litellm"
    argv = [str(program), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
    # Its table of prices comes from its own package: nothing outside this machine is asked.
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    return [*argv, "--num_workers", "1"], quiet


DIRECT = Arm("direct", "direct", "no proxy: what the others are measured against", None)
OURS = Arm("ours", "**ours**", "keys, limits, metrics and a log line a request, as by default", _ours)
PLAIN_NGINX = Arm("nginx", "nginx, plain proxy", "one worker, unbuffered, kept connections", _plain_nginx)
PYTHON_PEER = Arm("litellm", "LiteLLM", f"{LITELLM}, one worker, a master key, no database", _litellm)
ARMS = (DIRECT, PLAIN_NGINX, OURS, PYTHON_PEER)


def _nginx() -> Path:
    found = shutil.which("nginx")
    if found:
        return Path(found)
    if NGINX.is_file():
        return NGINX
    raise Unavailable("no nginx on this machine, and none in .cache (make setup PARTS=nginx)")


def _free_port() -> int:
    with socket.socket() as wire:
        wire.bind(("127.0.0.1", 0))
        return int(wire.getsockname()[1])


def _await_port(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + START_BOUND_S
    while time.monotonic() < until and child.poll() is None:
        with socket.socket() as wire:
            if wire.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    seen = log.read_text(errors="replace")[-300:]
    raise RuntimeError(f"expected a listener on port {port} within {START_BOUND_S:g} s; its log ends: {seen}")


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    try:
        child.wait(STOP_BOUND_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:  # it has ended meanwhile
        return 0.0
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
