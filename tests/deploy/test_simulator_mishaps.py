"""What nobody foresaw costs one client its connection, and nobody else anything."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from deploy.simulator.timers import Timers
from tests.deploy.asking import BOUND_S, COMPLETIONS
from tests.deploy.running import ROOT, Simulator

# A simulator in which four places fail for one prompt each: reading, opening a stream, a token, all at once.
SPOILED = """
import sys
from deploy.simulator import answers, routes
from deploy.simulator.__main__ import main

def spoil(module, name, word, prompt_of):
    sound = getattr(module, name)
    def spoiled(*given):
        if word in prompt_of(*given):
            raise ZeroDivisionError("spoiled: " + word)
        return sound(*given)
    setattr(module, name, spoiled)

spoil(routes, "read_ask", "reading", lambda api, body, *_: body.decode())
spoil(answers, "stream_script", "opening", lambda ask, *_: ask.prompt)
spoil(answers, "whole_answer", "whole", lambda ask, *_: ask.prompt)
sound = answers.Frames.__call__
def frames(self, first, upto):
    if first == 2:
        raise ZeroDivisionError("spoiled: token")
    return sound(self, first, upto)
answers.Frames.__call__ = frames
sys.exit(main())
"""


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    flags = ["--port", "0", "--slots", "1", "--ttft-ms", "1", "--itl-ms", "1"]
    errors = tmp_path_factory.mktemp("mishaps") / "stderr"
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", SPOILED, *flags],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], BOUND_S)[0]
            port = int(process.stdout.readline().rpartition(":")[2])
            yield Simulator(process, port, errors)
            process.send_signal(signal.SIGTERM)
            assert process.wait(BOUND_S) == 0
        finally:
            process.kill()


def failures(sim: Simulator) -> float:
    lines = [line for line in sim.metrics().splitlines() if "http_requests_total" in line and "5xx" in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


@pytest.mark.parametrize(
    ("word", "stream", "tokens"),
    [("reading", False, 1), ("opening", True, 1), ("whole", False, 1), ("token", True, 9)],
)
def test_one_client_is_cut_off_and_the_next_gets_its_slot(
    sim: Simulator, word: str, stream: bool, tokens: int
) -> None:
    asked = {"prompt": f"{word} it", "max_tokens": tokens, "stream": stream}
    counted = failures(sim)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        httpx.post(sim.url + COMPLETIONS, json=asked, timeout=BOUND_S)
    for streamed in (False, True):
        sound = {"prompt": "x", "max_tokens": 2, "stream": streamed}
        assert httpx.post(sim.url + COMPLETIONS, json=sound, timeout=BOUND_S).status_code == 200
    assert sim.metric("vllm:num_requests_running") == sim.metric("vllm:num_requests_waiting") == 0
    assert failures(sim) == counted + 1
    assert f"ZeroDivisionError: spoiled: {word}" in sim.trace.read_text()
    assert sim.process.poll() is None


def test_a_timer_that_raises_tells_whom_it_was_for_and_the_next_is_run() -> None:
    timers, told = Timers(), []
    timers.at(1, lambda: told.append(1 // 0), lambda: told.append(-1))
    timers.at(2, lambda: told.append(2))
    timers.run()
    assert told == [-1, 2]
    assert timers.next_ns is None
