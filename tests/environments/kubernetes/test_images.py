"""Images of a run: those that the profile names, and those that are made here."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from environments.kubernetes.images import images_of
from environments.provider import StackError


class Maker:
    """Stands where `python -m deploy.images.local` is started, and says what it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, said: str | Exception) -> None:
        self.asked: list[list[str]] = []
        self._said = said
        monkeypatch.setattr("environments.kubernetes.images.subprocess.run", self)

    def __call__(self, command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.asked.append(command[3:])
        if isinstance(self._said, Exception):
            raise self._said
        return subprocess.CompletedProcess(command, 0, self._said, "")


def test_those_called_local_are_made_and_the_others_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    maker = Maker(monkeypatch, json.dumps({"gateway": "vllm-slo/gateway:cluster-1"}))
    lines: list[str] = []
    found = images_of({"vllm-slo/gateway": "local", "vllm/vllm-openai": "mine/vllm:2"}, lines.append)
    assert found == {"vllm-slo/gateway": "vllm-slo/gateway:cluster-1", "vllm/vllm-openai": "mine/vllm:2"}
    assert maker.asked == [["gateway"]]
    assert lines == ["images: gateway"]


def test_nothing_is_started_where_none_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    maker = Maker(monkeypatch, "{}")
    assert images_of({"vllm/vllm-openai": "mine/vllm:2"}, print) == {"vllm/vllm-openai": "mine/vllm:2"}
    assert maker.asked == []


@pytest.mark.parametrize(
    ("failure", "seen"),
    [
        (subprocess.CalledProcessError(1, ["x"], "", "docker: nobody answers\n"), "docker: nobody answers"),
        (subprocess.TimeoutExpired(["x"], 600), "timed out after 600 seconds"),
    ],
)
def test_what_cannot_be_made_is_told_in_its_makers_words(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, seen: str
) -> None:
    Maker(monkeypatch, failure)
    with pytest.raises(StackError, match="images gateway, nginx cannot be made here") as told:
        images_of({"vllm-slo/gateway": "local", "vllm-slo/nginx": "local"}, print)
    assert seen in str(told.value)
    assert "docker version" in str(told.value)
