"""Evidence that claims leave beside verdicts: ends of logs without keys, and PromQL with its answers."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from instruments.telemetry.record import ServerRecord
from instruments.telemetry.snapshot import Snapshot
from reports.allure_files.attached import table_html

TAIL_LINES = 200
TAIL_BYTES = 64 * 1024
ANSWER_CHARACTERS = 4_000
_HIDDEN = "HIDDEN"
# Keys that nobody knows by value: of a stack that did not come up, or of somebody else's program.
_SECRETS = (
    re.compile(r"(?i)(\b(?:bearer|basic)\s+)[^\s\"',}\]]+"),
    re.compile(r"(?i)(\bauthorization[\"']?\s*[=:]\s*[\"']?)(?!(?:bearer|basic)\b)[^\s\"',}\]]+"),
    re.compile(r"(?i)((?:api[-_]?key|secret|password|passwd)s?[\"']?\s*[=:]\s*[\[(\"']*)[^\s\"',})\]]+"),
    re.compile(r"(?i)(--[\w-]{0,64}(?:key|token|secret|password)[\"',]*[\s=]+[\"']?)(?!-)[^\s\"',]+"),
    re.compile(r"()\bsk-[\w-]{8,}"),
    re.compile(r"((?<=://))[^/@\s]+(?=@)"),
)


@dataclass(slots=True)
class Question:
    """One PromQL expression: how often a claim asked it, and what came first and last."""

    path: str
    query: str
    asked: int
    first: Any
    last: Any


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """`text` without these values, and without what looks like a key beside its name."""
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<1>{_HIDDEN}", text)
    return text


def log_tail(path: Path, secrets: Iterable[str], lines: int = TAIL_LINES) -> str | None:
    """The last lines of a log, without keys; None where there is no log or nothing in it."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - TAIL_BYTES))
            data = log.read()
    except OSError:
        return None
    cut = data if len(data) < TAIL_BYTES else data.partition(b"\n")[2]  # a torn line may end in half a key
    text = "\n".join(cut.decode("utf-8", "replace").splitlines()[-lines:])
    return without_secrets(text, secrets) + "\n" if text else None


def grown_csv(server: ServerRecord) -> str | None:
    """Counters of the server, each summed over its series: before a load, after it, and their difference.

    Those that did not move are left out; None where they are not known at both ends.
    """
    if server.before is None or server.after is None:
        return None
    before, after = _counted(server.before), _counted(server.after)
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["counter", "before", "after", "grown"])
    for name in sorted(after):
        began = before.get(name, 0.0)
        if after[name] != began:
            table.writerow([name, f"{began:.12g}", f"{after[name]:.12g}", f"{after[name] - began:.12g}"])
    return out.getvalue()


def _counted(snapshot: Snapshot) -> dict[str, float]:
    """Totals of counters, and of histograms their sums and counts; buckets are for who judges them."""
    found: dict[str, float] = {}
    for (name, _), value in snapshot.samples.items():
        if name.endswith(("_total", "_sum", "_count")):
            found[name] = found.get(name, 0.0) + value
    return found


def questions_html(questions: Iterable[Question]) -> str:
    """PromQL as it was asked, each with its answer; of one asked again and again the first and the last."""
    return "".join(table_html(_rows(one)) for one in questions)


def _rows(question: Question) -> dict[str, str]:
    again = question.asked > 1
    last = {"answer, the last": _answer(question.last)} if again and question.last != question.first else {}
    return {
        "PromQL": f"<pre><code>{escape(question.query)}</code></pre>",
        "asked": f"{question.path}{f', {question.asked} times' if again else ''}",
        "answer, the first" if last else "answer": _answer(question.first),
        **last,
    }


def _answer(told: Any) -> str:
    text = json.dumps(told, indent=1, ensure_ascii=False, default=str)
    over = len(text) - ANSWER_CHARACTERS
    cut = f"{text[:ANSWER_CHARACTERS]}\n… and {over} characters more" if over > 0 else text
    return f"<pre>{escape(cut)}</pre>"
