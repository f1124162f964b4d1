"""health.py URL: a HEALTHCHECK for images without a shell. Exit status 0 for 2xx within 3 s, else 1."""

import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

BOUND_S = 3.0


def main() -> int:
    """Ask once."""
    parts = urlsplit(sys.argv[1])
    connection = HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=BOUND_S)
    try:
        connection.request("GET", parts.path or "/")
        return 0 if 200 <= connection.getresponse().status < 300 else 1
    except (OSError, HTTPException):
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
