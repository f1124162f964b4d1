"""What the macOS job does, as far as Linux can: all is collected where Linux's own names are absent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.workflows.reading import ROOT

# Names of the standard library that CPython has on Linux and not on macOS ("Availability" in its docs).
WITHOUT = """
import asyncio, fcntl, os, random, resource, select, signal, socket, subprocess, sys, tempfile, time
begins = {
    os: "sched_get sched_set pidfd P_PIDFD eventfd EFD_ memfd MFD_ splice SPLICE posix_fadvise POSIX_FADV "
        "getrandom GRND setns unshare CLONE_ O_PATH O_DIRECT timerfd TFD_ "
        "getxattr setxattr listxattr removexattr XATTR",
    select: "epoll EPOLL",
    signal: "pidfd_send_signal sigtimedwait sigwaitinfo SIGRTM SIGPWR SIGSTKFLT SIGPOLL",
    socket: "AF_NETLINK AF_PACKET AF_VSOCK AF_ALG SO_BINDTODEVICE SO_MARK TCP_KEEPIDLE "
            "TCP_USER_TIMEOUT TCP_QUICKACK TCP_INFO TCP_CORK TCP_DEFER "
            "MSG_ERRQUEUE MSG_NOSIGNAL SOCK_CLOEXEC SOCK_NONBLOCK",
    time: "CLOCK_BOOTTIME CLOCK_TAI",
    resource: "prlimit",
    fcntl: "F_ADD_SEALS F_GET_SEALS F_SETPIPE F_GETPIPE F_OFD F_SEAL",
}
for module, words in begins.items():
    for name in [name for name in dir(module) if name.startswith(tuple(words.split()))]:
        delattr(module, name)
"""


def test_all_suites_are_found_without_what_only_linux_has(tmp_path: Path) -> None:
    program = tmp_path / "elsewhere.py"
    options = ["--collect-only", "-qq", "-p", "no:cacheprovider"]
    program.write_text(f"{WITHOUT}\nimport pytest\nsys.exit(pytest.main({options!r}))\n")
    argv = [sys.executable, str(program)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = {line.partition(":")[0] for line in done.stdout.splitlines() if line.startswith("suites/")}
    assert found == {str(path.relative_to(ROOT)) for path in (ROOT / "suites").rglob("test_*.py")}
