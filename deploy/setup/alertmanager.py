"""Alertmanager as Debian builds it, made to run from the clone.

Upstream carries its default template inside the program. Debian's patch reads it from an absolute folder
instead, before any `templates:` of the configuration, and no flag or setting changes that folder. A program
unpacked here would so need files in /usr. In our copy the folder's name is therefore replaced by the relative
path of the same place, which has the same length: the program finds its template when it is started in the
unpacked tree, and needs neither root nor a file outside the clone.
"""

import http.client
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from deploy.setup import clone, step
from deploy.setup.errors import SetupError

COMPILED_IN = b"/usr/share/prometheus/alertmanager"
RELATIVE = b"usr/share/prometheus/alertmanager/"
CONFIGURATION = "route: {receiver: none}\nreceivers: [{name: none}]\n"
START_LIMIT_S = 15.0


def make_relative(program: Path) -> int:
    """Replace the compiled-in folder in `program`; the number of places, 0 for builds that do not need it."""
    code = program.read_bytes()
    places = code.count(COMPILED_IN)
    if places:
        # A new file and not the old one written over: a running program's file cannot be written to.
        copy = program.with_suffix(".relative")
        copy.write_bytes(code.replace(COMPILED_IN, RELATIVE))
        shutil.copymode(program, copy)
        copy.replace(program)
    return places


def check_starts(program: Path, folder: Path) -> None:
    """Start `program` in `folder` on a port of its own until it says that it is ready."""
    with (
        step.step("start Alertmanager once"),
        tempfile.TemporaryDirectory(dir=clone.CACHE / "tmp") as scratch,
    ):
        configuration = Path(scratch) / "alertmanager.yml"
        configuration.write_text(CONFIGURATION)
        port = _free_port()
        argv = [program, f"--config.file={configuration}", f"--storage.path={scratch}"]
        argv += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
        log = Path(scratch) / "log"
        with log.open("w") as out:
            server = subprocess.Popen([str(word) for word in argv], cwd=folder, stdout=out, stderr=out)
            try:
                ready = _ready(server, port)
            finally:
                server.kill()
                server.wait()
        if not ready:
            last = " / ".join(log.read_text(errors="replace").splitlines()[-2:])
            raise SetupError(
                f"Alertmanager to be ready within {START_LIMIT_S:.0f} s",
                last or "no output",
                "install your system's own package `prometheus-alertmanager`, and run this again",
            )


def _ready(server: subprocess.Popen[bytes], port: int) -> bool:
    until = time.monotonic() + START_LIMIT_S
    while time.monotonic() < until and server.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/-/ready")
            if connection.getresponse().status == http.client.OK:
                return True
        except OSError:
            time.sleep(0.05)
        finally:
            connection.close()
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
