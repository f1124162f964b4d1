"""Mutants of the soak suite: what grows, and what is lost on the way."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, behind, patched

FILE = "suites/soak/test_drift.py"
SHORT = ("--duration-scale", "0.025")  # some twenty seconds: what is planted grows fast
# In so short a time a busy machine moves everything: these are some times that, and what is planted more yet.
ROUGH = {
    "bounds": {
        "soak-ttft-growth-s": 15,
        "soak-tpot-growth-s": 2,
        "soak-memory-growth-bytes": 20 * 2**30,
        "soak-fds-growth": 5000,
        "soak-threads-growth": 5000,
        "soak-kv-growth-share": 20,
    }
}

MUTANTS = [
    Mutant(
        name="soak-loses",
        scope=(f"{FILE}::test_every_answer_of_the_soak_is_whole",),
        red=("test_every_answer_of_the_soak_is_whole",),
        why="the engine refuses a tenth of what it is asked",
        engine={"simulator_arguments": ["--ttft-ms", "5", "--itl-ms", "0.4", "--error-share", "0.1"]},
        ground=ROUGH,
        options=SHORT,
    ),
    Mutant(
        name="later-all-the-time",
        scope=(f"{FILE}::test_latency_does_not_drift[ttft_s]",),
        red=("test_latency_does_not_drift[ttft_s]",),
        why="the first token is later with each request",
        engine=behind("later-and-later", "--delay-ms", "10"),
        ground=ROUGH,
        options=SHORT,
    ),
    Mutant(
        name="slower-all-the-time",
        scope=(f"{FILE}::test_latency_does_not_drift[tpot_s]",),
        red=("test_latency_does_not_drift[tpot_s]",),
        why="tokens are slower with each request",
        engine=behind("slower-and-slower", "--delay-ms", "0.5"),
        ground=ROUGH,
        options=SHORT,
    ),
    Mutant(
        name="gateway-leaks",
        scope=(f"{FILE}::test_no_part_holds_more_and_more",),
        red=("[memory]", "[files]", "[threads]"),
        why="the gateway keeps memory, a file and a thread of each request",
        profile=patched("leaks-all"),
        ground=ROUGH,
        options=SHORT,
    ),
    Mutant(
        name="cache-fills-up",
        scope=(f"{FILE}::test_the_cache_does_not_fill_up",),
        red=("test_the_cache_does_not_fill_up",),
        why="the engine's cache is fuller at each look",
        engine=behind("cache-fills-up"),
        ground=ROUGH,
        options=SHORT,
    ),
]
