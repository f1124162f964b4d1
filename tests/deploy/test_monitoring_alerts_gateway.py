"""The gateway's alerts: each fires here and is silent there, by values worked out by hand."""

from __future__ import annotations

from pathlib import Path

from tests.deploy.alerting import Fires, Story, check

REQUESTS, STREAMS = "gateway_requests_total", "gateway_streams_total"


def requests(**counts: int) -> dict[str, str]:
    """Each second so many more answers, by status."""
    return {f'{REQUESTS}{{status_code="{status[1:]}"}}': f"0+{count}x90" for status, count in counts.items()}


SHARES = [
    Story(
        "six of a hundred in a 5xx, of two kinds: both sides are sums",
        requests(s200=94, s502=2, s500=4),
        [Fires("GatewayErrors", "40s", {}, "6% of requests end in a 5xx")],
        [("GatewayErrors", "29s")],
    ),
    Story(
        "four of a hundred in a 5xx, and half of them refused by the limiter",
        requests(s200=46, s429=50, s500=4),
        silent=[("GatewayErrors", "90s")],
    ),
    Story(
        "a probe that says 503 is nobody's request",
        {
            f'{REQUESTS}{{status_code="503", endpoint="/ready"}}': "0+90x90",
            f'{REQUESTS}{{status_code="200", endpoint="/v1/models"}}': "0+10x90",
        },
        silent=[("GatewayErrors", "90s")],
    ),
    Story("no 5xx has ever been", requests(s200=9), silent=[("GatewayErrors", "90s")]),
    Story(
        "six of a hundred streams break after their 200; clients that leave are not among them",
        {
            f'{STREAMS}{{outcome="completed"}}': "0+84x90",
            f'{STREAMS}{{outcome="client_left"}}': "0+10x90",
            f'{STREAMS}{{outcome="upstream_error"}}': "0+6x90",
        },
        [Fires("StreamsBreak", "40s", {}, "6% of streams end before their answer does")],
        [("StreamsBreak", "29s")],
    ),
    Story(
        "clients that leave break nothing",
        {
            f'{STREAMS}{{outcome="completed"}}': "0+10x90",
            f'{STREAMS}{{outcome="client_left"}}': "0+90x90",
        },
        silent=[("StreamsBreak", "90s")],
    ),
]


def healthy(replica: str, values: str, gateway: str = "g:1") -> dict[str, str]:
    labels = f'job="gateway", instance="{gateway}", replica="{replica}"'
    return {f"gateway_upstream_healthy{{{labels}}}": values}


REPLICAS = [
    Story(
        "one of two replicas is out: said after 30 s, and the service goes on",
        healthy("http://e:1", "1+0x60") | healthy("http://e:2", "0+0x60"),
        [
            Fires(
                "ReplicaUnhealthy",
                "30s",
                {"replica": "http://e:2"},
                "no gateway sends requests to http://e:2",
            )
        ],
        [("ReplicaUnhealthy", "29s"), ("NoReplica", "60s")],
    ),
    Story(
        "a replica that one of two gateways still reaches is the other's trouble",
        healthy("http://e:1", "1+0x60") | healthy("http://e:1", "0+0x60", "g:2"),
        silent=[("ReplicaUnhealthy", "60s")],
    ),
    Story(
        "all are out",
        healthy("http://e:1", "1+0x10 0+0x50") | healthy("http://e:2", "0+0x60"),
        [Fires("NoReplica", "21s", {"job": "gateway"}, "the gateway has no engine to send requests to")],
        [("NoReplica", "20s")],
    ),
    Story(
        "ejected each two minutes, and never out for 30 s; three times is chance",
        {
            'gateway_upstream_ejections_total{replica="http://e:1"}': "0x20 1x119 2x119 3x119 4x119",
            'gateway_upstream_ejections_total{replica="http://e:2"}': "0x20 1x119 2x119 3x239",
        },
        [
            Fires(
                "ReplicaFlaps",
                "460s",
                {"replica": "http://e:1"},
                "http://e:1 was ejected again and again in a quarter of an hour",
            )
        ],
        [("ReplicaFlaps", "300s")],
    ),
]

REFUSED = [
    Story(
        "a full queue turns one request away; draining ones are meant to be",
        {
            'gateway_shed_requests_total{reason="queue_full"}': "0+0x60 1+0x400",
            'gateway_shed_requests_total{reason="draining"}': "0+5x460",
        },
        [
            Fires(
                "GatewaySheds",
                "76s",
                {"reason": "queue_full"},
                "the gateway turns requests away with 503 (queue_full)",
            )
        ],
        [("GatewaySheds", "75s"), ("GatewaySheds", "362s")],
    ),
    Story(
        "one request whose limit could not be checked",
        {"gateway_limit_storage_errors_total": "0+0x60 1+0x400"},
        [
            Fires(
                "LimitStorageErrors",
                "76s",
                {},
                "the gateway cannot check limits, as their storage does not answer",
            )
        ],
        [("LimitStorageErrors", "75s"), ("LimitStorageErrors", "362s")],
    ),
    Story(
        "two wrong keys a second: 300 of them in five minutes after 150 s, and a minute to be sure",
        {"gateway_auth_failures_total": "0+2x300"},
        [Fires("AuthFailures", "215s", {}, "1.433 requests a second come with a wrong key, or none")],
        [("AuthFailures", "209s")],
    ),
    Story(
        "one wrong key a second",
        {"gateway_auth_failures_total": "0+1x400"},
        silent=[("AuthFailures", "400s")],
    ),
]


def test_errors_and_replicas(tmp_path: Path) -> None:
    check(tmp_path, "gateway.yml", SHARES + REPLICAS)


def test_what_is_refused(tmp_path: Path) -> None:
    check(tmp_path, "gateway.yml", REFUSED)


STORIES = [*SHARES, *REPLICAS, *REFUSED]
