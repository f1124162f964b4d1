"""The host stack, whole: two engines, gateway, NGINX, exporter, monitoring, and what holds between them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from environments.binaries import find_monitoring
from environments.local import local_stack
from environments.profile import profile_path, read_profile
from environments.provider import Stack
from tests.environments.census import eventually, parent_of
from tests.environments.kept_stack import require_parts

STRANGER = "127.0.0.2"
CHAT = "/v1/chat/completions"
# What vLLM leaves open to everybody who reaches it.
UNGUARDED = """
/metrics /invocations /tokenize /detokenize /pause /resume /is_paused /sleep /wake_up /collective_rpc
/reset_prefix_cache /generative_scoring /scale_elastic_ep /is_scaling_elastic_ep /kv_event_sources /load
/version /ping /server_info /openapi.json /docs /redoc /v1/load_lora_adapter /inference/v1/generate
/start_profile
""".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("host")


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    require_parts()
    if find_monitoring("prometheus") is None:
        pytest.skip("no Prometheus on this machine: `make setup` unpacks one where there is apt")
    host = read_profile(profile_path("host"))
    assert host.engine is not None
    assert host.ingress is not None
    with local_stack(
        replace(
            host,
            engine=replace(host.engine, kind="simulator", replicas=2),
            ingress=replace(host.ingress, burst=5),
        ),
        folder,
        lambda _: None,
    ) as running:
        yield running


@pytest.fixture
def client(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=stack.base_url, verify=stack.tls(), headers=stack.headers(), trust_env=False, timeout=20.0
    ) as found:
        yield found


def from_stranger(stack: Stack) -> httpx.Client:
    transport = httpx.HTTPTransport(verify=stack.tls(), local_address=STRANGER)
    return httpx.Client(base_url=stack.base_url, transport=transport, headers=stack.headers(), timeout=20.0)


def line_of(path: Path, request_id: str) -> dict[str, Any]:
    """The line of a log of JSON with this request id."""
    found: list[dict[str, Any]] = []

    def there() -> bool:
        lines = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
        found[:] = [one for one in lines if one.get("request_id") == request_id and "status" in one]
        return bool(found)

    eventually(there, f"a line for {request_id} in {path.name}")
    return found[0]


def test_every_part_runs_and_answers_where_the_stack_says(stack: Stack) -> None:
    assert [part.name for part in stack.components] == ["engine", "engine-2", "gateway", "ingress"]
    names = {part.name for part in stack.watchers}
    assert {"exporter", "prometheus", "alertmanager"} <= names
    stack.check()
    assert stack.dead_watchers() == {}
    with httpx.Client(trust_env=False) as plain:
        for url in (
            *(f"{url}/health" for url in stack.engine_urls),
            f"{stack.gateway_url}/health",
            str(stack.gateway_metrics_url),
            str(stack.exporter_url),
            f"{stack.prometheus_url}/-/ready",
            f"{stack.alertmanager_url}/-/ready",
            str(stack.alert_receiver_url),
        ):
            assert plain.get(url).status_code == 200, url


def test_clients_come_in_by_the_ingress_over_tls(stack: Stack, client: httpx.Client) -> None:
    assert stack.base_url == stack.ingress_url
    assert stack.base_url.startswith("https://")
    answer = client.get("/v1/models")
    assert (answer.status_code, answer.headers["server"]) == (200, "nginx")


def test_what_is_wrong_with_the_readings_and_the_engine_is_said(stack: Stack) -> None:
    notes = " ".join(stack.notes)
    assert "SIMULATED" in notes
    assert "a stub's" in notes
    assert "2 engines" in stack.missing["engine_metrics"]
    assert {"ingress", "exporter", "prometheus"}.isdisjoint(stack.missing)


def test_the_fingerprint_names_the_gateway_the_ingress_and_its_rates(stack: Stack) -> None:
    assert re.fullmatch(r"nginx \d+\.\d+\.\d+", stack.fingerprint["ingress.version"])
    assert stack.fingerprint["ingress.rate"] == "10/second, burst 5, 64 open, then 429"
    assert stack.fingerprint["ingress.own_rate"] == "2000/second for 127.0.0.1/32, ::1/128"
    assert stack.fingerprint["engine.replicas"] == "2"
    assert all(len(stack.fingerprint[f"gateway.{name}"]) == 16 for name in ("sha256", "libraries"))


def test_prometheus_scrapes_both_engines_the_gateway_and_the_exporter(stack: Stack) -> None:
    with httpx.Client(base_url=str(stack.prometheus_url), trust_env=False) as prometheus:
        targets = prometheus.get("/api/v1/targets").json()["data"]["activeTargets"]
        busy = prometheus.get("/api/v1/query", params={"query": "gpu_utilization_percent"}).json()
    jobs = [(one["labels"]["job"], one["health"]) for one in targets]
    assert jobs.count(("engine", "up")) == 2
    assert {("gateway", "up"), ("exporter", "up")} <= set(jobs)
    read = {one["metric"]["gpu_id"]: one["value"][1] for one in busy["data"]["result"]}
    assert read == {"0": "61", "1": "58"}  # as the profile dictates


def test_both_engines_serve_behind_one_address(stack: Stack, client: httpx.Client) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
    for _ in range(8):
        assert client.post(CHAT, json=body).status_code == 200
    with httpx.Client(trust_env=False) as plain:
        served = [
            re.search(
                r"^vllm:request_success_total\{[^}]*length[^}]*\} (\S+)",
                plain.get(f"{url}/metrics").text,
                re.M,
            )
            for url in stack.engine_urls
        ]
    counted = [float(found[1]) for found in served if found]
    assert len(counted) == 2
    assert sum(counted) == 8
    assert min(counted) >= 1


def test_the_gateway_sees_the_clients_own_address_and_not_the_one_it_claims(
    stack: Stack, folder: Path
) -> None:
    with from_stranger(stack) as stranger:
        headers = {"X-Forwarded-For": "10.1.2.3", "X-Request-Id": "who-am-i"}
        assert stranger.get("/v1/models", headers=headers).status_code == 200
    assert line_of(folder / "logs" / "gateway.log", "who-am-i")["client"] == STRANGER
    assert line_of(folder / "logs" / "ingress-access.jsonl", "who-am-i")["client"] == STRANGER


def test_the_stranger_meets_the_ingress_and_the_suite_the_gateways_own_limits(
    stack: Stack, client: httpx.Client
) -> None:
    with from_stranger(stack) as stranger:
        refused = [answer for _ in range(40) if (answer := stranger.get("/health")).status_code != 200]
    assert refused
    assert {answer.status_code for answer in refused} == {stack.limiter_code}
    name, allowed, _ = stack.limited_key or ("", 0, 0.0)
    answers = [client.get("/v1/models", headers=stack.headers(name)) for _ in range(allowed + 20)]
    limited = [answer for answer in answers if answer.status_code == 429]
    assert limited
    # The gateway's own words came through: they name the limit, which the ingress does not know.
    assert limited[0].json()["error"]["message"] != refused[0].json()["error"]["message"]


def test_a_body_over_the_gateways_bound_is_413_and_not_the_ingresss_default_of_a_megabyte(
    client: httpx.Client,
) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "x" * 2_000_000}], "max_tokens": 2}
    assert client.post(CHAT, json=body).status_code == 200
    body["messages"] = [{"role": "user", "content": "x" * 5_000_000}]
    answer = client.post(CHAT, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, 413)


# ---- the security floor of all that runs


def processes(stack: Stack) -> dict[int, list[str]]:
    """Command lines of all that the stack runs, their wardens and children too, by process id."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    parents = {}
    for pid in pids:
        with suppress(LookupError):  # it has ended since
            parents[pid] = parent_of(pid)
    own = {part.pid for part in (*stack.components, *stack.watchers) if part.pid}
    own |= {parents[pid] for pid in own}  # the warden
    while more := {pid for pid, parent in parents.items() if parent in own} - own:
        own |= more
    found = {}
    for pid in own:
        with suppress(OSError):
            found[pid] = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return found


