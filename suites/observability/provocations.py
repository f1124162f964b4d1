"""Which alert is provoked where: every alert of the rules is in one of these."""

from __future__ import annotations

# Rules wait from 10 s to 5 minutes and look back over up to 15 (those made of objectives, an hour and more).
# On the stages of these files they live so many times faster; the thresholds are as they are. The waits as
# they are stand in the stories of tests/deploy/test_monitoring_alerts_*.py, which promtool is told.
PACE = 20

# By a crowd on a real engine, and by halting it. The last three are dictated where the engine is simulated.
CROWDED = (
    "KvCacheFilling",
    "KvCacheNearlyFull",
    "RequestsWaiting",
    "QueueStaysLong",
    "EngineSaturated",
    "SloThreshold",
    "EngineDown",
    "NoReplica",
    "Preemptions",
    "EngineRejects",
    "EngineStuck",
)
# By an engine that fails as it is dictated to, wrong keys, a replica that hangs, a Redis that is gone.
FAILING = (
    "GatewayErrors",
    "StreamsBreak",
    "ReplicaUnhealthy",
    "ReplicaFlaps",
    "GatewaySheds",
    "AuthFailures",
    "LimitStorageErrors",
)
# By readings of a stub of the GPUs' library.
GPUS = (
    "GpuBusy",
    "GpuMemoryLow",
    "GpuHot",
    "GpuEccErrors",
    "GpuThrottled",
    "GpuXid",
    "GpuUnreadable",
    "GpuReadingsOfAStub",
)
# By parts that are down, targets that are not scraped, rules that cannot be evaluated.
BLIND = (
    "GatewayDown",
    "GpuExporterDown",
    "TargetDown",
    "EngineNotFound",
    "GatewayNotFound",
    "MetricMissing",
    "RulesFail",
    "AlertsDoNotArrive",
)
# By an exposition of our own, scraped as one more engine: a stack had to be slow for minutes, or broken.
DICTATED = ("SlowRequests", "SlowFirstTokens", "EngineErrors", "SloBurnRate", "SloNotJudged")
ALL = (*CROWDED, *FAILING, *GPUS, *BLIND, *DICTATED)
