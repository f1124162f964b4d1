"""Faults for the latency suite: late first tokens, stalls, slow proxies, short waits, no cache."""

from __future__ import annotations

from .mutant import Mutant, behind, patched

TTFT = "suites/latency/test_ttft.py"
CADENCE = "suites/latency/test_cadence.py"
COLD = "suites/latency/test_cold_start.py"
PREFIX = "suites/latency/test_prefix.py"
OVERHEAD = "suites/latency/test_overhead.py"
LONG = "suites/latency/test_long.py"

MUTANTS = [
    Mutant(
        "first-token-late",
        (f"{TTFT}::test_objective_is_met[ttft-p90-under-8]",),
        ("test_ttft.py::test_objective_is_met[ttft-p90-under-8]",),
        "the first bytes of each stream come 600 ms late",
        engine=behind("first-token-delay", "--delay-ms", "600"),
    ),
    Mutant(
        "prefill-quadratic",
        (f"{TTFT}::test_ttft_grows_no_faster_than_the_prompt",),
        ("test_ttft_grows_no_faster_than_the_prompt",),
        "the first token is late by the square of the prompt's length",
        engine=behind("long-prompts-quadratic", "--delay-ms", "800"),
    ),
    Mutant(
        "tokens-by-the-hundred",
        (f"{CADENCE}::test_objective_is_met",),
        ("test_cadence.py::test_objective_is_met[chunk-gap-p95-cadence]",),
        "the engine hands tokens over 95 at a time",
        also=("test_cadence.py::test_objective_is_met[itl-p95-cadence]",),
        engine={"simulator_arguments": ["--tokens-per-chunk", "95"]},
    ),
    Mutant(
        "streams-stall",
        (f"{CADENCE}::test_streams_do_not_stall",),
        ("test_streams_do_not_stall",),
        "in three streams of ten nothing comes for a second and a half",
        engine={"simulator_arguments": ["--stall-after", "20", "--stall-ms", "1500", "--fault-share", "0.3"]},
    ),
    Mutant(
        "streams-held-back",
        (
            f"{CADENCE}::test_tokens_arrive_as_they_are_made",
            f"{CADENCE}::test_streams_take_as_long_as_they_were_made",
        ),
        ("test_tokens_arrive_as_they_are_made", "test_streams_take_as_long"),
        "streams are held back to their end",
        ground={"engine": {"simulator_arguments": ["--itl-ms", "30"]}},
        engine=behind("buffering"),
    ),
    Mutant(
        "start-slow",
        (COLD,),
        ("test_a_cold_start_keeps_its_budget",),
        "the engine is ready only after thirteen seconds",
        ground={"bounds": {"cold-start-s": 12.0}},
        engine=behind("slow-start", "--delay-ms", "13000"),
    ),
    Mutant(
        "first-request-slow",
        (COLD,),
        ("test_the_first_request_pays_little",),
        "the first request of all takes three seconds longer",
        ground={"bounds": {"cold-start-s": 60.0, "first-request-penalty-s": 2.0}},
        engine=behind("first-request-late", "--delay-ms", "3000"),
    ),
    Mutant(
        "prefix-cache-off",
        (
            f"{PREFIX}::test_a_shared_beginning_is_read_once",
            f"{PREFIX}::test_a_cached_beginning_brings_the_first_token_sooner",
        ),
        ("test_a_shared_beginning_is_read_once",),
        "the engine keeps no prefix cache",
        blind=("test_a_cached_beginning_brings_the_first_token_sooner",),
        engine={"arguments": ["--max-num-seqs", "64", "--no-enable-prefix-caching"]},
        kind="vllm",
    ),
    Mutant(
        "prefix-cache-fakes",
        (f"{PREFIX}::test_prompts_of_ours_share_nothing[prefix-distinct]",),
        ("test_prompts_of_ours_share_nothing[prefix-distinct]",),
        "every prompt is found in the prefix cache, one never seen too",
        engine=behind("cache-hits-all"),
    ),
    Mutant(
        "proxies-slow",
        (OVERHEAD,),
        ("test_the_gateway_adds_little", "test_the_ingress_adds_little"),
        "the gateway sits on each request for 40 ms, and twice on those by the ingress",
        profile=patched("gateway-slow"),
    ),
    Mutant(
        "ingress-impatient",
        (LONG,),
        (
            "test_proxies_wait_ten_minutes_between_two_reads",
            "test_long_generations_are_not_cut",
            "test_an_answer_may_fill_the_context",
            "test_a_stream_that_begins_late_is_not_cut",
        ),
        "the ingress waits a second between two reads, and the engine is silent for longer",
        profile={"ingress": {"read_timeout_s": 1}},
        engine={"simulator_arguments": ["--stall-after", "100", "--stall-ms", "2500"]},
    ),
    Mutant(
        "ingress-gives-up",
        (f"{LONG}::test_the_ingress_saw_no_long_generation_end_early",),
        ("test_the_ingress_saw_no_long_generation_end_early",),
        "the ingress waits a second, and the engine's answers begin only after three",
        profile={"ingress": {"read_timeout_s": 1}},
        engine={"simulator_arguments": ["--slow-header-ms", "3000"]},
    ),
    Mutant(
        "gateway-impatient",
        (
            f"{LONG}::test_proxies_wait_ten_minutes_between_two_reads",
            f"{LONG}::test_a_stream_that_begins_late_is_not_cut",
        ),
        ("test_proxies_wait_ten_minutes_between_two_reads", "test_a_stream_that_begins_late_is_not_cut"),
        "the gateway waits a second for an engine that says nothing",
        gateway={"upstream": {"read_timeout_s": 1}},
    ),
]
