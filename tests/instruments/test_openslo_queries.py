"""Ratios of OpenSLO documents that somebody else wrote: a bucket of a histogram, and never a formula."""

from __future__ import annotations

import pytest

from instruments.errors import ConfigurationError
from instruments.slo import ServiceLevelObjective
from instruments.slo.openslo import from_openslo
from tests.instruments.test_openslo_foreign import metric, slo

B, C = "vllm:e2e_request_latency_seconds_bucket", "vllm:e2e_request_latency_seconds_count"


def read(good: str, total: str) -> ServiceLevelObjective:
    ratio = {"counter": True, "good": metric(good), "total": metric(total)}
    [objective] = from_openslo([slo({"ratioMetric": ratio})], "theirs.yaml", "w").values()
    return objective


@pytest.mark.parametrize(
    ("good", "total"),
    [
        (f'sum({B}{{le="2.5"}})', f"sum({C})"),
        (f'sum({B}{{le="2.5",}})', f"sum({C}{{}})"),
        (f'sum({B}{{le="25e-1"}})', f"sum({C})"),
        (f'sum(rate({B}{{le="2.5"}}[5m]))', f"sum(rate({C}[5m]))"),
        (f'sum(increase({B}{{job="a}}b", le="2.5"}}[{{{{.window}}}}]))',
         f'sum(increase({C}{{job="a}}b"}}[{{{{.window}}}}]))'),
        (f' sum ( rate ( {B} {{ a!="x,y" , le = "2.50" , b=~"z" }} [5m] ) ) ',
         f'sum(rate({C}{{b=~"z", a!="x,y"}}[5m]))'),
    ],
)  # fmt: skip
def test_a_share_of_a_histogram_may_be_asked_for_in_several_ways(good: str, total: str) -> None:
    found = read(good, total)
    assert (found.indicator, found.statistic, found.at_most) == ("server_e2e_s", "p95", 2.5)


@pytest.mark.parametrize(
    ("good", "total"),
    [
        (f'1 - sum(rate({B}{{le="2.5"}}[5m]))/2', f"sum(rate({C}[5m]))"),
        (f'sum(rate({B}{{le="2.5"}}[5m]))', f"sum(rate({C}[5m]))*5"),
        (f'sum(rate({B}{{le="2.5"}}[5m] offset 1h))', f"sum(rate({C}[5m] offset 1h))"),
        (f'sum(rate({B}{{le="2.5"}}[5m])) or vector(0)', f"sum(rate({C}[5m]))"),
        (f'sum(rate({B}{{le="2.5"}}[5m]))', f"sum(rate({C}[1h]))"),  # of two windows
        (f'sum(rate({B}{{le="2.5"}}[5m]))', f"sum(increase({C}[5m]))"),
        (f'sum(rate({B}{{le="2.5"}}[5m]))', f'sum(rate({C}{{job="a"}}[5m]))'),  # of other events
        (f'sum(rate({B}{{le="2.5",job="b"}}[5m]))', f'sum(rate({C}{{job="a"}}[5m]))'),
        (f'sum(rate({B}{{le="2.5"}}[5m]))', "sum(rate(vllm:time_to_first_token_seconds_count[5m]))"),
        (f'sum(rate({B}{{le="2.5"}}[5m]))', f"sum(rate({B}[5m]))"),
        (f'sum(rate({B}{{le!="2.5"}}[5m]))', f"sum(rate({C}[5m]))"),
        (f'sum(rate({B}{{le=~"5|10"}}[5m]))', f"sum(rate({C}[5m]))"),
        (f'sum(rate({B}{{le=~"2.*"}}[5m]))', f"sum(rate({C}[5m]))"),
        (f'sum(rate({B}{{le="+Inf"}}[5m]))', f"sum(rate({C}[5m]))"),
        (f'sum(rate({B}{{le="1",le="2.5"}}[5m]))', f"sum(rate({C}[5m]))"),
        (f'sum({B}{{le="2.5"}}[5m])', f"sum({C}[5m])"),
        (f'sum(rate({B}{{le="2.5"}}))', f"sum(rate({C}))"),
        (f'max(rate({B}{{le="2.5"}}[5m]))', f"max(rate({C}[5m]))"),
        (f'sum by (model_name) (rate({B}{{le="2.5"}}[5m]))', f"sum by (model_name) (rate({C}[5m]))"),
        (f'sum(rate({B}{{le="2.5"}}[5m])', f"sum(rate({C}[5m])"),
    ],
)
def test_a_formula_is_no_share_of_a_histogram(good: str, total: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(good, total)
    said = str(caught.value)
    assert "theirs.yaml: document 1.spec.indicator.spec.ratioMetric: nothing here measures it" in said
    assert f"seen:     good: {good}; total: {total}" in said


@pytest.mark.parametrize("le", ['="5"', '="5.0"', '=~"5|5[.]0"', r'=~"5|5\\.0"'])
def test_a_whole_bound_is_written_in_several_ways(le: str) -> None:
    assert read(f"sum({B}{{le{le}}})", f"sum({C})").at_most == 5
