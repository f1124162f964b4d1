"""Mutants of the reliability suite's second part: networks, clients that leave, queues."""

from __future__ import annotations

from typing import Any

from tests.mutants.mutant import Mutant, behind, patched

FOLDER = "suites/reliability"
# Answers of some seconds: what a slot holds that is not given back can be seen.
PATIENT = {"engine": {"simulator_arguments": ["--ttft-ms", "5", "--itl-ms", "5"]}}


def of(file: str, *tests: str, **fields: Any) -> Mutant:
    """A mutant of claims of one file, which alone are asked."""
    return Mutant(scope=tuple(f"{FOLDER}/test_{file}.py::{test}" for test in tests), red=tests, **fields)


MUTANTS = [
    of(
        "network",
        "test_a_slow_network_costs_no_answer",
        name="streams-without-end",
        why="streams end without [DONE]",
        engine=behind("no-done"),
    ),
    of(
        "network",
        "test_a_slow_network_adds_its_round_trip_and_no_more",
        name="later-and-later",
        why="the first token is later with each request",
        engine=behind("later-and-later", "--delay-ms", "5"),
    ),
    of(
        "network",
        "test_a_slow_network_does_not_slow_the_cadence",
        name="slower-and-slower",
        why="tokens are slower with each request",
        engine=behind("slower-and-slower", "--delay-ms", "0.5"),
    ),
    of(
        "network",
        "test_a_lossy_network_costs_no_answer_and_changes_none",
        name="letters-altered",
        why="in each fifth stream a letter is another",
        engine=behind("letters-altered"),
    ),
    of(
        "network",
        "test_a_lossy_network_stalls_no_stream_for_long",
        name="stalls-at-times",
        why="each thirtieth stream stalls for five seconds",
        engine=behind("stalls-at-times"),
    ),
    of(
        "network",
        "test_a_reset_in_the_middle_is_seen_as_one_and_frees_its_slots",
        name="slots-leak-at-a-reset",
        why="who is reset goes on being served",
        ground=PATIENT,
        engine=behind("slot-leak"),
    ),
    of(
        "network",
        "test_a_client_in_the_dark_holds_no_slot_for_ever",
        name="slots-held-for-ever",
        why="streams hang in their middle, and hold their slots",
        engine={"simulator_arguments": ["--stall-after", "20", "--stall-ms", "120000"]},
        ground={"bounds": {"network-dark-freed-s": 10.0}},
    ),
    of(
        "storm",
        "test_streams_that_were_left_free_their_slots",
        "test_nothing_is_generated_for_who_has_left",
        name="slots-leak-in-a-storm",
        why="who has left goes on being served",
        ground=PATIENT,
        engine=behind("slot-leak"),
    ),
    of(
        "storm",
        "test_each_who_left_is_counted_and_none_is_an_error",
        name="disconnects-uncounted",
        why="the gateway does not count who leaves",
        profile=patched("disconnects-uncounted"),
        ground=PATIENT,
    ),
    of(
        "storm",
        "test_who_leaves_before_the_answer_is_a_499_and_no_error",
        name="leavers-are-500",
        why="the gateway counts who leaves before the answer as a 500",
        profile=patched("leavers-are-500"),
        ground=PATIENT,
    ),
    of(
        "storm",
        "test_the_access_log_tells_leavers_from_errors",
        name="errors-among-leavers",
        why="a third of the requests is answered 500 before anybody leaves",
        engine={"simulator_arguments": ["--itl-ms", "5", "--error-share", "0.3"]},
        ground=PATIENT,
    ),
    of(
        "storm",
        "test_a_crowd_at_the_door_is_let_in_and_health_stays_up",
        name="door-too-narrow",
        why="fifty a second are let in of each address",
        gateway={"limits": {"client": "50/second"}},
        ground=PATIENT,
    ),
    of(
        "queue",
        "test_who_finds_the_queue_full_is_told_so_at_once",
        "test_who_was_admitted_has_a_whole_answer",
        "test_each_refusal_is_counted",
        name="admission-off",
        why="the gateway lets everybody in",
        profile=patched("admission-off"),
    ),
    of(
        "queue",
        "test_each_refusal_is_counted",
        name="sheds-uncounted",
        why="the gateway does not count whom it turns away",
        profile=patched("sheds-uncounted"),
    ),
    of(
        "queue",
        "test_a_queue_that_was_full_takes_again",
        name="slots-kept",
        why="the gateway's slots are never given back",
        profile=patched("slots-kept"),
    ),
    of(
        "queue",
        "test_an_engine_that_is_full_says_so_itself",
        name="full-is-500",
        why="an engine that is full says that it is broken",
        engine=behind("full-is-500"),
        kind="vllm",
    ),
]