def test_no_key_is_on_a_command_line(stack: Stack) -> None:
    found = processes(stack)
    assert len(found) >= 12  # six programs and more, each under a warden: the look was no empty one
    secrets = [key.reveal() for key in stack.keys.values()]
    assert len(secrets) == 4
    for words in found.values():
        assert not any(secret in word for secret in secrets for word in words), words[:3]


def test_nothing_listens_beyond_loopback(stack: Stack) -> None:
    inodes = {
        link.readlink().name.partition("[")[2].rstrip("]")
        for pid in processes(stack)
        for link in Path(f"/proc/{pid}/fd").glob("*")
        if link.is_symlink() and str(link.readlink()).startswith("socket:")
    }
    listening = [
        (line.split()[1].rpartition(":")[0], line.split()[1].rpartition(":")[2])
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and line.split()[9] in inodes
    ]
    assert len(listening) >= 7  # engine, gateway twice, nginx twice, exporter, Prometheus, Alertmanager …
    loopback = {"0100007F", "00000000000000000000000001000000"}
    assert {address for address, _ in listening} <= loopback


def test_what_vllm_leaves_open_is_not_reached_through_ingress_or_gateway(stack: Stack) -> None:
    assert stack.gateway_url is not None
    with httpx.Client(verify=stack.tls(), headers=stack.headers(), trust_env=False, timeout=10.0) as client:
        for place in (stack.base_url, stack.gateway_url):
            for route in UNGUARDED:
                for form in (
                    route,
                    f"/v1/..{route}",
                    f"//{route[1:]}",
                    f"/%2e{route}",
                    f"{route}/",
                    route.upper(),
                ):
                    for method in ("GET", "POST"):
                        answer = client.request(method, place + form, content=b"{}")
                        assert answer.status_code in (400, 404, 405, 429, 431), f"{method} {form}: {answer}"
                        assert "vllm" not in answer.text


def test_what_holds_a_key_is_for_its_owner_only(stack: Stack, folder: Path) -> None:
    """Files of the run that hold a secret, in all its forms, cannot be read by others; logs hold none."""
    httpx.get(f"{stack.base_url}/v1/models", headers=stack.headers(), verify=stack.tls(), trust_env=False)
    secrets = [key.reveal().encode() for key in stack.keys.values()]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".log" and path.stat().st_size for path in files)
    for path in files:
        text = path.read_bytes()
        if any(secret in text for secret in secrets) or b"PRIVATE KEY" in text:
            assert path.suffix != ".log"
            closed = [parent.stat().st_mode & 0o077 == 0 for parent in (path, *path.parents)]
            assert any(closed), f"{path.relative_to(folder)} can be read by others"
