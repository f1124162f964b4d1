"""The ruler against the truth: no absolute speed is asserted, only what must hold on any machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import trustme

from instruments.calibration import PROFILES, KnownServer, calibrated, read_truths
from instruments.errors import ConfigurationError, SloError
from instruments.fleet import LoadSpec, run_load
from instruments.records import LoadRun
from instruments.target import Target
from instruments.transport.stamps import kernel_stamps
from instruments.workloads.synthetic import SyntheticWorkload
from tests.instruments.test_fleet import workers_of

SERVER = (sys.executable, "-m", "deploy.simulator")
ROOT = Path(__file__).parents[2]
CLOCK_NS = 50_000  # two clocks are laid on each other to some microseconds


def loaded(folder: Path, users: int, *flags: str, ca_file: Path | None = None) -> tuple[LoadRun, Path]:
    workload = SyntheticWorkload(
        "ruler",
        "",
        requests_measured=4 * users,
        requests_warmup=0,
        prompt_tokens=8,
        output_tokens=16,
        users=users,
    )
    trace = folder / "server.jsonl"
    with KnownServer(SERVER, ["--ttft-ms", "20", "--itl-ms", "4", *flags], trace) as server:
        run = run_load(
            LoadSpec(
                "ruler", workload, Target(server.url, ca_file=ca_file), "tiny", 3, folder / "ruler.jsonl"
            )
        )
    return run, trace


@pytest.fixture
def certificates(tmp_path: Path) -> dict[str, Path]:
    named = {name: tmp_path / f"{name}.pem" for name in ("ca", "cert", "key")}
    authority = trustme.CA()
    ours = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(named["ca"])
    ours.private_key_pem.write_to_path(named["key"])
    for blob in ours.cert_chain_pems:
        blob.write_to_path(named["cert"], append=True)
    return named


@pytest.mark.parametrize("flags", [(), ("--step-ms", "4"), ("TLS",)], ids=["paced", "in steps", "over TLS"])
def test_no_chunk_is_stamped_before_it_was_sent(
    tmp_path: Path, flags: tuple[str, ...], certificates: dict[str, Path]
) -> None:
    """The kernel has a request after the client's stamp of sending it, and a chunk after the server's."""
    ca_file = certificates["ca"] if "TLS" in flags else None
    if ca_file is not None:
        flags = ("--certfile", str(certificates["cert"]), "--keyfile", str(certificates["key"]))
    run, trace = loaded(tmp_path, 16, *flags, ca_file=ca_file)
    assert run.client is not None
    assert run.client.stamps == ("kernel" if kernel_stamps() else "user")
    truths = read_truths(trace)
    assert len(truths) == len(run.records) == 64
    for record in run.records:
        truth = truths[record.request_id]
        assert record.sent_ns is not None
        assert record.sent_ns - CLOCK_NS <= truth.arrival_ns
        assert len(record.chunks_ns) == len(truth.sends_ns) == 16
        for seen_ns, sent_ns in zip(record.chunks_ns, truth.sends_ns, strict=True):
            assert sent_ns - CLOCK_NS <= seen_ns
        assert record.done_ns is not None
        assert record.read_lag_ns is not None
        assert record.chunks_ns[-1] <= record.done_ns


def test_a_client_that_stands_still_stamps_as_if_it_had_not(tmp_path: Path) -> None:
    """Stopped for a second, in the middle of which the first tokens come: their stamps are right.

    A client that stamps what it reads would say that they came when it went on. What no stamp can tell
    is the instants of several packets that lay in one socket: those are read as one, with the last one's.
    """
    if not kernel_stamps():
        pytest.skip("this kernel does not stamp what arrives")
    workload = SyntheticWorkload(
        "still", "", requests_measured=4, requests_warmup=0, prompt_tokens=8, output_tokens=2, users=4
    )
    trace, journal = tmp_path / "server.jsonl", tmp_path / "still.jsonl"
    with KnownServer(SERVER, ["--ttft-ms", "1000", "--itl-ms", "1500"], trace) as server:
        stopping = threading.Thread(target=_stand_still, args=(journal,))
        stopping.start()
        run = run_load(LoadSpec("still", workload, Target(server.url), "tiny", 3, journal))
        stopping.join()
    truths = read_truths(trace)
    assert run.client is not None
    assert run.client.loop_lag_max_s > 0.9
    assert min(record.read_lag_ns or 0 for record in run.records) > 200_000_000
    for record in run.records:
        (first, second), sends = record.chunks_ns, truths[record.request_id].sends_ns
        assert 0 < first - sends[0] + CLOCK_NS < 100_000_000
        assert 0 < second - sends[1] + CLOCK_NS < 100_000_000


def _stand_still(journal: Path) -> None:
    """Stop the worker from half a second after its beginning for 1.1 seconds."""
    until = time.monotonic() + 20
    while not journal.exists() and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.5)
    (worker,) = workers_of(os.getpid())
    os.kill(worker, signal.SIGSTOP)
    time.sleep(1.1)
    os.kill(worker, signal.SIGCONT)


def test_a_level_of_calibration_compares_every_request_and_chunk(tmp_path: Path) -> None:
    levels = list(calibrated(SERVER, [4], folder=tmp_path))
    assert [level.profile for level in levels] == [profile.name for profile in PROFILES]
    for level in levels:
        assert (level.error.requests, level.error.compared, level.error.chunks) == (16, 16, 16 * 32)
        assert level.error.error_p99_s is not None
        assert level.client is not None
        assert level.client.stamps == ("kernel" if kernel_stamps() else "user")


def test_the_command_prints_a_row_for_each_profile_and_level() -> None:
    command = [sys.executable, "-m", "instruments", "calibrate", "--streams", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    rows = [
        line.split()[:3] for line in done.stdout.splitlines() if line.split()[:1] in (["paced"], ["steps"])
    ]
    assert rows == [[name, "3", "16/16"] for name in ("paced", "steps")]
    done = subprocess.run(
        [*command, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert [level["streams"] for level in json.loads(done.stdout)] == [3, 3]


def test_a_server_that_cannot_be_started_is_an_error_that_says_so(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="cannot be started"),
        KnownServer(["/no/such/program"], [], tmp_path / "t"),
    ):
        pass
    with (
        pytest.raises(SloError, match="did not start") as caught,
        KnownServer([sys.executable, "-c", "import sys; sys.exit('out of luck')"], [], tmp_path / "t"),
    ):
        pass
    assert "out of luck" in (caught.value.seen or "")
