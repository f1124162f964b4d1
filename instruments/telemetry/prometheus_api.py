"""Prometheus' HTTP interface through prometheus-api-client: queries, its clock, its metrics; bounded."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util.retry import Retry

from instruments.errors import ConfigurationError, TelemetryError

QUERY_BOUND_S = 5
CLOCK_READINGS = 5
RESOLUTION_S = 0.001  # Prometheus evaluates at whole milliseconds
WORDS = 300  # of what a server says that is an error
USER = re.compile(r"\S+@")  # what stands before the host in a URL, its scheme too


@dataclass(frozen=True, slots=True)
class ClockOffset:
    """How far another machine's clock is ahead of this one's, to within the error."""

    offset_s: float
    error_s: float


class PrometheusApi:
    """One Prometheus server. `now` is the client's wall clock, Unix seconds.

    ConfigurationError for a URL that is malformed or holds more than an address.
    """

    def __init__(self, url: str, *, now: Callable[[], float] = time.time) -> None:
        self._url = _address(url)
        self._now = now
        # No proxy of the environment; no retries: who waits asks again, who does not is told at once.
        self._session = requests.Session()
        self._session.trust_env = False
        self._connection = PrometheusConnect(
            url=self._url, session=self._session, timeout=QUERY_BOUND_S, retry=Retry(0, read=False)
        )

    @property
    def place(self) -> str:
        """Where it is: an address, which holds no user's name or password."""
        return self._url

    def close(self) -> None:
        self._session.close()

    def query(self, expression: str, at_unix_s: float | None = None) -> list[Any]:
        """The result of a PromQL expression, at an instant of Prometheus' clock or now.

        TelemetryError when it cannot be had.
        """
        asked = {} if at_unix_s is None else {"time": f"{at_unix_s:.3f}"}
        try:
            return list(self._connection.custom_query(expression, params=asked))
        except (
            PrometheusApiClientException,
            requests.RequestException,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            raise self._unanswered("does not answer a query", error, expression) from None

    def metrics(self) -> dict[str, str]:
        """Names with types as all targets declare them: also of metrics that have no series yet."""
        try:
            answer = self._session.get(f"{self._url}/api/v1/metadata", timeout=QUERY_BOUND_S)
            answer.raise_for_status()
            declared = {name: str(one[0]["type"]) for name, one in answer.json()["data"].items()}
        except (requests.RequestException, ValueError, LookupError, AttributeError, TypeError) as error:
            raise self._unanswered("does not list its metrics", error) from None
        # In OpenMetrics a counter is declared without the ending that its samples carry.
        return {
            f"{name}_total" if kind == "counter" and not name.endswith("_total") else name: kind
            for name, kind in declared.items()
        }

    def clock(self) -> ClockOffset:
        """Prometheus' clock less this one's; the error is half a round trip.

        Source: Cristian, Probabilistic clock synchronization (1989): of several readings the one with the
        shortest round trip. TelemetryError when it does not answer.
        """
        readings = [self._reading() for _ in range(CLOCK_READINGS)]
        return min(readings, key=lambda one: one.error_s)

    def _reading(self) -> ClockOffset:
        began_unix_s, began_s = self._now(), time.monotonic()
        answer = self.query("time()")  # a scalar: the instant, and its value as text
        half_s = (time.monotonic() - began_s) / 2
        try:
            said = float(answer[1]) + RESOLUTION_S / 2
        except (IndexError, TypeError, ValueError) as error:
            raise self._unanswered("does not tell the time", error) from None
        return ClockOffset(said - (began_unix_s + half_s), half_s + RESOLUTION_S / 2)

    def _unanswered(self, what: str, error: Exception, expression: str | None = None) -> TelemetryError:
        return TelemetryError(f"Prometheus at {self.place} {what}", expected=expression, seen=_why(error))


def _address(url: str) -> str:
    """The URL without a slash at its end. What is refused is never shown: a password may be in it."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    # A password with a slash in it puts the @ into the path.
    if "@" in url:
        seen = "a user or a password"
    elif not usable:
        seen = "something else"
    elif "?" in url or "#" in url:
        seen = "a query or a fragment"
    else:
        return url.rstrip("/")
    raise ConfigurationError(
        "the URL of Prometheus cannot be used",
        expected="http(s)://HOST[:PORT][/PATH], without a user, password, query or fragment",
        seen=seen,
    )


def _why(error: BaseException) -> str:
    """What an error comes down to: `connection refused` rather than the tower of those who passed it on."""
    if isinstance(error, requests.Timeout):
        return f"no answer within {QUERY_BOUND_S} s"
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror.lower()
        seen = seen.__cause__ or seen.__context__
    if isinstance(error, requests.ConnectionError):
        return "the connection broke"
    # Where a server redirects to may hold a password; cut off after that, or the @ might be gone.
    return f"{type(error).__name__}: {USER.sub('', str(error))}"[:WORDS]
