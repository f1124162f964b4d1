"""A capture's files: cut in the middle, read back whole; events once each time; objects without a secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from environments.kubernetes.captured import (
    Container,
    LogFile,
    logs_of,
    note_container,
    pieces,
    tail,
    written,
)
from environments.kubernetes.watching_objects import Events, cleaned, hidden, shown, told, write_objects
from tests.environments.kubernetes.scripted_api import NAMESPACE, scripted


def line(number: int) -> bytes:
    return f"2026-03-01T12:00:00Z {number:04d}\n".encode()  # 26 bytes


class TestALogThatIsTooLong:
    """Room for 4 lines at its head and twice 3 at its end, of 26 bytes each."""

    @pytest.fixture
    def log(self, tmp_path: Path) -> LogFile:
        return LogFile(tmp_path / "a.main.log", head_bytes=4 * 26, tail_bytes=3 * 26)

    @pytest.mark.parametrize(
        ("count", "kept", "cut"),
        [
            (4, [0, 1, 2, 3], 0),
            (10, list(range(10)), 0),
            (11, [0, 1, 2, 3, 7, 8, 9, 10], 3),
            (100, [0, 1, 2, 3, 94, 95, 96, 97, 98, 99], 90),
        ],
    )
    def test_its_middle_is_cut_out_and_said(
        self, log: LogFile, count: int, kept: list[int], cut: int
    ) -> None:
        for number in range(count):
            log.write([line(number)])
        assert list(written(log.path)) == [f"{number:04d}" for number in kept]
        assert (log.lines, log.size_bytes, log.cut_bytes) == (count, count * 26, cut * 26)
        assert sum(path.stat().st_size for path in pieces(log.path)) <= 10 * 26

    def test_nothing_is_written_after_its_end(self, log: LogFile) -> None:
        log.write([line(0)])
        log.close()
        log.write([line(1)])
        assert list(written(log.path)) == ["0000"]


class TestReadBack:
    def test_logs_of_a_component_without_its_init_containers(self, tmp_path: Path) -> None:
        for name, is_init in (("weights", True), ("engine", False)):
            one = Container("vllm-engine-1", "uid", name, 0, is_init, "engine")
            note_container(tmp_path, one, tmp_path / f"{one.stem}.log")
        note_container(tmp_path, Container("other", "uid", "x", 0, False, "gateway"), tmp_path / "o.log")
        with (tmp_path / "containers.jsonl").open("a") as out:
            out.write('{"file": "half a li')  # whoever wrote it was killed
        assert logs_of(tmp_path, "engine") == [tmp_path / "vllm-engine-1.engine.log"]

    def test_the_tail_is_that_of_each_container(self, tmp_path: Path) -> None:
        for name in ("gateway-1", "gateway-2"):
            one = Container(name, name, "gateway", 0, False, "gateway")
            note_container(tmp_path, one, tmp_path / f"{one.stem}.log")
            LogFile(tmp_path / f"{one.stem}.log").write([line(number) for number in range(5)])
        assert tail(tmp_path, "gateway", 2) == (
            "gateway-1.gateway:\n2026-03-01T12:00:00Z 0003\n2026-03-01T12:00:00Z 0004\n\n"
            "gateway-2.gateway:\n2026-03-01T12:00:00Z 0003\n2026-03-01T12:00:00Z 0004\n"
        )
        assert tail(tmp_path / "nothing", "gateway") == ""

    def test_a_line_that_is_on_its_way_is_not_one_yet(self, tmp_path: Path) -> None:
        (tmp_path / "a.log").write_bytes(line(1) + b"2026-03-01T12:00:00Z 00")
        assert list(written(tmp_path / "a.log")) == ["0001"]


class TestEvents:
    CLASSIC: ClassVar[dict[str, Any]] = {
        "metadata": {"uid": "1", "resourceVersion": "7", "creationTimestamp": "2026-03-01T12:00:00Z"},
        "firstTimestamp": "2026-03-01T12:00:01Z",
        "lastTimestamp": "2026-03-01T12:00:09Z",
        "count": 3,
        "type": "Warning",
        "reason": "Unhealthy",
        "message": "Readiness probe failed",
        "involvedObject": {"kind": "Pod", "name": "engine-1", "uid": "u"},
        "source": {"component": "kubelet", "host": "node1"},
    }

    def test_of_the_old_kind(self) -> None:
        assert told(self.CLASSIC) == {
            "first": "2026-03-01T12:00:01Z", "last": "2026-03-01T12:00:09Z", "count": 3, "type": "Warning",
            "reason": "Unhealthy", "kind": "Pod", "name": "engine-1", "uid": "u",
            "message": "Readiness probe failed", "by": "kubelet", "node": "node1",
        }  # fmt: skip

    def test_of_the_new_kind(self) -> None:
        new = {
            **self.CLASSIC, "firstTimestamp": None, "lastTimestamp": None, "count": None, "source": {},
            "eventTime": "2026-03-01T12:00:02.5Z", "reportingComponent": "scheduler",
            "series": {"count": 4, "lastObservedTime": "2026-03-01T12:00:08.5Z"},
        }  # fmt: skip
        found = told(new)
        assert [found[name] for name in ("first", "last", "count", "by")] == [
            "2026-03-01T12:00:02.5Z", "2026-03-01T12:00:08.5Z", 4, "scheduler",
        ]  # fmt: skip

    def test_each_is_written_once_each_time_that_it_happens(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with scripted(tmp_path, monkeypatch) as (script, api):
            events = Events(api, NAMESPACE, tmp_path)
            script.events.append(self.CLASSIC)
            events.look()
            events.look()
            again = {"metadata": {**self.CLASSIC["metadata"], "resourceVersion": "9"}, "count": 4}
            script.events[0] = {**self.CLASSIC, **again}
            events.look()
        lines = [json.loads(one) for one in (tmp_path / "events.jsonl").read_text().splitlines()]
        assert [one["count"] for one in lines] == [3, 4]
        assert events.written == 2


class TestNoSecret:
    """Every place of an object where one of these was found in the wild."""

    SECRET = "sk-abcdefgh12345678"

    @pytest.mark.parametrize(
        "spec",
        [
            {"env": [{"name": "VLLM_API_KEY", "value": SECRET}]},
            {"env": [{"name": "HF_TOKEN", "value": SECRET}]},
            {"env": [{"name": "REDIS_URL", "value": f"redis://user:{SECRET}@redis:6379/0"}]},
            {"args": ["--api-key", SECRET]},
            {"args": [f"--api-key={SECRET}"]},
            {"command": ["sh", "-c", f"serve --port 1 --hf-token {SECRET}"]},
            {"password": SECRET},
            {"auth": {"apiKey": SECRET}},
        ],
        ids=str,
    )
    def test_is_shown(self, spec: dict[str, Any]) -> None:
        shown_as = json.dumps(shown({"kind": "X", "metadata": {"name": "x"}, "spec": spec}))
        assert self.SECRET not in shown_as
        assert "(hidden)" in shown_as

    def test_what_only_names_one_is_shown(self) -> None:
        spec = {
            "env": [{"name": "KEY_FILE", "value": "/keys.yaml"}, {"name": "PORT", "value": "1"}],
            "valueFrom": {"secretKeyRef": {"name": "vllm-engine-key", "key": "api-key"}},
            "volumes": [{"secret": {"secretName": "vllm-gateway-tls"}}],
            "topologyKey": "kubernetes.io/hostname",
            "args": ["--ssl-keyfile", "/tls.key", "--port", "1", "--max-tokens-each", "5"],
        }
        assert cleaned(spec) == spec

    def test_an_objects_data_are_told_by_their_size(self) -> None:
        found = shown({"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "12345"}})
        assert found["data"] == {"a": "(5 characters)"}

    def test_nor_what_was_applied_last(self) -> None:
        notes = {"kubectl.kubernetes.io/last-applied-configuration": self.SECRET, "mine": "yes"}
        metadata = {"name": "x", "annotations": notes, "managedFields": [1]}
        assert shown({"kind": "X", "metadata": metadata})["metadata"] == {
            "name": "x", "annotations": {"mine": "yes"},
        }  # fmt: skip

    def test_objects_of_the_kind_are_left_out(self, tmp_path: Path) -> None:
        secret = {"kind": "Secret", "metadata": {"name": "keys"}, "data": {"a": self.SECRET}}
        other = {"kind": "Service", "metadata": {"name": "web"}}
        write_objects(tmp_path / "objects.yaml", [secret, other])
        assert list(yaml.safe_load_all((tmp_path / "objects.yaml").read_text())) == [other]

    def test_nor_in_an_events_message(self) -> None:
        assert (
            hidden(f"exec failed: serve --api-key {self.SECRET}") == "exec failed: serve --api-key (hidden)"
        )
