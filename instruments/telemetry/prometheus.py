"""Prometheus as a source: the same snapshots as a direct scrape, from what it has scraped."""

from __future__ import annotations

import time
from typing import Any

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException

from instruments.errors import TelemetryError
from instruments.telemetry import Snapshot

FRESH_BOUND_S = 15.0
QUERY_BOUND_S = 5
POLL_EVERY_S = 0.1


class PrometheusTelemetry:
    """Reads the series with certain labels, such as `job="engine"`, from a Prometheus server."""

    def __init__(self, url: str, labels: str) -> None:
        self._url = url.rstrip("/")
        self._labels = labels
        # One session: no proxy of the environment, and no retries, as the wait below asks again anyway.
        self._session = requests.Session()
        self._session.trust_env = False
        self._connection = PrometheusConnect(url=self._url, session=self._session, timeout=QUERY_BOUND_S)

    @property
    def source(self) -> str:
        return "Prometheus"

    def snapshot(self) -> Snapshot:
        """Wait for a scrape that began after this call, then read all series with the labels."""
        self._wait_for_a_scrape_after(time.time())
        samples = {}
        for series in self.query(f"{{{self._labels}}}"):
            labels = dict(series["metric"])
            name = labels.pop("__name__")
            for added in ("job", "instance"):
                labels.pop(added, None)
            samples[name, frozenset(labels.items())] = float(series["value"][1])
        return Snapshot(samples, self._families())

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector of a PromQL expression; TelemetryError when it cannot be had."""
        try:
            return list(self._connection.custom_query(expression))
        except (PrometheusApiClientException, requests.RequestException) as error:
            raise TelemetryError(
                f"Prometheus at {self._url} does not answer a query", expected=expression, seen=str(error)
            ) from None

    def _wait_for_a_scrape_after(self, unix_s: float) -> None:
        # The clocks are those of two machines when Prometheus is elsewhere; here they are one.
        newest = f'min(timestamp({{__name__=~"up|vllm:num_requests_running",{self._labels}}}))'
        bound = time.monotonic() + FRESH_BOUND_S
        last = None
        while time.monotonic() < bound:
            found = self.query(newest)
            last = float(found[0]["value"][1]) if found else None
            if last is not None and last > unix_s:
                return
            time.sleep(POLL_EVERY_S)
        raise TelemetryError(
            f"Prometheus has not scraped {{{self._labels}}} for {FRESH_BOUND_S:g} s",
            expected="a scrape each second",
            seen="no such series" if last is None else f"the last one {time.time() - last:.1f} s ago",
        )

    def _families(self) -> dict[str, str]:
        """Names with types as the targets declare them: also of metrics that have no series yet."""
        try:
            answer = self._session.get(f"{self._url}/api/v1/metadata", timeout=QUERY_BOUND_S)
            answer.raise_for_status()
            return {name: declared[0]["type"] for name, declared in answer.json()["data"].items()}
        except (requests.RequestException, ValueError, KeyError, IndexError) as error:
            raise TelemetryError(
                f"Prometheus at {self._url} does not list its metrics", seen=str(error)
            ) from None
