"""One GET over a connection of its own: for answers that need no client library."""

from __future__ import annotations

import contextlib
import http.client
from urllib.parse import urlsplit

BOUND_S = 10.0


def get(url: str, bound_s: float = BOUND_S) -> tuple[int, str]:
    """Status and body. Raises OSError when nobody answers in `bound_s`."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=bound_s)
    with contextlib.closing(connection):
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
