"""Do engine, gateway and exporter say what their contract says?

Workload: `observed-scraped` (four users, streams), scraped over and over, and two waves of odd requests.
Bounds: suites/catalog/contracts/*.yaml, each metric with type, labels, buckets and range; `scrape-took-s`.
Needs: the part's own /metrics. Costs: 8 s.
"""

from __future__ import annotations

import math
import re
import uuid
from itertools import pairwise

import pytest

from instruments.telemetry.exposition import parse_exposition

pytestmark = [pytest.mark.observability, pytest.mark.claim("gateway-rtx3090", "host-a6000")]

FORMATS = ("text/plain; version=0.0.4", "text/plain; version=1.0.0", "application/openmetrics-text")
OWN = ("vllm:", "gateway_", "gpu_")
# vLLM's own, of another age: a histogram of counts that is called a total.
MISNAMED = {"vllm:iteration_tokens_total"}


@pytest.fixture
def promised(contracted, stack, page_of, engine_version, pages_over_a_load):
    """One metric's contract with its page after traffic; only what this engine's version has is promised."""
    part, metric = contracted
    if part == "engine" and stack.simulated and not metric.simulated:
        pytest.skip("the simulator does not have it")
    assert pages_over_a_load, "nothing can be scraped"
    return metric, page_of(part), part != "engine" or metric.at(engine_version())


def test_a_metric_has_its_name_its_type_and_its_help(promised):
    """Each metric is there under its name, with its type and help; what this version lost is gone"""
    metric, page, here = promised
    if not here:
        assert metric.name not in page.types, "a version that should not have it has it"
        return
    assert page.types.get(metric.name) == metric.type
    assert page.helps.get(metric.name), "no HELP line"
    name = f"{metric.name}_count" if metric.type == "histogram" else metric.name
    assert page.series(name) or metric.quiet, "no sample after traffic"


def test_a_metric_has_its_labels_from_closed_sets(promised, stack):
    """Each series carries the labels of its contract and no other, with values from closed sets"""
    metric, page, _ = promised
    ends = ("_bucket", "_sum", "_count") if metric.type == "histogram" else ("",)
    for end in ends:
        for labels in page.series(metric.name + end):
            values = {name: value for name, value in labels if (end, name) != ("_bucket", "le")}
            assert set(values) == set(metric.labels), f"{metric.name}{end}: {values}"
            for name, value in values.items():
                allowed = metric.labels[name].replace("{model}", re.escape(stack.model))
                assert re.fullmatch(allowed, value), f"{metric.name}{end}: {name}={value!r}, not {allowed}"


def test_a_histogram_has_its_buckets_and_counts_all(
    contracted_histogram, page_of, engine_version, pages_over_a_load
):
    """Buckets are those of the contract, cumulative, and the last one, +Inf, is the count"""
    part, metric = contracted_histogram
    if part == "engine" and not metric.at(engine_version()):
        return
    assert pages_over_a_load, "nothing can be scraped"
    page = page_of(part)
    counts = page.series(f"{metric.name}_count")
    assert counts, "no sample after traffic"
    sums = page.series(f"{metric.name}_sum")
    for labels, count in counts.items():
        found = {
            float(dict(has)["le"]): value
            for has, value in page.series(f"{metric.name}_bucket").items()
            if labels <= has
        }
        bounds = sorted(found)
        assert bounds[-1] == math.inf, "no bucket +Inf"
        assert set(metric.buckets) <= set(bounds), f"buckets {bounds}"
        assert not metric.exact or (*metric.buckets, math.inf) == tuple(bounds), f"buckets {bounds}"
        heights = [found[bound] for bound in bounds]
        assert heights == sorted(heights), f"not cumulative: {heights}"
        assert heights[-1] == count, f"+Inf is {heights[-1]:g}, the count {count:g}"
        least = sum(lower * (found[upper] - found[lower]) for lower, upper in pairwise(bounds))
        assert sums[labels] >= least, f"the sum {sums[labels]:g} is less than the buckets hold: {least:g}"


