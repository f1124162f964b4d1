"""How to come to the same numbers again: commands to copy, with nothing secret in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from instruments.results import SessionRecord

# Credentials are handed over by reference; this is for who hands them over by value all the same.
_SECRET_OPTION = re.compile(r"(?i)^--?[\w-]*(key|token|secret|password)$")
_SECRET_PAIR = re.compile(r"(?i)^(--?[\w-]*(?:key|token|secret|password)=).*$", re.S)
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_HIDDEN = "HIDDEN"


def command(session: SessionRecord) -> str | None:
    """The command that measured, quoted for a shell; None when the session did not note it."""
    return shlex.join(masked(session.command)) if session.command else None


def judge_again(folder: Path, session: SessionRecord) -> str:
    """The command that makes the page again from the same records, wherever --results had put them."""
    asked = _value_of("--results", session.command) or "results"
    return shlex.join(["python", "-m", "reports", f"{asked.rstrip('/')}/{folder.resolve().name}"])


def _value_of(option: str, command: Sequence[str]) -> str | None:
    """What an option was given, as --option=VALUE or --option VALUE; the last one counts."""
    joined = [word.partition("=")[2] for word in command if word.startswith(f"{option}=")]
    apart = [value for word, value in pairwise(command) if word == option]
    given = joined or apart
    return given[-1] if given else None


def masked(arguments: Sequence[str]) -> list[str]:
    """The arguments without the values of options that name a secret, and without users in URLs."""
    shown: list[str] = []
    for argument in arguments:
        if shown and _SECRET_OPTION.match(shown[-1]) and not argument.startswith("-"):
            shown.append(_HIDDEN)
            continue
        argument = _SECRET_PAIR.sub(rf"\1{_HIDDEN}", argument)
        shown.append(_USER_IN_URL.sub(f"{_HIDDEN}@", argument))
    return shown
