"""Following one container's log to its last line: through cut streams, without a line twice."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import urllib3

from environments.kubernetes.api import NOT_FOUND, Api, ApiError
from environments.kubernetes.captured import Container, LogFile

CHUNK_BYTES = 65536
LONGEST_LINE_BYTES = 2**20
SILENCE_S = 120.0  # a stream without a line for so long is asked for anew: it may be dead
LAST_READ_S = 2.0
# Also how long a status lags behind a container that ended: earlier, a log by name may be its successor's.
PAUSE_S = 1.5
ASK_S, LAST_ASK_S = 5.0, 1.5
UNREADABLE_MOST = 20
FORBIDDEN = (401, 403)
# What a life of a container is -> what its log is asked for by; None: it is not.
ASKED: dict[str | None, Mapping[str, str] | None] = {
    "running": {},
    "ended": {},
    "previous": {"previous": "true"},
    "gone": None,
    None: None,
}
STATUSES = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
INSTANT = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


class Seen:
    """The lines of the last seconds: a server that is asked for more begins with whole seconds, again."""

    def __init__(self) -> None:
        self._seconds: dict[bytes, Counter[int]] = {}
        self._newest = b""
        self._again: Counter[int] = Counter()

    def resume(self) -> str | None:
        """From when to ask on, as RFC 3339; None before the first line. What then comes again is not new."""
        self._again = sum(self._seconds.values(), Counter())
        return _before(self._newest) if self._newest else None

    def is_new(self, line: bytes) -> bool:
        """Whether a line, with its instant before it, was not seen; it has been now."""
        known = hash(line)
        if self._again[known]:
            self._again[known] -= 1
            return False
        instant = line.partition(b" ")[0]
        second = instant[:19]
        if second not in self._seconds:
            self._seconds[second] = Counter()
            if second > self._newest[:19]:
                self._newest = instant
            for old in sorted(self._seconds)[:-4]:
                del self._seconds[old]
        if second in self._seconds:
            self._seconds[second][known] += 1
        return True


class Follower:
    """Follows one life of a container in a thread of its own, until its end or until it is let go."""

    def __init__(
        self, api: Api, namespace: str, container: Container, log: LogFile, *, is_previous: bool = False
    ) -> None:
        self.container, self.log = container, log
        self.end = ""  # in words, how it came to its end
        self.troubles: Counter[str] = Counter()
        self._api, self._path = api, f"/api/v1/namespaces/{namespace}/pods/{container.pod}"
        self._seen, self._rest = Seen(), b""
        self._asked = ASKED["previous" if is_previous else "running"]
        self._refused, self._unreadable = "", 0
        self._stop = threading.Event()
        self._response: urllib3.BaseHTTPResponse | None = None
        self._thread = threading.Thread(target=self._run, name=f"log of {container.stem}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def let_go(self) -> None:
        """Ask it to take what has come until now, and to end."""
        self._stop.set()
        response = self._response
        if response is not None:
            try:
                response.shutdown()
            except (ValueError, RuntimeError, OSError):
                return  # it has ended by itself meanwhile

    def wait(self, bound_s: float) -> bool:
        """Whether it has ended within so many seconds."""
        self._thread.join(max(0.0, bound_s))
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.end = self._follow()
        except OSError as error:  # a full disk
            self.end = f"no further: it could not be written: {error}"

    def _follow(self) -> str:
        """In words, how far it came."""
        while not self._stop.is_set():
            was_whole = self._asked is not None and self._read({**self._asked, "follow": "true"}, SILENCE_S)
            if self._refused or self._unreadable >= UNREADABLE_MOST:
                return f"no further: {self._refused or 'its node cannot read it'}"
            if self._stop.wait(PAUSE_S):
                break
            standing = self._standing(ASK_S)
            if was_whole and standing in ("ended", "previous", "gone"):
                self._flush()
                return "to its end"
            if standing == "gone":
                return "to where its Pod was gone"
            self._asked = ASKED[standing]
        standing = self._standing(LAST_ASK_S)
        asked = ASKED[standing] if standing else self._asked  # where nobody says, as it was
        is_whole = asked is not None and self._read(asked, LAST_READ_S)
        return (
            "until the capture ended"
            if is_whole or standing == "gone"
            else "until just before the capture ended"
        )

    def _standing(self, bound_s: float) -> str | None:
        """What this life is now, see `standing_of`; None where nobody says."""
        try:
            pod = self._api.call("GET", self._path, bound_s=bound_s)
        except ApiError as error:
            if error.status == NOT_FOUND:
                return "gone"
            self.troubles[_short(error)] += 1
            return None
        return standing_of(pod, self.container)

    def _read(self, asked: Mapping[str, str], bound_s: float) -> bool:
        """Whether the server came to the log's end; nothing may be silent for longer than `bound_s`."""
        since = self._seen.resume()
        query = {"container": self.container.container, "timestamps": "true", **asked}
        self._rest = b""
        try:
            more = {"sinceTime": since} if since else {}
            with self._api.stream(f"{self._path}/log", {**query, **more}, bound_s) as response:
                self._response = response
                unreadable = self._unreadable
                is_whole = self._take_all(response, is_followed="follow" in asked)
                return is_whole and self._unreadable == unreadable
        except ApiError as error:
            if error.status in FORBIDDEN:
                self._refused = f"it may not be read (HTTP {error.status})"
            elif error.status != NOT_FOUND:
                self.troubles[_short(error)] += 1
        except urllib3.exceptions.ReadTimeoutError:
            return False  # nothing was written for long
        except urllib3.exceptions.HTTPError as error:
            if not self._stop.is_set():
                self.troubles[f"its stream was cut: {type(error).__name__}"] += 1
        finally:
            self._response = None
        return False

    def _take_all(self, response: urllib3.BaseHTTPResponse, *, is_followed: bool) -> bool:
        while not (is_followed and self._stop.is_set()):
            chunk = response.read1(CHUNK_BYTES)
            if is_followed and self._stop.is_set():
                return False  # cut by us: it may be anything, and is asked for once more
            if not chunk:
                return True
            self._take(chunk)
        return False

    def _take(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > LONGEST_LINE_BYTES:
            lines, self._rest = [*lines, self._rest], b""
        self._keep(lines)

    def _flush(self) -> None:
        """What a container wrote last, without an end of line."""
        self._keep([self._rest] if self._rest else [])
        self._rest = b""

    def _keep(self, lines: list[bytes]) -> None:
        """Write what is new. A line without its instant is the node's, of a log that it cannot read."""
        for line in lines:
            if line and not INSTANT.match(line):
                self._unreadable += 1  # a log may be there a moment after its container
                self.troubles[f"in place of a line: {line[:200].decode('utf-8', 'replace')}"] += 1
        self.log.write([line + b"\n" for line in lines if INSTANT.match(line) and self._seen.is_new(line)])


def standing_of(pod: Mapping[str, Any], container: Container) -> str:
    """What a life of a container is by its Pod: "running", "ended", "previous" where the one after it runs,
    or "gone" from where its log could be read."""
    if pod["metadata"]["uid"] != container.uid:
        return "gone"
    for one in statuses(pod):
        if one["name"] != container.container:
            continue
        now, state = int(one.get("restartCount", 0)), one.get("state") or {}
        if now == container.restart:
            return "running" if "running" in state else "ended"
        return "previous" if now == container.restart + 1 and "waiting" not in state else "gone"
    return "gone"


def statuses(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The statuses of all containers of a Pod, init containers first."""
    status = pod.get("status") or {}
    return [one for name in STATUSES for one in status.get(name) or ()]


def _before(instant: bytes) -> str:
    """A second before an instant: nothing of the same second must be left out."""
    known = instant.decode("ascii", "replace")
    whole = re.sub(r"\.\d+", "", known)
    return (datetime.fromisoformat(whole) - timedelta(seconds=1)).isoformat().replace("+00:00", "Z")


def _short(error: ApiError) -> str:
    return f"{error.message}: {error.seen}"[:300]
