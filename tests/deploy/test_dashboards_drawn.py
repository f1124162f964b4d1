"""The drawings: each dashboard from its own queries, and what stands on them."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest
from PIL import Image

from deploy.monitoring.draw import Line, Window, filled, lines_of, main, note_of, written
from tests.deploy.panels import DASHBOARDS, boards, targets

WINDOW = Window(1000.0, 1060.0, 1.0, 1.0)


class Prometheus(BaseHTTPRequestHandler):
    """Answers every range query with one series, and keeps what was asked."""

    asked: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        sent = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        Prometheus.asked.append(sent["query"][0])
        end = float(sent["end"][0])
        values = [[end - 2, "1"], [end - 1, "NaN"], [end, "3"]]
        series = {"metric": {"model_name": "tiny"}, "values": values}
        body = json.dumps({"status": "success", "data": {"result": [series]}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing."""


@contextmanager
def prometheus() -> Iterator[str]:
    Prometheus.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Prometheus) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_every_query_of_every_panel_is_asked_and_every_dashboard_drawn(tmp_path: Path) -> None:
    with prometheus() as url:
        assert main(["--prometheus", url, "--folder", str(tmp_path), "--minutes", "1"]) == 0
    pictures = {path.stem: path for path in tmp_path.iterdir()}
    assert pictures.keys() == boards().keys()
    for path in pictures.values():
        with Image.open(path) as picture:
            assert picture.width > 1000
            assert len(picture.convert("RGB").getcolors(1 << 20) or []) > 8  # something is drawn
    assert {one.expr.replace("$__rate_interval", "20s").replace("$model", ".*").replace("$replica", ".*")
            for one in targets()} <= set(Prometheus.asked)  # fmt: skip


def test_a_value_that_is_no_number_is_no_point() -> None:
    with prometheus() as url:
        target = {"expr": "x", "legendFormat": "of {{model_name}} {{absent}}"}
        assert lines_of(url, target, WINDOW) == [Line("of tiny", ((1058.0, 1.0), (1060.0, 3.0)))]
        assert note_of(url, WINDOW).strip() == "(GPU readings are made up by a stub of NVML)"


def test_a_rate_is_over_four_scrapes_at_least() -> None:
    assert filled("rate(a[$__rate_interval])", WINDOW) == "rate(a[4s])"
    assert filled("rate(a[$__rate_interval])", Window(0, 86400, 360, 5)) == "rate(a[365s])"


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.25, "s", "250 ms"),
        (2, "s", "2 s"),
        (0.05, "percentunit", "5 %"),
        (2**31, "bytes", "2 GiB"),
        (0, "bytes", "0 B"),
        (1500, "short", "1.5 k"),
        (12, "reqps", "12/s"),
        (1.755e9, "hertz", "1.75 GHz"),
        (71, "celsius", "71 °C"),
    ],
)
def test_a_number_has_its_unit(value: float, unit: str, said: str) -> None:
    assert written(value, unit) == said


def test_a_prometheus_that_is_not_there_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--prometheus", "http://127.0.0.1:9", "--folder", str(tmp_path)]) == 1
    assert "draw: engine.json:" in capsys.readouterr().err
    assert main(["--prometheus", "file:///etc", "--folder", str(tmp_path)]) == 1


def test_the_pictures_that_are_shipped_are_of_todays_dashboards() -> None:
    pictures = {path.stem: path.stat().st_size for path in DASHBOARDS.glob("*.png")}
    assert pictures.keys() == boards().keys()
    assert all(size < 200_000 for size in pictures.values())
