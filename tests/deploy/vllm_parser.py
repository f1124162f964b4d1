"""Asks the pinned vLLM's own parser which lists of arguments it refuses, and why.

Its import takes seconds, so one process of .engine is started at the first question of a test session and
answers all of them; it ends when its input does, so not even a killed session leaves it behind.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from deploy.setup import clone, engine

PROCESS = Path(__file__).with_name("vllm_parser_process.py")
ANSWER_LIMIT_S = 120.0  # two cores that others use too; it takes 7 s on quiet ones
WITHOUT = "vLLM is not installed: `make setup PARTS=engine`"


def rejections(argvs: Sequence[Sequence[str]]) -> list[str | None]:
    """For each list of arguments, why `vllm serve` of the pinned version refuses it; None if it parses.

    A list is what follows `vllm serve`, the model first or as `--model`; leading words `vllm serve` are
    taken off. The calling test is skipped where vLLM is not installed. Raises RuntimeError when its parser
    cannot be run.
    """
    asked = [_after_command(argv) for argv in argvs]
    new = [argv for argv in dict.fromkeys(asked) if argv not in _known]
    if new:
        _known.update(zip(new, _ask(new), strict=True))
    return [_known[argv] for argv in asked]


def _after_command(argv: Sequence[str]) -> tuple[str, ...]:
    words = list(argv)
    for word in ("vllm", "serve"):
        if words[:1] == [word]:
            del words[0]
    return tuple(words)


@dataclass(frozen=True, slots=True)
class _Parser:
    process: subprocess.Popen[str]
    log: Path


_known: dict[tuple[str, ...], str | None] = {}
_running: list[_Parser] = []


def _ask(argvs: list[tuple[str, ...]]) -> list[str | None]:
    if not engine.DESCRIPTION.is_file():
        pytest.skip(WITHOUT)
    if not _running:
        _running.append(_start())
    asked, answers = _pipes(_running[0])
    try:
        asked.write(json.dumps(argvs) + "\n")
        asked.flush()
    except BrokenPipeError:
        raise _failure(_running[0], "ended") from None
    if not select.select([answers], [], [], ANSWER_LIMIT_S)[0]:
        raise _failure(_running[0], f"said nothing for {ANSWER_LIMIT_S:g} s")
    line = answers.readline()
    if not line:
        raise _failure(_running[0], "ended")
    return list(json.loads(line))


def _pipes(parser: _Parser) -> tuple[IO[str], IO[str]]:
    assert parser.process.stdin is not None
    assert parser.process.stdout is not None
    return parser.process.stdin, parser.process.stdout


def _start() -> _Parser:
    described = json.loads(engine.DESCRIPTION.read_text())
    places = [str(clone.ROOT / place) for place in described["pythonpath"]]
    # An environment without the caller's VLLM_* variables: they would be defaults of some flags.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VLLM_", "PYTHON"))}
    kept |= {"PYTHONPATH": os.pathsep.join(places), "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    handle, log = tempfile.mkstemp(prefix="vllm-parser-", suffix=".log")
    with os.fdopen(handle, "w") as log_file:
        process = subprocess.Popen(
            [clone.ROOT / described["python"], PROCESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            text=True,
            env=kept,
            cwd=clone.ROOT,
        )
    atexit.register(_stop)
    return _Parser(process, Path(log))


def _stop() -> None:
    while _running:
        parser = _running.pop()
        parser.process.kill()
        parser.process.wait()
        for pipe in _pipes(parser):
            pipe.close()
        parser.log.unlink(missing_ok=True)


def _failure(parser: _Parser, what: str) -> RuntimeError:
    ending = parser.log.read_text(errors="replace")[-2000:]
    _stop()
    return RuntimeError(f"vLLM's parser in .engine {what}; its log ends:\n{ending}")
