"""Weather: what is said of it is what happens to bytes on their way."""

from __future__ import annotations

import contextlib
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from environments.network_namespace import Conditions
from environments.weather import Weather, lacks_weather, weather_before

pytestmark = pytest.mark.skipif(
    lacks_weather("http://127.0.0.1:1") is not None, reason="no network namespace here"
)
BOUND_S = 20.0


class Echo:
    """Gives back what it is told, and keeps its connections to be looked at."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.ends: list[str] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, _ = self.listener.accept()
                self._threads.append(threading.Thread(target=self._echo, args=(wire,), daemon=True))
                self._threads[-1].start()

    def _echo(self, wire: socket.socket) -> None:
        with wire:
            try:
                while piece := wire.recv(65536):
                    wire.sendall(piece)
            except OSError as error:
                self.ends.append(type(error).__name__)
            else:
                self.ends.append("end")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    made = Echo()
    yield made
    made.close()


@contextlib.contextmanager
def connected(echo: Echo, folder: Path, **conditions: float) -> Iterator[tuple[Weather, socket.socket]]:
    with weather_before(echo.url, Conditions(**conditions), folder / "weather.log") as weather:
        host, port = weather.base_url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=BOUND_S) as wire:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield weather, wire


def asked(wire: socket.socket, text: bytes) -> float:
    """Seconds until all of it has come back; it must be what was sent."""
    began, back = time.monotonic(), b""
    wire.sendall(text)
    while len(back) < len(text):
        piece = wire.recv(65536)
        assert piece, f"the end after {len(back)} of {len(text)} bytes"
        back += piece
    assert back == text
    return time.monotonic() - began


def until(happened: Callable[[], bool]) -> None:
    bound = time.monotonic() + BOUND_S
    while not happened():
        assert time.monotonic() < bound
        time.sleep(0.01)


def test_a_round_trip_is_added_once(echo: Echo, tmp_path: Path) -> None:
    with connected(echo, tmp_path, round_trip_s=0.2) as (weather, wire):
        taken_s = [asked(wire, b"hello") for _ in range(5)]
        assert statistics.median(taken_s) == pytest.approx(0.2, abs=0.05)
        assert "200 ms" in weather.words
        assert weather.packets_lost == 0


def test_fair_weather_changes_nothing(echo: Echo, tmp_path: Path) -> None:
    with connected(echo, tmp_path) as (weather, wire):
        assert statistics.median(asked(wire, b"hello") for _ in range(5)) < 0.05
        assert weather.words == "fair weather"


def test_lost_packets_are_lost_and_sent_again(echo: Echo, tmp_path: Path) -> None:
    with connected(echo, tmp_path, loss_share=0.05) as (weather, wire):
        for number in range(60):
            asked(wire, bytes([number]) * 3000)
        # Sixty times three packets each way and their acknowledgements: some 18 of 360 or more.
        assert weather.packets_lost >= 3
        assert "5 % of packets lost" in weather.words


def test_the_rate_is_bound(echo: Echo, tmp_path: Path) -> None:
    # 500 kB one way, echoed: 8 Mbit over a link of 4 Mbit/s that both ways share take 2 s, less the burst.
    with connected(echo, tmp_path, rate_bps=4e6) as (_, wire):
        taken_s = []
        sender = threading.Thread(target=wire.sendall, args=(b"x" * 500_000,))
        began, back = time.monotonic(), 0
        sender.start()
        while back < 500_000:
            back += len(wire.recv(65536))
        taken_s.append(time.monotonic() - began)
        sender.join(BOUND_S)
        assert 1.6 < taken_s[0] < 6


def test_a_cut_resets_both_ends(echo: Echo, tmp_path: Path) -> None:
    with connected(echo, tmp_path) as (weather, wire):
        asked(wire, b"hello")
        assert weather.cut() == 2
        with pytest.raises(ConnectionResetError):
            wire.recv(1)
        until(lambda: echo.ends == ["ConnectionResetError"])


def test_in_the_dark_neither_end_learns_of_the_other(echo: Echo, tmp_path: Path) -> None:
    with connected(echo, tmp_path) as (weather, wire):
        asked(wire, b"hello")
        weather.dark()
        wire.sendall(b"lost")
        wire.settimeout(1.0)
        with pytest.raises(TimeoutError):
            wire.recv(1)
        wire.close()
        time.sleep(0.3)  # what nobody is told does not come late either
        assert echo.ends == []
        weather.light()
        until(lambda: echo.ends != [])  # TCP sends again what was lost, and the end with it


def test_an_end_is_passed_on(echo: Echo, tmp_path: Path) -> None:
    with connected(echo, tmp_path, round_trip_s=0.1) as (_, wire):
        wire.sendall(b"last words")
        wire.shutdown(socket.SHUT_WR)
        with wire.makefile("rb") as told:
            assert told.read() == b"last words"
        assert echo.ends == ["end"]


def test_a_certificate_of_another_name_is_no_weather() -> None:
    assert "chat.example.org" in (lacks_weather("https://chat.example.org") or "")
    assert lacks_weather("https://localhost:8443") is None
