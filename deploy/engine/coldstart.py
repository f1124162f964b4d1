"""The record of a cold start: how long the engine took to each stage, from its log and from asking it.

Seconds since the process was started, by this process's clock: those of log lines when the line was read.
  imports_s        vLLM's modules are loaded and its flags parsed (the line `non-default args`)
  weights_s        the model stands in memory (the last line of its loading)
  kv_cache_s       the KV cache is sized (the line `KV cache size: N tokens`; N is kv_cache_tokens)
  engine_s         profiling, graph capture and warm-up are over (the line `init engine`)
  healthy_s        the first 200 of GET /health, asked every POLL_S; the last thing before it can be used
  first_token_s    the answer to one completion of one token asked right after that
A stage that was not seen is null. Whether the weights came from the disk or from a warm page cache cannot be
known from here, so who reports the times says how the start was brought about.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from deploy.engine.configuration import Settings

POLL_S = 0.1
ASK_LIMIT_S = 60.0
LINES = {
    "imports_s": re.compile(r"non-default args:"),
    "weights_s": re.compile(r"(Model loading|Loading weights|Initializing model) took"),
    "kv_cache_s": re.compile(r"KV cache size: ([\d,]+) tokens"),
    "engine_s": re.compile(r"init engine \("),
}
REPEATS = {"weights_s"}  # the last of several lines counts
PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Record:
    """The stages so far; see the module for what each means. `started_at` is seconds since 1970."""

    model: str
    started_at: float
    imports_s: float | None = None
    weights_s: float | None = None
    kv_cache_s: float | None = None
    engine_s: float | None = None
    healthy_s: float | None = None
    first_token_s: float | None = None
    kv_cache_tokens: int | None = None
    notes: list[str] = field(default_factory=list)

    def read(self, line: str, now_s: float) -> None:
        """Note the stage that a line of the engine's log tells of, if any."""
        for stage, pattern in LINES.items():
            found = pattern.search(line)
            if found and (stage in REPEATS or getattr(self, stage) is None):
                setattr(self, stage, round(now_s, 3))
                if stage == "kv_cache_s":
                    self.kv_cache_tokens = int(found[1].replace(",", ""))


def record_start(command: list[str], variables: Mapping[str, str], settings: Settings, path: Path) -> int:
    """Start the engine, write the record once it is healthy, stay until it ends; its exit status."""
    record = Record(settings.model.served_name, round(time.time(), 3))
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        env=dict(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=_with_parent,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _frame: _pass_on(process, got, _frame))
    ended = threading.Event()
    key = variables.get("VLLM_API_KEY", "")
    asking = threading.Thread(target=_ask, args=(record, settings, key, began, path, ended), daemon=True)
    asking.start()
    assert process.stdout is not None  # noqa: S101  a pipe was asked for
    _pass_log_on(process.stdout, record, began)
    status = process.wait()
    ended.set()
    asking.join(ASK_LIMIT_S)
    return status if status >= 0 else 128 - status


def _pass_on(process: subprocess.Popen[bytes], number: int, _: FrameType | None) -> None:
    if process.poll() is None:
        process.send_signal(number)


def _with_parent() -> None:
    """The engine goes where this process is killed; Linux only, as vLLM is."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _pass_log_on(log: IO[bytes], record: Record, began: float) -> None:
    for line in log:
        record.read(line.decode(errors="replace"), time.monotonic() - began)
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()


def _ask(
    record: Record, settings: Settings, key: str, began: float, path: Path, ended: threading.Event
) -> None:
    """Poll /health until it answers, ask for one token, write the record; stop when the engine has ended."""
    host = "127.0.0.1" if settings.listen.host in ("0.0.0.0", "::", "") else settings.listen.host  # noqa: S104
    while not ended.wait(POLL_S):
        if _status(host, settings.listen.port, "GET", "/health", key, None) == http.client.OK:
            record.healthy_s = round(time.monotonic() - began, 3)
            break
    if record.healthy_s is not None:
        body = json.dumps({"model": settings.model.served_name, "prompt": "Hello", "max_tokens": 1})
        status = _status(host, settings.listen.port, "POST", "/v1/completions", key, body)
        if status == http.client.OK:
            record.first_token_s = round(time.monotonic() - began, 3)
        else:
            record.notes.append(f"the first completion was answered with {status}")
    else:
        record.notes.append("the engine ended before it was healthy")
    write(record, path)


def _status(host: str, port: int, method: str, target: str, key: str, body: str | None) -> int | None:
    """The status of one request; None where nobody answers."""
    connection = http.client.HTTPConnection(host, port, timeout=ASK_LIMIT_S if body else 2)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return None
    else:
        return answer.status
    finally:
        connection.close()


def write(record: Record, path: Path) -> None:
    """The record as JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")
    partial.replace(path)
