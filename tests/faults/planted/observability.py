"""Faults for the observability suite: pages of metrics that lie, ids that say too much."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count

from tests.faults.message import Head
from tests.faults.planting import Answer, Asked, Planted, at
from tests.faults.rewriting import Edit

METRICS = b"/metrics"
SLOW_S = 1.2
COUNTERS = re.compile(rb"^(vllm:\w+_total(?:\{[^}]*\})? )(\S+)$", re.M)
GENERATED = re.compile(rb"^(vllm:generation_tokens_total(?:\{[^}]*\})? )(\S+)$", re.M)
USAGE = re.compile(rb"^(vllm:kv_cache_usage_perc(?:\{[^}]*\})? )(\S+)$", re.M)
LOWEST = re.compile(rb'^(vllm:e2e_request_latency_seconds_bucket\{[^}]*le="0\.3"[^}]*\} )(\S+)$', re.M)
SECOND = re.compile(rb'^(vllm:e2e_request_latency_seconds_bucket\{[^}]*)le="0\.5"', re.M)
_scrapes = count()


def _is_prometheus(asked: Asked) -> bool:
    return asked.head.get(b"user-agent").startswith(b"Prometheus")


def retyped(text: bytes) -> bytes:
    """A gauge that is declared a counter's way."""
    return text.replace(
        b"# TYPE vllm:num_requests_running gauge", b"# TYPE vllm:num_requests_running untyped"
    )


def labelled(text: bytes) -> bytes:
    """One label more on each count of successes."""
    return text.replace(b"vllm:request_success_total{", b'vllm:request_success_total{user="somebody",')


def rebucketed(text: bytes) -> bytes:
    """One bound of a histogram is another."""
    return SECOND.sub(lambda found: found[1] + b'le="0.55"', text)


def not_cumulative(text: bytes) -> bytes:
    """The lowest bucket holds more than all above it."""
    return LOWEST.sub(lambda found: found[1] + b"1000000.0", text)


def overfull(text: bytes) -> bytes:
    """A ratio in percent."""
    return USAGE.sub(lambda found: found[1] + b"1.7", text)


def falling(text: bytes) -> bytes:
    """A counter that is less with each scrape."""
    return GENERATED.sub(lambda found: found[1] + b"%f" % (1e6 - next(_scrapes)), text)


def misnamed(text: bytes) -> bytes:
    """A time in milliseconds, and a counter without its ending."""
    return text + b"# HELP vllm:wait_time_ms Time.\n# TYPE vllm:wait_time_ms gauge\nvllm:wait_time_ms 1.0\n"


def helpless(text: bytes) -> bytes:
    """No line of help."""
    return re.sub(rb"^# HELP .*\n", b"", text, flags=re.M)


def doubled(text: bytes) -> bytes:
    """Every counter twice as high."""
    return COUNTERS.sub(lambda found: found[1] + repr(2 * float(found[2])).encode(), text)


def for_prometheus(asked: Asked) -> Edit | None:
    """What Prometheus is told alone."""
    return doubled if asked.path.endswith(METRICS) and _is_prometheus(asked) else None


async def late(answer: Answer) -> AsyncIterator[bytes]:
    """A page that takes long, for all but Prometheus."""
    if answer.asked.path.endswith(METRICS) and not _is_prometheus(answer.asked):
        await asyncio.sleep(SLOW_S)
    async for piece in answer.body:
        yield piece


def telling_id(asked: Asked) -> Asked:
    """The engine gets an id that holds the words of the request."""
    try:
        words = json.loads(asked.body)["messages"][0]["content"].replace(" ", "-")
    except (ValueError, KeyError, TypeError, AttributeError):
        return asked
    given = asked.head.get(b"x-request-id")
    head: Head = asked.head.without(b"x-request-id").plus(b"X-Request-Id", given + b"-" + words.encode())
    return replace(asked, head=head)


FAULTS = [
    Planted("metric-retyped", whole=at(METRICS, retyped)),
    Planted("metric-labelled", whole=at(METRICS, labelled)),
    Planted("buckets-changed", whole=at(METRICS, rebucketed)),
    Planted("buckets-not-cumulative", whole=at(METRICS, not_cumulative)),
    Planted("ratio-in-percent", whole=at(METRICS, overfull)),
    Planted("counter-falls", whole=at(METRICS, falling)),
    Planted("metric-misnamed", whole=at(METRICS, misnamed)),
    Planted("help-dropped", whole=at(METRICS, helpless)),
    Planted("prometheus-told-double", whole=for_prometheus),
    Planted("metrics-slow", timing=late),
    Planted("id-tells-prompt", request=telling_id),
]
