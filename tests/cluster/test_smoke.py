"""Smoke in a real cluster, as its user starts it: through NGINX with TLS, on simulator and real vLLM."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.sessions import Ended, Sessions
from tests.kubernetes.cluster import ROOT

pytestmark = pytest.mark.kubernetes

SMOKE = ("-m", "smoke", "--env", "cluster")
# Of 76: the page of a gateway is one of two, which a claim may be right to refuse.
PASSED_AT_LEAST = 75
SERVED = "/v1/completions", "/v1/chat/completions"


def requests(ended: Ended) -> list[dict[str, object]]:
    """What NGINX wrote down of each request of this run for tokens."""
    (log,) = (ended.folder / "logs" / "cluster").glob("vllm-ingress-*.nginx.log")
    # The kubelet's own time stands before each line.
    lines = [line[line.index("{") :] for line in log.read_text().splitlines() if '"request_id"' in line]
    return [found for line in lines if (found := json.loads(line))["path"] in SERVED]


def check(ended: Ended, *, simulated: bool) -> None:
    """What holds of a smoke run on either engine."""
    assert ended.code == 0, ended.output
    verdict = ended.run.document("verdict.json")
    assert (verdict["state"], verdict["exit_code"]) == ("MET", 0), verdict["reason"]
    assert verdict["simulated"] is simulated
    assert verdict["engine"] == ("simulator" if simulated else "vllm")
    claims = verdict["claims"]
    assert set(claims) <= {"total", "passed", "skipped"}, "none failed and none is in error"
    assert claims["passed"] >= PASSED_AT_LEAST
    judged = [one for one in verdict["objectives"] if one["required"]]
    assert judged
    assert {one["state"] for one in judged} == {"MET"}
    assert {one["state"] for one in verdict["laws"]} == {"MET"}


def check_way_in(ended: Ended) -> None:
    """Each request of the loads came to NGINX, over TLS, and was answered by a gateway behind it."""
    assert "stack ready at https://" in ended.output
    asked = requests(ended)
    due = sum(load["due"] for load in ended.run.document("verdict.json")["loads"])
    assert due > 0
    assert len(asked) >= due
    assert {one["tls"] for one in asked} <= {"TLSv1.2", "TLSv1.3"}
    assert all(one["upstream"] for one in asked if one["status"] == 200)
    outcomes = {claim["title"]: claim["outcome"] for claim in ended.run.lines("claims.jsonl")}
    spoken = [title for title in outcomes if title.startswith("TLS 1.2 and 1.3 are spoken")]
    assert spoken
    assert {outcomes[title] for title in spoken} == {"passed"}


def test_on_the_simulator(sessions: Sessions, left: Callable[..., list[str]]) -> None:
    ended = sessions(*SMOKE, bound_s=300)
    check(ended, simulated=True)
    check_way_in(ended)
    assert left(ended.run_id) == []


@pytest.mark.skipif(
    not (Path(ROOT) / ".engine" / "engine.json").is_file(),
    reason="does not fit: no .engine here (`make setup`)",
)
def test_on_real_vllm(sessions: Sessions, left: Callable[..., list[str]]) -> None:
    ended = sessions(*SMOKE, "--engine", "vllm", bound_s=500)
    check(ended, simulated=False)
    check_way_in(ended)
    assert ended.run.document("fingerprint.json")["engine.kind"] == "vllm"
    assert left(ended.run_id) == []
