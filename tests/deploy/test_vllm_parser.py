"""The pinned vLLM's own parser is asked, and says no to what this version no longer has."""

from __future__ import annotations

import pytest

from tests.deploy.vllm_parser import rejections

BASE = ["m", "--max-num-seqs", "64"]
# Each was a flag of an older vLLM, and stands in a published manifest or script.
REMOVED = [
    ["--swap-space", "4"],
    ["--disable-log-requests"],
    ["--num-scheduler-steps", "8"],
    ["--max-seq-len-to-capture", "8192"],
    ["--guided-decoding-backend", "outlines"],
]
BUCKETS = "--custom-histogram-buckets"


def test_flags_that_this_version_no_longer_has_are_refused_by_name() -> None:
    for flags, why in zip(REMOVED, rejections([[*BASE, *flags] for flags in REMOVED]), strict=True):
        assert why is not None, flags
        assert "unrecognized arguments" in why
        assert flags[0] in why
    (why,) = rejections([[*BASE, "--device", "cuda"]])  # now the beginning of two others
    assert why is not None
    assert "ambiguous option: --device" in why


def test_what_a_manifest_may_say_parses() -> None:
    said = [
        BASE,
        ["vllm", "serve", *BASE],
        ["--model", "m", "--dtype", "half"],
        [
            *BASE,
            "--max-num-queued-reqs",
            "128",
            "--max-num-queued-tokens",
            "100000",
            "--shutdown-timeout",
            "60",
        ],
        [*BASE, BUCKETS, '{"time_to_first_token": [0.1, 0.2, 0.4]}'],
    ]
    assert rejections(said) == [None] * len(said)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--max-num-seqs", "many"], "invalid"),
        (["--dtype", "float8"], "invalid choice"),
        ([BUCKETS, '{"ttft": [0.2]}'], "unknown bucket family"),
        ([BUCKETS, '{"time_to_first_token": [0.4, 0.2]}'], "strictly increasing"),
        (["--sse-keep-alive-interval", "-1"], "non-negative"),
    ],
)
def test_wrong_values_are_refused_with_the_parsers_reason(flags: list[str], reason: str) -> None:
    (why,) = rejections([["m", *flags]])
    assert why is not None
    assert reason in why


def test_one_bad_list_among_good_ones_is_the_only_one_refused() -> None:
    first, second, third = rejections([BASE, [*BASE, "--swap-space", "4"], BASE])
    assert (first, third) == (None, None)
    assert second is not None
