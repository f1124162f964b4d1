"""The Locust users: each asks until there is nothing left; the last one ends the run."""

import json
import os
import time
from pathlib import Path

import gevent  # type: ignore[import-untyped]
from locust import FastHttpUser, constant, events, task  # type: ignore[import-not-found]
from locust.exception import StopUser  # type: ignore[import-not-found]

HEADERS = {"content-type": "application/json"}
BODIES = Path(os.environ["BENCH_BODIES"]).read_text().splitlines()
WANTED = len(BODIES)
LEFT = iter(BODIES)
SAMPLES: list[list[float]] = []


class Reader(FastHttpUser):  # type: ignore[misc]
    """One stream at a time, without a wait between."""

    wait_time = constant(0)
    network_timeout = connection_timeout = 60.0

    @task  # type: ignore[untyped-decorator]
    def ask(self) -> None:
        """One request, read line by line; the user leaves when there is none left."""
        body = next(LEFT, None)
        if body is None:
            raise StopUser
        instants: list[float] = []
        sent = time.perf_counter()
        with self.client.post(
            "/v1/chat/completions", data=body, headers=HEADERS, stream=True, catch_response=True
        ) as response:
            while line := response.stream.readline(b"\n"):
                now = time.perf_counter()
                if line.startswith(b"data: {") and _has_content(line):
                    instants.append(now - sent)
            response.success()
        SAMPLES.append(instants)
        if len(SAMPLES) == WANTED:
            gevent.spawn(self.environment.runner.quit)  # from elsewhere: it ends the greenlets of users


def _has_content(line: bytes) -> bool:
    choices = json.loads(line[6:])["choices"]
    return bool(choices and choices[0]["delta"].get("content"))


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def write_samples(**_: object) -> None:
    """Write what was seen, however the run ended."""
    Path(os.environ["BENCH_SAMPLES"]).write_text(json.dumps(SAMPLES))
