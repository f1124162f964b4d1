"""The same laws under a fuzzer that is guided by coverage: `python -m tests.fuzz.guided --inputs N`.

Needs `atheris`, which is not among the project's dependencies: it is installed by whoever wants this.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path
from random import Random

from instruments.records import CHAT_PATH, COMPLETIONS_PATH, GENERATE_PATH, Request

HEADS = (
    b"",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 64\r\n\r\n",
)
PATHS = (CHAT_PATH, COMPLETIONS_PATH, GENERATE_PATH, CHAT_PATH)
BEGINNINGS = 2_000


def main() -> None:
    """Ends the process with code 0 when so many inputs broke no law."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seconds", type=int, default=480)
    asked = parser.parse_args()
    try:
        atheris = importlib.import_module("atheris")
    except ModuleNotFoundError:
        sys.exit("atheris is not installed: `python -m tests.fuzz` needs nothing")
    with atheris.instrument_imports(include=["instruments.transport", "json"]):
        laws = importlib.import_module("tests.fuzz.laws")
        wire = importlib.import_module("tests.fuzz.wire")

    def one(data: bytes) -> None:
        kind, salt = (*data[:2], 0, 0)[:2]
        request = Request(0, "request-0", PATHS[kind >> 3 & 3], {"prompt": "Say: "}, stream=kind < 128)
        case = wire.Case(request, HEADS[kind & 3] + data[2:], closes=bool(kind & 4), truth=None)
        laws.check(case, Random(salt))

    with tempfile.TemporaryDirectory() as corpus:
        for number in range(BEGINNINGS):
            case = wire.make_case(Random(number))
            kind = PATHS.index(case.request.path) << 3 | (0 if case.request.stream else 128)
            Path(corpus, f"{number}").write_bytes(bytes([kind, number % 256]) + case.wire)
        asked_of_it = [f"-runs={asked.inputs}", f"-max_total_time={asked.seconds}", "-max_len=4096"]
        atheris.Setup([sys.argv[0], *asked_of_it, f"-artifact_prefix={tempfile.gettempdir()}/", corpus], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