def test_gauges_stay_within_their_ranges_over_a_load(scraped_part, contract, pages_over_a_load):
    """Over a load no gauge leaves its range: a ratio is never over 1, a count never under 0"""
    pages = pages_over_a_load[scraped_part]
    assert len(pages) > 2, "no scrape fell into the load"
    gauges = [one for one in contract(scraped_part) if one.type == "gauge"]
    assert any(page.series(one.name) for page in pages for one in gauges)
    for one in gauges:
        low, high = one.range
        seen = [value for page in pages for value in page.series(one.name).values()]
        assert all(low is None or value >= low for value in seen), f"{one.name}: {min(seen):g}"
        assert all(high is None or value <= high for value in seen), f"{one.name}: {max(seen):g}"


def test_no_counter_falls_over_a_load(scraped_part, pages_over_a_load):
    """From scrape to scrape no counter, bucket or sum of a histogram falls, and none disappears"""
    pages = pages_over_a_load[scraped_part]
    assert len(pages) > 2, "no scrape fell into the load"
    for before, after in pairwise(pages):
        rising = {name for name, kind in before.types.items() if kind in ("counter", "histogram")}
        for (name, labels), value in before.samples.items():
            if name in rising or re.sub("_(bucket|count|sum)$", "", name) in rising:
                now = after.samples.get((name, labels))
                assert now is not None, f"{name}{dict(labels)} has disappeared"
                assert now >= value, f"{name}{dict(labels)} fell from {value:g} to {now:g}"


def test_names_say_what_they_are(scraped_part, page_of):
    """Counters end in _total and nothing else does; times are in seconds and say so"""
    for name, kind in page_of(scraped_part).types.items():
        if not name.startswith(OWN) or name.endswith("_created"):
            continue
        assert name in MISNAMED or name.endswith("_total") == (kind == "counter"), f"{name} is a {kind}"
        assert not re.search(r"_(ms|msec|millis|milliseconds|minutes|us)(_|$)", name), name
        if re.search(r"(latency|duration|_time)(_seconds)?$", name):
            assert name.endswith("_seconds"), name


def test_a_page_is_one_that_every_parser_reads(scraped_part, page_of):
    """Content type, HELP and TYPE of each family, no series twice; two parsers read the same numbers"""
    page = page_of(scraped_part)
    assert page.content_type.replace(";version", "; version").startswith(FORMATS), page.content_type
    assert page.samples, "an empty page"
    assert page.repeated == ()
    assert set(page.types) == set(page.helps)
    ours = parse_exposition(page.text)
    theirs = {
        (name, tuple(sorted(dict(labels).items()))): value for (name, labels), value in page.samples.items()
    }
    assert len(ours.samples) == len(theirs)
    for (name, labels), value in ours.samples.items():
        if not {"le", "quantile"} & dict(labels).keys():  # whose spelling ours makes uniform
            found = theirs[name, tuple(sorted(labels))]
            assert found == value or (math.isnan(found) and math.isnan(value)), name


def test_a_scrape_is_done_in_time(scraped_part, pages_over_a_load, bound):
    """Under load too, a scrape takes less than Prometheus waits for"""
    took_s = sorted(page.took_s for page in pages_over_a_load[scraped_part])
    assert took_s[-1] <= bound("scrape-took-s"), f"slowest of {len(took_s)}: {took_s[-1]:.3f} s"


@pytest.mark.needs("gateway_metrics")
@pytest.mark.parametrize(
    "part", ["gateway", pytest.param("engine", marks=pytest.mark.needs("engine_metrics"))]
)
def test_odd_requests_add_no_series(part, page_of_all, visitor, stack):
    """Invented models, paths, methods, keys and ids: a second wave of them adds no series anywhere"""

    def wave() -> str:
        odd = uuid.uuid4().hex
        asked = {"model": odd, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
        for who in (visitor(), visitor(key=None, headers={"Authorization": f"Bearer {odd}"})):
            for path in ("/v1/chat/completions", "/v1/completions", f"/v1/{odd}", f"/{odd}?{odd}={odd}"):
                who.post(path, json={**asked, "prompt": odd, "user": odd})
            who.request("BREW", f"/v1/models/{odd}")
            who.get("/v1/models", headers={"X-Request-Id": odd, "User-Agent": odd, "X-Forwarded-For": odd})
        return odd

    words = [wave()]
    before = page_of_all(part)
    words.append(wave())
    after = page_of_all(part)
    # A refusal by rate may come or not, and is a series of its own.
    new = {key for key in after.samples.keys() - before.samples.keys() if "429" not in dict(key[1]).values()}
    assert {name for name, _ in new if not name.startswith("gateway_rate_limited")} == set()
    assert not [word for word in words if word in after.text], "a client's words are in the page"
