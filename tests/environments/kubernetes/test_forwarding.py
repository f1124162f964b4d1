"""Forwards: opened within a bound, opened again when they drop, and none left; by a kubectl made here."""

from __future__ import annotations

import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from environments.kubernetes.addresses import addresses
from environments.kubernetes.api import Api
from environments.kubernetes.forwarding import Forwards
from environments.provider import MissingBinary, StackNotReady
from tests.environments.kubernetes.keeping_api import Kept, kept_cluster

SPACE = "vllm-slo-run"
# Listens at the local port and tells its arguments, or does what the file `mode` beside it says.
KUBECTL = f"""#!{sys.executable}
import http.server, os, pathlib, sys
mode = (pathlib.Path(__file__).parent / "mode").read_text()
if mode == "refused":
    sys.exit("error: unable to forward port because pod is not running")
if mode == "silent":
    import time
    time.sleep(60)
class Told(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/drop":
            os._exit(1)
        if self.path == "/lose":
            print("E1122 portforward.go:400] an error occurred forwarding 1 -> 2", flush=True)
        body = " ".join(sys.argv[1:] + [str(os.getpid()), str("SECRET_OF_MINE" in os.environ)]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
port = int(sys.argv[-1].partition(":")[0])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Told).serve_forever()
"""


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its folder, first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "mode").write_text("listens")
    program = folder / "kubectl"
    program.write_text(KUBECTL)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("SECRET_OF_MINE", "s")
    return folder


@contextmanager
def forwards(folder: Path, said: list[str]) -> Iterator[Forwards]:
    found = Forwards("kept", folder / "logs", said.append)
    try:
        yield found
    finally:
        found.stop()


def told(url: str) -> list[str]:
    return httpx.get(url, trust_env=False, timeout=5.0).text.split()


@pytest.mark.usefixtures("kubectl")
def test_a_forward_leads_to_the_service_and_knows_no_secret_of_the_caller(tmp_path: Path) -> None:
    with forwards(tmp_path, []) as of:
        url = of.to(SPACE, "vllm-engine", "8000")
        *words, _, knows = told(url)
        port = url.rpartition(":")[2]
        assert words == ["--context", "kept", "-n", SPACE, "port-forward", "--address", "127.0.0.1",
                         "service/vllm-engine", f"{port}:8000"]  # fmt: skip
        assert knows == "False"
        assert of.to(SPACE, "vllm-engine", "8000") == url, "one is enough"
        assert told(of.to(SPACE, "deployment/x", "9094"))[7] == "deployment/x"
    with socket.socket() as asking:
        assert asking.connect_ex(("127.0.0.1", int(port))) != 0, "it is still there"


@pytest.mark.usefixtures("kubectl")
@pytest.mark.parametrize("how", ["drop", "lose"])
def test_one_that_drops_or_loses_its_pod_is_opened_again_at_the_same_url(tmp_path: Path, how: str) -> None:
    said: list[str] = []
    with forwards(tmp_path, said) as of:
        url = of.to(SPACE, "vllm-engine", "8000")
        before = told(url)[-2]
        try:
            told(f"{url}/{how}")
        except httpx.HTTPError:
            assert how == "drop"
        until = time.monotonic() + 20.0
        while (now := _pid(url)) in (None, before):
            assert time.monotonic() < until, "it was not opened again"
            time.sleep(0.05)
        assert said == ["forward-vllm-engine-8000 dropped, and is opened again"]
        time.sleep(1.2)  # two looks: what it said before is not taken for a loss again
        assert _pid(url) == now


def _pid(url: str) -> str | None:
    try:
        return told(url)[-2]
    except httpx.HTTPError:
        return None


def test_one_that_does_not_open_says_why_within_a_bound(
    kubectl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (kubectl / "mode").write_text("refused")
    with forwards(tmp_path, []) as of, pytest.raises(StackNotReady) as error:
        of.to(SPACE, "vllm-engine", "8000")
    assert "unable to forward port because pod is not running" in (error.value.seen or "")
    monkeypatch.setattr("environments.kubernetes.forwarding.OPEN_BOUND_S", 0.5)
    (kubectl / "mode").write_text("silent")
    with forwards(tmp_path / "2", []) as of, pytest.raises(StackNotReady) as error:
        of.to(SPACE, "vllm-engine", "8000")
    assert "it does not listen" in (error.value.seen or "")


def test_without_kubectl_it_says_so(kubectl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert kubectl.is_dir()
    with forwards(tmp_path, []) as of, pytest.raises(MissingBinary, match="kubectl is not on this machine"):
        of.to(SPACE, "vllm-engine", "8000")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Kept, Api]]:
    with kept_cluster(tmp_path) as (kept, api):
        kept.put("/api/v1/nodes/n", status={"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}]})
        yield kept, api


def service(
    kept: Kept, at: str, space: str = SPACE, labels: dict[str, str] | None = None, **port: object
) -> None:
    path = f"/api/v1/namespaces/{space}/services/{at}"
    kept.put(path, metadata={"labels": labels or {}}, spec={"ports": [port]})


@pytest.mark.usefixtures("kubectl")
def test_a_part_is_reached_at_a_port_of_the_node_and_else_by_a_forward(
    cluster: tuple[Kept, Api], tmp_path: Path
) -> None:
    kept, api = cluster
    with socket.create_server(("127.0.0.1", 0)) as node, forwards(tmp_path, []) as of:
        open_port = node.getsockname()[1]
        service(kept, "vllm-engine-direct", name="http", port=8000, nodePort=open_port)
        service(kept, "vllm-engine", name="http", port=8000)
        service(kept, "vllm-gateway", name="metrics", port=9180)
        found = addresses(api, SPACE, of)
    assert found.urls["engine"] == found.straight("engine") == f"http://127.0.0.1:{open_port}"
    assert found.urls["gateway_metrics"].endswith("/metrics")
    assert found.straight("gateway_metrics") is None
    assert found.forwarded == ("gateway_metrics",)
    assert set(found.unreached) == {"gateway", "prometheus", "alertmanager", "grafana"}
    assert found.unreached["prometheus"] == f"there is no Service vllm-prometheus in {SPACE}"


@pytest.mark.usefixtures("kubectl")
def test_another_stacks_parts_are_found_by_label_and_an_operators_in_its_own_namespace(
    cluster: tuple[Kept, Api], tmp_path: Path
) -> None:
    kept, api = cluster
    service(kept, "their-engine", labels={"app.kubernetes.io/component": "engine"}, name="http", port=80)
    label = {"operated-prometheus": "true"}
    service(kept, "prometheus-operated", "monitoring", label, name="http-web", port=9090)
    with forwards(tmp_path, []) as of:
        found = addresses(api, SPACE, of)
        assert told(found.urls["engine"])[7:9][0] == "service/their-engine"
        assert told(found.urls["prometheus"])[3] == "monitoring"
    assert found.forwarded == ("engine", "prometheus")
