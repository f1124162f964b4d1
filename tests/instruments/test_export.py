"""The metrics port: what Prometheus reads of a running load, against numbers worked out by hand."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import closing
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from instruments.arrivals import Constant
from instruments.errors import ConfigurationError
from instruments.export import HOST, Buckets, MetricsPort
from instruments.fleet import Progress
from instruments.live.due import DueByNow
from instruments.records import Outcome
from tests.instruments.shapes import SECOND, record

MS = SECOND // 1000
# Sent 2 ms after it was due; tokens 100 ms after sending and then 20 and 30 ms apart, two in the last chunk.
ANSWERED = replace(
    record(tokens=4),
    due_ns=0,
    sent_ns=2 * MS,
    first_token_ns=102 * MS,
    last_token_ns=152 * MS,
    done_ns=202 * MS,
    chunks_ns=(102 * MS, 122 * MS, 152 * MS),
    chunk_tokens=(1, 1, 2),
)


def read(port: MetricsPort) -> dict[str, float]:
    """Every sample as `name{label="value",…}`, without the load's own label."""
    host, _, number = port.url.removeprefix("http://").partition("/")[0].partition(":")
    with closing(http.client.HTTPConnection(host, int(number), timeout=10)) as connection:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.labels.pop("load") == "a-load"
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name.removeprefix('vllm_slo_load_')}{{{labels}}}".replace("{}", "")] = (
                sample.value
            )
    return found


def test_every_number_of_a_load_is_exported() -> None:
    failed = record(1, Outcome.FAILED)
    never = replace(record(2, Outcome.NOT_SENT), sent_ns=None)
    due = DueByNow(Constant(10.0), 1, 100, None)
    with MetricsPort("a-load", 0, due) as port:
        port.update(Progress(0.45, (ANSWERED, failed), 2))
        port.update(Progress(0.75, (never,), 3))
        found = read(port)
    assert found["requests_total{outcome=COMPLETED}"] == 1
    assert found["requests_total{outcome=FAILED}"] == 1
    assert found["requests_total{outcome=NOT_SENT}"] == 1
    assert (
        found["requests_total{outcome=TIMED_OUT}"] == 0
    )  # there from the start, so that a rate can be taken
    assert found["sent_total"] == 2
    assert found["due_total"] == 8  # at 0, 0.1, … 0.7 s
    assert found["in_flight"] == 5
    assert found["tokens_total{kind=prompt}"] == 5
    assert found["tokens_total{kind=output}"] == 4


def test_histograms_hold_each_value_at_or_below_its_bound() -> None:
    with MetricsPort("a-load", 0) as port:
        port.update(Progress(1.0, (ANSWERED,), 1))
        found = read(port)
    # TTFT 0.1 s: on the bound itself.
    assert found["ttft_seconds_bucket{le=0.05}"] == 0
    assert found["ttft_seconds_bucket{le=0.1}"] == 1
    assert found["ttft_seconds_count"] == 1
    assert found["ttft_seconds_sum"] == pytest.approx(0.1)
    # Gaps of 0.02, 0.03 and, within the last chunk, 0 s.
    assert found["itl_seconds_bucket{le=0.0001}"] == 1
    assert found["itl_seconds_bucket{le=0.02}"] == 2
    assert found["itl_seconds_bucket{le=0.05}"] == 3
    assert found["itl_seconds_sum"] == pytest.approx(0.05)
    assert found["e2e_seconds_bucket{le=0.2}"] == found["e2e_seconds_bucket{le=+Inf}"] == 1
    assert found["send_lag_seconds_bucket{le=0.001}"] == 0
    assert found["send_lag_seconds_bucket{le=0.002}"] == 1


def test_failed_requests_have_no_latency() -> None:
    cut = replace(ANSWERED, outcome=Outcome.TRUNCATED)
    with MetricsPort("a-load", 0) as port:
        port.update(Progress(1.0, (cut,), 1))
        found = read(port)
    assert found["ttft_seconds_count"] == found["itl_seconds_count"] == found["e2e_seconds_count"] == 0
    assert found["send_lag_seconds_count"] == 1


def test_what_nobody_knows_is_left_out() -> None:
    with MetricsPort("a-load", 0) as port:
        found = read(port)
    assert "due_total" not in found
    assert "in_flight" not in found


def test_buckets_add_up_however_they_are_filled() -> None:
    values = [0.05, 0.1, 0.1001, 0.5, 7.0]
    one_by_one, together = Buckets((0.1, 1.0)), Buckets((0.1, 1.0))
    for value in values:
        one_by_one.add([value])
    together.add(reversed(values))
    assert together.cumulative() == [("0.1", 2), ("1.0", 4), ("+Inf", 5)] == one_by_one.cumulative()
    assert together.total == pytest.approx(7.7501)


def test_a_port_that_is_taken_is_refused_with_a_reason() -> None:
    with socket.create_server((HOST, 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as refused:
            MetricsPort("a-load", number)
    assert str(number) in str(refused.value)
    assert "--metrics-port" in str(refused.value)


def test_only_this_machine_can_ask() -> None:
    with MetricsPort("a-load", 0) as port:
        assert port.url.startswith("http://127.0.0.1:")


def test_nothing_is_left_when_the_load_is_over() -> None:
    before = threading.active_count()
    with MetricsPort("a-load", 0) as port:
        number = int(port.url.split(":")[2].split("/")[0])
        read(port)
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, number), timeout=5)
