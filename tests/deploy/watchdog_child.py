"""A program for the watchdog's tests: answers like an engine, and hangs, crashes or dawdles as it is told.

    python watchdog_child.py NAME PORT FOLDER [slow=SECONDS] [crash] [deaf]

It writes its process id and that of a grandchild (in a session of its own) to FOLDER/NAME.pids, a line a
start; on SIGTERM its name to FOLDER/order; for each completion asked for a dot to FOLDER/NAME.asked. While
FOLDER/NAME.hang exists no completion is answered; FOLDER/NAME.busy: the same, while the counter of tokens
grows.
"""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType

NAME, PORT, FOLDER = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
FLAGS = dict(word.partition("=")[::2] for word in sys.argv[4:])


class Page(http.server.BaseHTTPRequestHandler):
    tokens = 0

    def do_GET(self) -> None:
        if (FOLDER / f"{NAME}.busy").exists():
            Page.tokens += 1
        self.reply(f'vllm:generation_tokens_total{{engine="0"}} {Page.tokens}\n'.encode())

    def do_POST(self) -> None:
        with (FOLDER / f"{NAME}.asked").open("a") as asked:
            asked.write(".")
        while (FOLDER / f"{NAME}.hang").exists() or (FOLDER / f"{NAME}.busy").exists():
            time.sleep(0.02)
        self.reply(b"{}")

    def reply(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            return  # whoever asked has left

    def log_message(self, *_: object) -> None:
        return


def leave(number: int, frame: FrameType | None) -> None:
    with (FOLDER / "order").open("a") as order:
        order.write(f"{NAME}\n")
    if "deaf" not in FLAGS:
        os._exit(0)


def main() -> None:
    if "crash" in FLAGS:
        with (FOLDER / f"{NAME}.pids").open("a") as file:
            file.write(f"{os.getpid()}\n")
        sys.exit(7)
    signal.signal(signal.SIGTERM, leave)
    grandchild = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
    with (FOLDER / f"{NAME}.pids").open("a") as file:
        file.write(f"{os.getpid()} {grandchild.pid}\n")
    (FOLDER / f"{NAME}.key").write_text(os.environ.get("TEST_KEY", ""))
    time.sleep(float(FLAGS.get("slow", 0)))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    while True:
        signal.pause()


main()
