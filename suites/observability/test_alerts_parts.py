"""Is it told when GPUs are in trouble, when monitoring is blind, and when the engine's own numbers are bad?

Workload: none. On a stage with a simulated engine and an exporter on a stub of the GPUs' library readings are
dictated, parts are stopped, targets and rules of Prometheus are changed; of slow answers and errors an
exposition of our own tells, scraped as one more engine. Rules wait and look back 20 times faster.
Bounds: `alert-*`. Needs: a stage, Prometheus, Alertmanager, the exporter. Costs: 2 minutes.
"""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from suites.observability.provocations import BLIND, DICTATED, GPUS, PACE

pytestmark = [
    pytest.mark.observability,
    pytest.mark.disruptive,
    pytest.mark.needs("stage", "prometheus", "alertmanager", "exporter"),
    pytest.mark.claim("host-a6000", "gateway-rtx3090", "nobody"),
]

ALERTS = (*GPUS, *BLIND, *DICTATED)
ENGINE = {"kind": "simulator", "replicas": 1, "arguments": [], "interposer": [], "settings": None}
CALM = {"utilization.0": 61, "utilization.1": 58}
LASTS_S = 90.0
# Of 51.5 GB all but 1 % is taken; the bit 0x8 is a brake of the hardware's own.
TROUBLE = {
    "utilization_0": 99,
    "memory_used_0": 50_600_000_000,
    "temperature_0": 91,
    "ecc_uncorrected_0": 3,
    "throttle_1": "0x8",
}
XID = 'DCGM_FI_DEV_XID_ERRORS{gpu="0"} 79\n'
SLOW = """
vllm:e2e_request_latency_seconds_bucket{le="60.0",model_name="slow"} 0
vllm:e2e_request_latency_seconds_count{model_name="slow"} {count}
vllm:time_to_first_token_seconds_bucket{le="10.0",model_name="slow"} 0
vllm:request_success_total{finished_reason="error",model_name="slow"} {count}
"""
BOUNDS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
JUDGED = "".join(
    f'vllm:time_to_first_token_seconds_bucket{{le="{le}",model_name="{model}"}} {{count}}\n'
    for model in ("slow", "burning")
    for le in BOUNDS
)
COUNTED = "".join(
    f'vllm:time_to_first_token_seconds_count{{model_name="{model}"}} {{count}}\n'
    for model in ("slow", "burning")
)
LATE = "".join(
    f'vllm:time_to_first_token_seconds_bucket{{le="{le}",model_name="burning"}} 0\n' for le in BOUNDS
)
# Two series on each side of a join of one to one.
RULE = "groups: [{name: planted, rules: [{record: planted, expr: 'up * on () up'}]}]"


@pytest.fixture
def troubled(once, stage, watch, planted):
    """What became of each alert, and what was active before there was a cause."""

    def tell():
        exporter = {"kind": "stub", "readings": CALM}
        on = stage("troubled", engine=ENGINE, ingress=None, exporter=exporter, pace=PACE)
        watched, parts = watch(on), planted(on)
        watched.calm(60.0)
        control = watched.quiet(10.0)
        trouble(watched, parts)
        blind(watched, parts)
        return watched.followed, control

    return once("troubled", tell)


def trouble(watched, parts):
    """GPUs, a slow engine, a target that is none, rules that fail: all at once."""
    read = ("GpuBusy", "GpuMemoryLow", "GpuHot", "GpuEccErrors", "GpuThrottled")
    told = ("GpuXid", "GpuReadingsOfAStub", 'MetricMissing{job="exporter"}', "TargetDown")
    burning = 'SloBurnRate{slo="ttft-p95-lone-user",window="1h",model_name="burning"}'
    engine = (*DICTATED[:-2], burning, 'SloNotJudged{model_name="slow"}')
    other = {"dictated": {"exporter": XID}, "targets": lambda jobs: jobs.update(nginx=["127.0.0.1:9"])}
    with ExitStack() as cause:
        if watched.wants("RulesFail"):
            failing = cause.enter_context(watched.provoked("RulesFail"))
            cause.enter_context(parts.rule(RULE))
            failing.wait(LASTS_S)
        if watched.wants(*read, *told, *engine):
            with parts.shown(dictated={"engine": SLOW + LATE + COUNTED}) as shown:
                with (
                    watched.provoked(*read, *told, *engine) as alerts,
                    parts.shown(**other, unmarked=True),
                    parts.readings(**TROUBLE),
                ):
                    alerts.wait(LASTS_S)
                    shown["engine"].text = (
                        JUDGED + COUNTED
                    )  # it has the bounds now, and finishes nothing late
                watched.settled(60.0)
    watched.settled(60.0)


def blind(watched, parts):
    """A lost GPU, a receiver that does not take what comes, parts that are down, jobs that are gone."""
    silent = ("GpuUnreadable", "AlertsDoNotArrive")
    if watched.wants(*silent):
        with watched.provoked(*silent) as alerts, ExitStack() as cause:
            with parts.down("alert_receiver"):  # first: there must be something to tell meanwhile
                cause.enter_context(parts.readings(lost_0=1))
                alerts.wait_firing("AlertsDoNotArrive", LASTS_S)
            alerts.wait(LASTS_S)
        watched.settled(40.0)
    down = ("GatewayDown", "GpuExporterDown")
    if watched.wants(*down):
        with watched.provoked(*down) as alerts, parts.down("gateway", "exporter"):
            alerts.wait(LASTS_S)
        watched.settled(40.0)
    unknown = ("EngineNotFound", "GatewayNotFound")
    if watched.wants(*unknown):
        jobs: dict[str, list[str]] = {"engine": [], "gateway": []}
        with (
            watched.provoked(*unknown) as alerts,
            parts.shown(targets=lambda all_jobs: all_jobs.update(jobs)),
        ):
            alerts.wait(LASTS_S)
        watched.settled(40.0)


def test_nothing_fires_while_all_parts_are_well(troubled):
    """While GPUs, targets and rules are well no alert fires, and none is on the way to"""
    assert troubled[1] == {}


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_of_the_parts_fires_and_arrives(troubled, bound, alert):
    """Each trouble of GPUs, targets, rules and numbers fires its alert: pending, firing, delivered in time"""
    # While nobody takes them alerts wait: the receiver hears of these when it is back, and is tried again.
    absent_s = LASTS_S if alert in ("AlertsDoNotArrive", "GpuUnreadable") else 0.0
    troubled[0][alert].require_arrived(
        bound("alert-pending-s"), bound("alert-firing-s"), bound("alert-delivered-s") + absent_s
    )


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_of_the_parts_is_resolved(troubled, bound, alert):
    """When the cause is gone the receiver is told so in time"""
    troubled[0][alert].require_resolved(bound("alert-resolved-s"))


@pytest.mark.parametrize("alert", ALERTS)
def test_what_arrives_of_the_parts_says_what_to_do(troubled, alert):
    """What arrives has the rule's severity, went to those meant, and its summary has values in it"""
    troubled[0][alert].require_told()
