"""Capturing: what a namespace says while a run goes, kept in the run's folder. It changes nothing."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from environments.kubernetes.api import Api, ApiError, Document
from environments.kubernetes.captured import SUMMARY, Container, LogFile, note_container
from environments.kubernetes.following import STATUSES, Follower, standing_of
from environments.kubernetes.watching_objects import Events, standing_objects, write_objects

LOOK_EVERY_S = 1.0
EVENTS_EVERY_S = 5.0
LOOKING_SHARE = 0.05  # of the time: a namespace of a thousand Pods is looked at less often
END_BOUND_S = 4.5
ASK_S, LAST_ASK_S = 3.0, 1.0
LOGS_MOST = 300  # followed at a time
COMPONENT = "app.kubernetes.io/component"


@contextmanager
def capturing(api: Api, namespace: str, folder: Path) -> Iterator[Capture]:
    """Follow every container's log, and the events, of a namespace into a folder until the block ends.

    Nothing that the API server does or refuses ends a run: what could not be had is said in capture.json.
    A life of a container is missed where it, and the one after it, end between two looks, a second apart.
    On leaving it takes up to 5 s to read what has come until then, and what objects stand.
    """
    folder.mkdir(parents=True, exist_ok=True)
    capture = Capture(api, namespace, folder)
    capture.start()
    try:
        yield capture
    finally:
        capture.end()


class Capture:
    """One namespace, followed by a thread that looks for containers and one for each that has a log."""

    def __init__(self, api: Api, namespace: str, folder: Path) -> None:
        self._api, self._namespace, self._folder = api, namespace, folder
        self._followers: dict[tuple[str, str, int], Follower] = {}
        self._kinds: list[tuple[str, str]] = []
        self._troubles: Counter[str] = Counter()
        self._events = Events(api, namespace, folder)
        self._began = datetime.now(UTC)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"capture of {namespace}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def keep_applied(self, objects: Sequence[Document]) -> None:
        """Write down the objects as they were applied."""
        self._kinds = [(str(one["apiVersion"]), str(one["kind"])) for one in objects]
        write_objects(self._folder / "objects-applied.yaml", objects)

    def end(self) -> None:
        """Read what has come until now, within a bound, and write down what stands."""
        until_s = time.monotonic() + END_BOUND_S
        self._stop.set()
        self._thread.join(LAST_ASK_S)
        answers = not self._thread.is_alive() and self._attempt(lambda: self._look(LAST_ASK_S))
        for follower in self._followers.values():
            follower.let_go()
        if answers and self._attempt(lambda: self._events.look(LAST_ASK_S)):
            self._write_standing(until_s - 1.0)
        for follower in self._followers.values():
            if not follower.wait(until_s - time.monotonic()):
                follower.end = "until the capture ended; its last lines did not come in time"
            follower.log.close()
        self._attempt(lambda: self._summarize(is_over=True))

    def _run(self) -> None:
        events_s = 0.0
        while not self._stop.is_set():
            began_s = time.monotonic()
            self._attempt(lambda: self._look(ASK_S))
            if began_s - events_s >= EVENTS_EVERY_S:
                events_s = began_s
                self._attempt(lambda: self._events.look(ASK_S))
                self._attempt(lambda: self._summarize(is_over=False))
            took_s = time.monotonic() - began_s
            self._stop.wait(max(LOOK_EVERY_S, took_s / LOOKING_SHARE))

    def _attempt(self, look: Callable[[], None]) -> bool:
        """Whether it went well; what did not is said with what was captured."""
        try:
            look()
        except (ApiError, OSError) as error:
            seen = error.seen if isinstance(error, ApiError) else error
            self._troubles[f"{getattr(error, 'message', type(error).__name__)}: {seen}"[:300]] += 1
            return False
        return True

    def _look(self, bound_s: float) -> None:
        """Follow each container that has a log and is not followed yet."""
        path = f"/api/v1/namespaces/{self._namespace}/pods"
        for pod in self._api.call("GET", path, bound_s=bound_s)["items"]:
            for container in lives(pod):
                key = container.uid, container.container, container.restart
                if key not in self._followers:
                    self._follow(container, key, is_previous=standing_of(pod, container) == "previous")

    def _follow(self, container: Container, key: tuple[str, str, int], *, is_previous: bool) -> None:
        going = sum(not one.end for one in self._followers.values())
        if going >= LOGS_MOST:
            self._troubles[f"no log of {container.stem}: {going} are followed already"] += 1
            return
        path = self._folder / f"{container.stem}.log"
        if path.exists():  # of a Pod of the same name that was before
            path = self._folder / f"{container.stem}.{container.uid[:8]}.log"
        note_container(self._folder, container, path)
        path.touch()
        follower = Follower(self._api, self._namespace, container, LogFile(path), is_previous=is_previous)
        self._followers[key] = follower
        follower.start()

    def _write_standing(self, until_s: float) -> None:
        found, lacking = standing_objects(self._api, self._namespace, self._kinds, until_s)
        self._troubles.update(f"not written down: {one}" for one in lacking)
        self._attempt(lambda: write_objects(self._folder / "objects-at-end.yaml", found))

    def _summarize(self, *, is_over: bool) -> None:
        """Say what was captured, and what not; whole at any moment."""
        logs = [_told(one) for one in self._followers.values()]
        troubles = self._troubles + sum((one.troubles for one in self._followers.values()), Counter())
        said = {
            "namespace": self._namespace,
            "began": self._began.isoformat(timespec="seconds"),
            "ended": datetime.now(UTC).isoformat(timespec="seconds") if is_over else None,
            "events": self._events.written,
            "events_left_out": self._events.left_out,
            "logs": logs,
            "troubles": dict(troubles.most_common(100)),
        }
        beside = self._folder / f"{SUMMARY}.new"
        beside.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        beside.replace(self._folder / SUMMARY)


def lives(pod: Mapping[str, Any]) -> list[Container]:
    """The lives of a Pod's containers whose log can be read: the one now, and the one before it."""
    metadata, found = pod["metadata"], []
    component = str((metadata.get("labels") or {}).get(COMPONENT, ""))
    for name in STATUSES:
        for one in (pod.get("status") or {}).get(name) or ():
            state, before = one.get("state") or {}, (one.get("lastState") or {}).get("terminated")
            now, is_waiting = int(one.get("restartCount", 0)), "waiting" in state
            known = [now] if state and (not is_waiting or before) else []
            known += [now - 1] if before and now and not is_waiting else []
            found += [
                Container(
                    metadata["name"], metadata["uid"], one["name"], life, name.startswith("init"), component
                )
                for life in known
            ]
    return found


def _told(follower: Follower) -> dict[str, Any]:
    log = follower.log
    return {
        "file": log.path.name,
        "lines": log.lines,
        "bytes": log.size_bytes,
        "cut_out_bytes": log.cut_bytes,
        "captured": follower.end or "it is being followed",
    }
