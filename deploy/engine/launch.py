"""python -m deploy.engine.launch --settings FILE [--print | --print-json | --record FILE]

Starts `vllm serve` with the flags of a settings file, in place of this process: in .engine through serve.py
where `make setup` has made that, else the `vllm` on PATH, as in an image. The engine's key comes from
VLLM_API_KEY; without it nothing is started, unless --without-key says that this is meant.

With --record FILE this process stays, passes the engine's log and signals on, and writes how long the start
took (deploy/engine/coldstart.py says what is measured).

Exit codes: 2 the settings cannot be used, no vLLM is there, or the key is missing; else vLLM's own.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shlex
import shutil
import sys
from pathlib import Path

from deploy.engine import coldstart, flags
from deploy.engine.configuration import Settings, SettingsError, load

ROOT = Path(__file__).resolve().parents[2]
EXIT_SETTINGS = 2
KEY = "VLLM_API_KEY"


def main(argv: list[str]) -> int:
    """Print or start what a settings file says."""
    asked = _parser().parse_args(argv)
    try:
        settings = _overridden(load(asked.settings), asked)
    except SettingsError as error:
        return _refuse(f"the settings in {asked.settings} cannot be used\n{error}")
    return _print(settings, asked) if asked.print or asked.print_json else _start(settings, asked)


def _print(settings: Settings, asked: argparse.Namespace) -> int:
    args = flags.args(settings)
    if asked.print_json:
        shown = {"command": ["vllm", "serve"], "args": args, "environment": flags.environment(settings)}
        print(json.dumps(shown, indent=2))
    else:
        print(shlex.join(["vllm", "serve", *args]))
    return 0


def _start(settings: Settings, asked: argparse.Namespace) -> int:
    if not asked.without_key and not os.environ.get(KEY):
        return _refuse(f"expected the engine's key in {KEY}; saw none; set it, or say --without-key")
    command = _command(flags.args(settings))
    if command is None:
        return _refuse("expected .engine of `make setup`, or `vllm` on PATH; saw neither")
    variables = {**os.environ, **flags.environment(settings)}
    if not asked.record:
        sys.stdout.flush()
        os.execve(command[0], command, variables)  # noqa: S606  no shell, and the pid stays the supervisor's
    return coldstart.record_start(command, variables, settings, asked.record)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.engine.launch", description="Starts vLLM.")
    parser.add_argument("--settings", required=True, type=Path, metavar="FILE.yaml")
    parser.add_argument("--model", metavar="FOLDER", help="another folder of weights than the file's")
    parser.add_argument("--host", help="another address to listen on")
    parser.add_argument("--port", type=int, help="another port to listen on")
    parser.add_argument("--without-key", action="store_true", help=f"start although {KEY} is not set")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--print", action="store_true", help="print the command as a shell takes it")
    what.add_argument("--print-json", action="store_true", help="print command, args and environment")
    what.add_argument("--record", type=Path, metavar="FILE.json", help="write how long the start took")
    return parser


def _overridden(settings: Settings, asked: argparse.Namespace) -> Settings:
    listen, model = settings.listen, settings.model
    if asked.host or asked.port:
        listen = dataclasses.replace(listen, host=asked.host or listen.host, port=asked.port or listen.port)
    if asked.model:
        model = dataclasses.replace(model, source=str(Path(asked.model).absolute()), revision=None)
    return dataclasses.replace(settings, listen=listen, model=model)


def _command(args: list[str]) -> list[str] | None:
    """How vLLM is started here; None where it is not."""
    description = ROOT / ".engine" / "engine.json"
    if description.is_file():
        python = ROOT / str(json.loads(description.read_text())["python"])
        # serve.py calls the module that `vllm serve` calls, which takes the model as a flag.
        return [str(python), str(ROOT / "deploy" / "engine" / "serve.py"), "--model", *args]
    vllm = shutil.which("vllm")
    return [vllm, "serve", *args] if vllm else None


def _refuse(text: str) -> int:
    print(f"launch: {text}", file=sys.stderr)
    return EXIT_SETTINGS


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
