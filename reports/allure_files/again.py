"""How one claim is made again: the pytest line for this test alone, with its seed and place."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from html import escape
from typing import Any

from reports.reproduction import masked

# Options of a session that change what one of its claims finds; the gate is one of all claims together.
OPTIONS = (
    *("env", "engine", "duration_scale", "calibrate", "load_processes", "base_url", "api_key_env"),
    *("ca_bundle", "prometheus_url", "model", "baseline", "candidate_url", "candidate_key_env"),
)


def one_claim(nodeid: str, options: Mapping[str, Any], seed: int) -> str:
    """The command, quoted for a shell; `options` by pytest's names, those that are None or False left out.

    Keys are named by the variable that holds them; whoever handed one over by value finds HIDDEN.
    """
    words = [f"--seed={seed}"]
    for name in OPTIONS:
        value, flag = options.get(name), f"--{name.replace('_', '-')}"
        if value is True:
            words.append(flag)
        elif value not in (None, False):
            words.append(f"{flag}={value:g}" if isinstance(value, float) else f"{flag}={value}")
    return shlex.join(["pytest", nodeid, *masked(words)])


def again_html(command: str) -> str:
    """The command as a reader of the report copies it."""
    return f"<p>Again, this claim alone:</p><pre><code>{escape(command)}</code></pre>"
