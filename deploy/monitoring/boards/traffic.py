"""Traffic and errors: who asks for what, how it ends, what is turned away, which replica does the work."""

from __future__ import annotations

from deploy.monitoring.panel import ENGINE, WINDOW, Panel, Query, rate

REQUESTS = "gateway_requests_total"
NO_PROBE = 'endpoint!~"/health|/ready"'  # /ready says 503 for as long as the engine starts
ANSWERS = Panel(
    "Answers by status",
    "All answers of the gateway, refusals included; 499 is a client that left before there was a status.",
    "requests/s = Σ rate(gateway_requests_total) by status_code",
    "reqps",
    [Query(rate(REQUESTS, "status_code"), "{{status_code}}")],
)
ERROR_SHARE = Panel(
    "Share of 5xx",
    "Of all answers but those to probes. Streams that break later are in “Streams by outcome”.",
    "share = Σ rate(requests with 5xx) / Σ rate(all requests); the alert GatewayErrors is at 5 %",
    "percentunit",
    [
        Query(
            f'(sum(rate({REQUESTS}{{{NO_PROBE}, status_code=~"5.."}}[{WINDOW}])) or vector(0))'
            f" / (sum(rate({REQUESTS}{{{NO_PROBE}}}[{WINDOW}])) > 0)",
            "5xx",
        )
    ],
)
PANELS = [
    ANSWERS,
    Panel(
        "Requests by endpoint",
        "What is asked for; paths that are not let through are “other”.",
        "requests/s = Σ rate(gateway_requests_total) by endpoint",
        "reqps",
        [Query(rate(REQUESTS, "endpoint"), "{{endpoint}}")],
    ),
    Panel(
        "Requests by key",
        "Who asks, by the name of the key. A wrong key has no name.",
        "requests/s = Σ rate(gateway_requests_total) by key",
        "reqps",
        [Query(rate(REQUESTS, "key"), "{{key}}")],
    ),
    Panel(
        "Requests by model",
        "Which model is asked for, of those that the replicas list.",
        "requests/s = Σ rate(gateway_requests_total) by model",
        "reqps",
        [Query(rate(REQUESTS, "model"), "{{model}}")],
    ),
    Panel(
        "In flight and queued",
        "Requests whose answer has not ended, streams to their last byte; those that wait to be admitted.",
        "Σ gateway_active_requests; Σ gateway_queued_requests",
        "short",
        [
            Query("sum(gateway_active_requests)", "in flight"),
            Query("sum(gateway_queued_requests)", "queued"),
        ],
    ),
    ERROR_SHARE,
    Panel(
        "Streams by outcome",
        "How event streams really ended, whatever their status said.",
        "streams/s = Σ rate(gateway_streams_total) by outcome; StreamsBreak is at 5 %",
        "reqps",
        [Query(rate("gateway_streams_total", "outcome"), "{{outcome}}")],
    ),
    Panel(
        "Failures of the engine",
        "What the gateway saw go wrong towards its replicas, and the requests that it tried on another one.",
        "Σ rate(gateway_upstream_errors_total) by kind; Σ rate(gateway_upstream_retries_total) by reason",
        "reqps",
        [
            Query(rate("gateway_upstream_errors_total", "kind"), "{{kind}}"),
            Query(rate("gateway_upstream_retries_total", "reason"), "tried again: {{reason}}"),
        ],
        empty="Empty until something fails.",
    ),
    Panel(
        "Refused: keys and limits",
        "401 for a wrong key or none, 429 for a limit that is used up; limits that could not be checked.",
        "Σ rate(gateway_auth_failures_total); Σ rate(gateway_rate_limited_total) by scope; "
        "Σ rate(gateway_limit_storage_errors_total)",
        "reqps",
        [
            Query(rate("gateway_auth_failures_total"), "wrong key"),
            Query(rate("gateway_rate_limited_total", "scope"), "limit: {{scope}}"),
            Query(rate("gateway_limit_storage_errors_total"), "limit not checked"),
        ],
    ),
    Panel(
        "Turned away for want of room",
        "503 with Retry-After: a full queue, too long a wait, a gateway that drains, no replica in use.",
        "Σ rate(gateway_shed_requests_total) by reason",
        "reqps",
        [Query(rate("gateway_shed_requests_total", "reason"), "{{reason}}")],
    ),
    Panel(
        "Clients that left",
        "Before their answer ended. vLLM counts them nowhere.",
        "Σ rate(gateway_client_disconnects_total)",
        "reqps",
        [Query(rate("gateway_client_disconnects_total"), "left")],
    ),
    Panel(
        "How the engine ended answers",
        "stop: the model was done; length: max_tokens; abort: it was asked to; error: the engine's own.",
        "answers/s = Σ rate(vllm:request_success_total) by finished_reason",
        "reqps",
        [Query(rate("vllm:request_success_total", "finished_reason", ENGINE), "{{finished_reason}}")],
    ),
    Panel(
        "Replicas in use",
        "1 for a replica in use, 0 for one that is ejected, shut, or late with its checks and so asked last.",
        "max gateway_upstream_healthy by replica",
        "short",
        [Query("max by (replica) (gateway_upstream_healthy)", "{{replica}}")],
        top=1,
    ),
    Panel(
        "Requests at each replica",
        "The next request goes to the one with the fewest.",
        "Σ gateway_upstream_in_flight by replica",
        "short",
        [Query("sum by (replica) (gateway_upstream_in_flight)", "{{replica}}")],
    ),
    Panel(
        "Ejections",
        "A replica that failed several times in a row gets nothing for some seconds.",
        "Σ rate(gateway_upstream_ejections_total) by replica; ReplicaFlaps is at 3 in 15 min",
        "reqps",
        [Query(rate("gateway_upstream_ejections_total", "replica"), "{{replica}}")],
    ),
]
