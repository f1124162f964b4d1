"""The page on scale: its formulas on numbers worked out by hand, and SCALE.md by its own figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.scale.__main__ import PAGE
from benchmarks.scale.basis import Figure, Row, is_true, most_streams, rows
from benchmarks.scale.page import NO_PLAN, figures, plan_part, printed, report
from benchmarks.scale.plan import Plan, limits, planned
from benchmarks.scale.points import START, Point
from benchmarks.scale.reading import Read
from benchmarks.scale.streaming import Run

BASIS = {
    "process_mib": 20.0,
    "most_streams_10": 4_096.0,
    "cores_per_1000_10": 0.2,
    "stream_kib_10": 30.0,
    "most_streams_50": 512.0,
    "cores_per_1000_50": 0.75,
    "stream_kib_50": 120.0,
    "request_ms": 0.5,
    "descriptors": 6.0,
    "body_bytes": 220.0,
    "journal_token_bytes": 17.0,
    "journal_request_bytes": 600.0,
    "merge_s": 40.0,
    "merge_gb": 12.0,
}


class TestPlan:
    """100,000 streams of 10 tokens/s, each figure by hand."""

    @pytest.fixture
    def plan(self) -> Plan:
        return planned(BASIS, 100_000, 10.0)

    def test_processor(self, plan: Plan) -> None:
        # 0.2 cores for 1,000 streams, and 10 ÷ 256 requests a second of 0.5 ms each.
        assert plan.core_a_stream == pytest.approx(0.0002 + 0.00001953125)
        assert plan.streams_a_pod == 2_733  # 0.6 ÷ 0.00021953125 = 2,733.1
        assert plan.busy_cores == pytest.approx(21.953125)
        assert plan.pods == 37  # 36.59
        assert plan.nodes == 3  # 37 ÷ 15 = 2.5

    def test_memory_and_descriptors(self, plan: Plan) -> None:
        assert plan.pod_mib == pytest.approx(20 + 2_733 * 30 / 1_024)
        assert plan.pod_descriptors == 2_739

    def test_addresses(self, plan: Plan) -> None:
        assert plan.node_destinations == 1  # 15 × 2,733 = 40,995 streams over the 64,512 ports from 1,024 on
        assert plan.nat_pairs == 2  # 1.55

    def test_network(self, plan: Plan) -> None:
        assert plan.gbit_s == pytest.approx(2.704)  # a million tokens a second of 338 bytes

    def test_files(self, plan: Plan) -> None:
        assert plan.requests == pytest.approx(1_171_875)  # 100,000 × 10 × 300 ÷ 256
        assert plan.journal_gb == pytest.approx(5.803125)  # of 600 + 256 × 17 = 4,952 bytes
        assert plan.collect_min == pytest.approx(5_803.125 / 50 / 60)
        assert plan.merge_min == pytest.approx(0.78125)
        assert plan.merge_gb == pytest.approx(14.0625)

    def test_a_pod_gets_no_more_streams_than_were_measured_truly(self) -> None:
        plan = planned(BASIS, 100_000, 50.0)  # 0.6 ÷ (0.00075 + 0.00009765625) = 707, and 512 were true
        assert (plan.streams_a_pod, plan.pods) == (512, 196)

    def test_without_a_true_number_of_streams_there_is_no_plan(self) -> None:
        with pytest.raises(ValueError, match="measured truly"):
            planned(BASIS | {"most_streams_10": 0.0}, 100_000, 10.0)

    def test_the_tightest_limit_comes_first(self, plan: Plan) -> None:
        found = limits(plan)
        assert found[0].what.startswith("NAT's ports of a node")
        assert found[0].times == pytest.approx(40_995 / 64_512)
        ten_times = limits(planned(BASIS, 1_000_000, 10.0))
        assert ten_times[0].what == "memory of the process that merges"
        assert ten_times[0].times == pytest.approx(140.625 / 64)


def a_run(rate: float, streams: int, **changes: Any) -> Run:
    """A true run: 0.2 cores for 1,000 streams, 1 MiB for 64 of them, 100 bytes of journal and 10 a token."""
    tokens = round(rate * 6)
    run = Run(
        rate=rate,
        streams=streams,
        tokens=tokens,
        round=1,
        completed=streams,
        window_s=4.0,
        tokens_in_window=round(4 * rate * streams),
        client_share=streams * 0.0002,
        whole_cpu_s=0.1 + streams * (0.0002 * 6 + 0.0005),
        peak_bytes=2**20 * 20 + streams * 2**14,
        descriptors=streams + 7,
        send_lag_p99_ms=0.1,
        loop_lag_p99_ms=0.1,
        ttft_error_ms=0.05,
        itl_error_ms=-0.01,
        journal_bytes=streams * (100 + 10 * tokens),
        body_bytes=streams * tokens * 200,
    )
    return replace(run, **changes)


ALL = [
    replace(a_run(START.rate, 1), tokens=START.tokens, peak_bytes=2**20 * 20, whole_cpu_s=0.1),
    *(a_run(rate, streams) for rate in (10.0, 50.0) for streams in (64, 512)),
]
MACHINE = {"cores": 2, "memory_gib": 1, "system": "S", "python": "3", "pinning": "apart"}
READS = [
    Read(1_000, 256, 8, 1, 0.5, 100_000_000),
    Read(11_000, 256, 8, 1, 0.9, 200_000_000),
]


class TestFigures:
    def test_each_is_what_the_runs_were_made_of(self) -> None:
        found = {row.name: row.figure.value for row in rows(ALL, READS)}
        assert found == pytest.approx(
            {
                "process_mib": 20,
                "most_streams_10": 512,
                "cores_per_1000_10": 0.2,
                "stream_kib_10": 16,
                "most_streams_50": 512,
                "cores_per_1000_50": 0.2,
                "stream_kib_50": 16,
                "request_ms": 0.5,
                "descriptors": 7,
                "body_bytes": 200,
                "journal_token_bytes": 10,
                "journal_request_bytes": 100,
                "merge_s": 40,  # 0.4 s for 10,000 requests more
                "merge_gb": 10,  # 0.1 GB for them
            }
        )

    @pytest.mark.parametrize(
        "change",
        [
            {"ttft_error_ms": -1.01},
            {"itl_error_ms": 1.01},
            {"itl_error_ms": None},
            {"send_lag_p99_ms": 10.1},
            {"void": True},
            {"tokens_in_window": round(4 * 10 * 512 * 0.96)},
            {"window_s": None},
            {"problem": "511 of 512 streams came to their end"},
        ],
        ids=str,
    )
    def test_streams_are_too_many_where_no_more_than_half_of_their_rounds_are_true(
        self, change: dict[str, Any]
    ) -> None:
        assert is_true(a_run(10.0, 512))
        spoilt = a_run(10.0, 512, round=2, **change)
        assert not is_true(spoilt)
        assert most_streams([*ALL, spoilt], 10.0) == 64
        assert most_streams([*ALL, spoilt], 50.0) == 512
        assert most_streams([*ALL, spoilt, a_run(10.0, 512, round=3)], 10.0) == 512

    def test_nothing_is_true_above_what_is_not(self) -> None:
        assert most_streams([*ALL, a_run(10.0, 64, void=True)], 10.0) == 0

    def test_the_median_of_rounds_with_the_least_and_the_most(self) -> None:
        rounds = [
            a_run(10.0, 512, round=n, client_share=512 * each) for n, each in ((2, 0.0003), (3, 0.0007))
        ]
        (row,) = [row for row in rows([*ALL, *rounds], READS) if row.name == "cores_per_1000_10"]
        assert row.figure == Figure(0.3, 0.2, 0.7, 3)

    def test_without_a_true_round_the_report_says_that_there_is_no_plan(self) -> None:
        saved = {"machine": MACHINE, "rounds": 1, "quick": False, "load_before": 0.5}
        assert NO_PLAN not in report(saved, ALL, READS)
        told = report(saved, [replace(run, void=True) if run.rate == 50 else run for run in ALL], READS)
        assert f"{NO_PLAN}a figure of the plan has no round that counts." in told
        assert "### The plan" not in told
        assert "| 50 " in told, "what was measured is told all the same"

    def test_what_is_printed_is_what_is_read_again(self) -> None:
        table = figures([Row("a", "x", Figure(0.123, 0.1, 0.2, 3)), Row("b", "y", Figure(4096, 1, 2, 3))])
        assert printed(table) == {"a": 0.123, "b": 4096}


class TestThePage:
    """benchmarks/SCALE.md, as it lies here."""

    def test_its_plan_is_what_the_formulas_make_of_its_own_figures(self) -> None:
        page = PAGE.read_text("utf-8")
        basis = printed(page)
        assert set(basis) == set(BASIS)
        assert plan_part(basis) in page

    def test_its_pods_worked_out_apart(self) -> None:
        """By another way than the code's: streams are added to Pods until all have one."""
        page = PAGE.read_text("utf-8")
        basis = printed(page)
        core = basis["cores_per_1000_10"] / 1_000 + basis["request_ms"] / 1_000 * 10 / 256
        streams = 0
        while streams < basis["most_streams_10"] and (streams + 1) * core <= 0.6:
            streams += 1
        pods, left = 0, 1_000_000
        while left > 0:
            pods, left = pods + 1, left - streams
        (line,) = [line for line in page.splitlines() if line.startswith("| load Pods")]
        assert [cell.strip() for cell in line.split("|")][3] == f"{pods:,}"


def test_a_points_answers_last_as_long_as_they_should() -> None:
    scenario = Point(50.0, 256).scenario()
    assert (scenario.tokens, scenario.itl_ms, scenario.streams) == (300, 20.0, 256)
