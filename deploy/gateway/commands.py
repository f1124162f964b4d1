"""Commands: what the program does besides serving: `keygen NAME`, `openapi --config FILE.yaml`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from deploy.gateway.keys_command import new_key
from deploy.gateway.openapi import document
from deploy.gateway.settings import load


def arguments() -> argparse.Namespace:
    """The command line, checked. Without a command there must be `--config`."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.gateway", description="The gateway before vLLM engines."
    )
    parser.add_argument("--config", type=Path, metavar="FILE.yaml", help="serve with these settings")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    keygen = commands.add_parser("keygen", help="print a new key, once, and its entry for a keys_file")
    keygen.add_argument("name", help="for logs, metrics and limits")
    description = commands.add_parser("openapi", help="print the OpenAPI description of the gateway")
    description.add_argument("--config", type=Path, metavar="FILE.yaml", required=True)
    given = parser.parse_args()
    if given.command is None and given.config is None:
        parser.error("the following arguments are required: --config (or a command)")
    return given


def run(given: argparse.Namespace) -> int:
    """Do what the command says; the exit code. Raises SettingsError."""
    if given.command == "openapi":
        print(json.dumps(document(load(given.config)), indent=2))
        return 0
    try:
        key, entry = new_key(given.name)
    except ValueError as error:
        print(f"gateway: {error}", file=sys.stderr)
        return 2
    print(f"key (shown once, kept nowhere): {key}\nentry for the keys_file:\n{entry}")
    return 0
