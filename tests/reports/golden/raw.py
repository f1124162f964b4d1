"""A journal written as text by hand, no writer of ours involved: 400 requests with every fate there is.

Times are whole microseconds of a seeded generator; nothing here imports what is tested.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000
BEGAN_UNIX_NS = 1_795_240_810 * SECOND
START_NS, END_NS = 5 * SECOND, 25 * SECOND
REQUESTS, WARMUP = 400, 7
FATES = {
    17: "FAILED",
    71: "TRUNCATED",
    113: "RATE_LIMITED",
    211: "TIMED_OUT",
    307: "NOT_SENT",
    311: "CANCELLED",
}


def write_journal(path: Path, seed: int = 20261122) -> list[dict[str, Any]]:
    """Write it; returns its request lines as they stand there."""
    chance = random.Random(seed)
    lines = [_request(index, chance) for index in range(REQUESTS + WARMUP)]
    head = {
        "kind": "run",
        "schema": 1,
        "name": "golden",
        "anchor": {"monotonic_ns": 0, "unix_ns": BEGAN_UNIX_NS},
        "description": {"workload": {"id": "golden", "users": 8}, "open_loop": False, "simulated": False},
    }
    client = {
        "loop_lag_p99_s": 0.0004,
        "loop_lag_max_s": 0.002,
        "gc_pause_max_s": 0.0,
        "cpu_share": 0.21,
        "stamps": "kernel",
    }
    end = {
        "kind": "end",
        "window": {"start_ns": START_NS, "end_ns": END_NS},
        "client": client,
        "stopped_because": None,
        "decided_at": None,
        "requests": len(lines),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the order in which requests end, as a journal has them; a reader must not rely on it.
    chance.shuffle(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in [head, *lines, end]), encoding="utf-8")
    return lines


def _request(index: int, chance: random.Random) -> dict[str, Any]:
    warmup = index < WARMUP
    number = index - WARMUP
    due = (START_NS - 2 * SECOND + index * 100 * MS) if warmup else START_NS + number * 40 * MS
    sent = due + chance.randrange(20, 90) * US
    line: dict[str, Any] = {
        "kind": "request",
        "index": index,
        "request_id": f"golden-{index}",
        "user": index % 8,
        "phase": "warmup" if warmup else "measured",
        "outcome": "COMPLETED" if warmup else FATES.get(number, "COMPLETED"),
        "due_ns": due,
        "prompt_tokens": 64,
    }
    if line["outcome"] == "NOT_SENT":
        return line
    line["sent_ns"] = sent
    if line["outcome"] in ("FAILED", "RATE_LIMITED"):
        refused = {"FAILED": (500, "HTTP 500"), "RATE_LIMITED": (429, "HTTP 429")}[line["outcome"]]
        return line | {"done_ns": sent + 3 * MS, "status": refused[0], "error": refused[1]}
    return line | _answer(line, sent, chance)


def _answer(line: dict[str, Any], sent: int, chance: random.Random) -> dict[str, Any]:
    """Tokens that come one, two or three at once; every 50th answer is of one token only."""
    single = line["index"] % 50 == 3
    sizes = [1] if single else [1, *(chance.choice((1, 1, 1, 2, 3)) for _ in range(chance.randrange(8, 20)))]
    at = sent + chance.randrange(40_000, 400_000) * US
    chunks = [at]
    for _ in sizes[1:]:
        chunks.append(chunks[-1] + chance.randrange(8_000, 31_000) * US)
    whole = line["outcome"] == "COMPLETED"
    answer: dict[str, Any] = {
        "headers_ns": at - 2 * MS,
        "first_data_ns": at - MS,
        "first_token_ns": at,
        "last_token_ns": chunks[-1],
        "status": 200,
        "chunks_ns": chunks,
        "chunk_tokens": sizes,
    }
    if line["outcome"] == "CANCELLED":
        return answer | {"left_ns": chunks[-1] + MS}
    if whole:
        answer |= {"completion_tokens": sum(sizes), "finish_reason": "length"}
    return answer | {"done_ns": chunks[-1] + (500 * US if whole else 9 * MS)}
