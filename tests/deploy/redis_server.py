"""A real Redis for the tests: the system's, or the one unpacked inside the clone; on a free port."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNPACKED = ROOT / ".cache/redis/root"
START_S = 10.0


def binary() -> str | None:
    """The program, or None."""
    found = shutil.which("redis-server")
    unpacked = UNPACKED / "usr/bin/redis-server"
    return found or (str(unpacked) if unpacked.exists() else None)


@dataclass
class RedisServer:
    """A running one. `url` holds its password."""

    process: subprocess.Popen[bytes]
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """Start one, wait until it answers, end it."""
    program = binary()
    assert program is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    password = secrets.token_hex(16)
    settings = folder / "redis.conf"  # a file, so that the password is in no process list
    settings.write_text(
        f'port {port}\nbind 127.0.0.1\nsave ""\nappendonly no\nrequirepass {password}\ndir {folder}\n'
    )
    libraries = [str(path) for path in (UNPACKED / "usr/lib").glob("*") if path.is_dir()]
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}
    with subprocess.Popen(
        [program, str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        try:
            server = RedisServer(process, port, password)
            _wait(server)
            yield server
        finally:
            process.kill()


def _wait(server: RedisServer) -> None:
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            if _answers(server):
                return
        time.sleep(0.02)
    raise AssertionError(f"redis-server did not answer within {START_S:g} s")


def _answers(server: RedisServer) -> bool:
    with socket.create_connection(("127.0.0.1", server.port), 1) as asked:
        asked.sendall(f"AUTH {server.password}\r\nPING\r\n".encode())
        said = b""
        while b"+PONG" not in said:
            chunk = asked.recv(64)
            if not chunk:
                return False
            said += chunk
    return True
