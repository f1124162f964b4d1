"""Files beside Allure's results: properties come back as they were, and the executor is who ran it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from instruments.results import SessionRecord
from reports.allure_files.facts import environment_properties, executor

SESSION = SessionRecord("run-1", "2026-11-21T06:00:00+00:00", "local", engine="vllm")
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_SERVER_URL": "https://forge.example",
    "GITHUB_REPOSITORY": "a/b",
    "GITHUB_RUN_ID": "77",
    "GITHUB_RUN_NUMBER": "5",
    "GITHUB_WORKFLOW": "nightly",
    "GITHUB_TOKEN": "hush",
}
GITLAB = {
    "GITLAB_CI": "1",
    "CI_PIPELINE_IID": "12",
    "CI_JOB_NAME": "gate",
    "CI_JOB_URL": "https://lab.example/9",
}
JENKINS = {"JENKINS_URL": "u", "BUILD_NUMBER": "9", "BUILD_URL": "https://j.example/job/slo/9/"}


def loaded(text: str) -> dict[str, str]:
    """Reads properties as java.util.Properties does, for what can occur on one line."""
    read: dict[str, str] = {}
    for line in text.splitlines():
        key, value = re.fullmatch(r"((?:\\.|[^\\=: ])*)=(.*)", line).groups()  # type: ignore[union-attr]
        read[_unescaped(key)] = _unescaped(value)
    return read


def _unescaped(text: str) -> str:
    def one(found: re.Match[str]) -> str:
        escaped = found[1]
        if escaped.startswith("u"):
            return chr(int(escaped[1:], 16))
        return {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}.get(escaped, escaped)

    units = re.sub(r"\\(u[0-9a-f]{4}|.)", one, text)
    return units.encode("utf-16-be", "surrogatepass").decode("utf-16-be")


def test_properties_come_back_as_they_were() -> None:
    fingerprint: dict[str, Any] = {
        "vllm flags": ["--a=b", "c:d"],
        "GPU × 2": " H100 \\ 80 GB",
        "odd=key:#!": "line\nline\ttab 🚀",
        "quantization": None,
    }
    text = environment_properties(fingerprint, SESSION)
    assert text.isascii()
    read = loaded(text)
    assert (read["run"], read["engine"], read["simulated"]) == ("run-1", "vllm", "no")
    assert read["vllm flags"] == "--a=b, c:d"
    assert read["GPU × 2"] == " H100 \\ 80 GB"
    assert read["odd=key:#!"] == "line\nline\ttab 🚀"
    assert read["quantization"] == "–"


def test_a_session_without_an_end_says_so() -> None:
    cut_off = loaded(environment_properties({}, SESSION, 76))
    assert cut_off["came to its end"] == "no: it was cut off, or goes on"
    assert cut_off["claims selected"] == "76"
    ended = replace(SESSION, finished_at="2026-11-21T06:09:00+00:00", exit_code=10, exit_reason="violated")
    read = loaded(environment_properties({}, ended))
    assert read["came to its end"] == "2026-11-21T06:09:00+00:00, exit code 10: violated"
    assert read["claims selected"] == "–"


def test_the_session_is_not_overruled_by_the_fingerprint() -> None:
    assert loaded(environment_properties({"simulated": "no", "run": "x"}, replace(SESSION, simulated=True)))[
        "simulated"
    ] == "yes"  # fmt: skip


@pytest.mark.parametrize(
    ("environ", "kind", "order", "build", "report"),
    [
        (GITHUB, "github", 5, "https://forge.example/a/b/actions/runs/77", None),
        (GITLAB, "gitlab", 12, "https://lab.example/9", None),
        ({**GITLAB, "CI_PAGES_URL": "https://a.pages.example"}, "gitlab", 12, "https://lab.example/9",
         "https://a.pages.example"),
        (JENKINS, "jenkins", 9, "https://j.example/job/slo/9/", "https://j.example/job/slo/9/allure/"),
        ({**GITHUB, "ALLURE_REPORT_URL": "https://a.pages.example/b/"}, "github", 5,
         "https://forge.example/a/b/actions/runs/77", "https://a.pages.example/b/"),
        ({"GITLAB_CI": "1", "CI_PIPELINE_IID": "x"}, "gitlab", None, "", None),
        ({"ALLURE_REPORT_URL": "javascript:alert(1)"}, "local", None, None, None),
        ({}, "local", None, None, None),
    ],
)  # fmt: skip
def test_the_executor_is_read_from_the_ci_services_variables(
    environ: dict[str, str], kind: str, order: int | None, build: str | None, report: str | None
) -> None:
    told = executor(SESSION, environ)
    assert (told["type"], told.get("buildOrder")) == (kind, order)
    assert (told.get("buildUrl"), told.get("reportUrl")) == (build, report)
    assert told["reportName"] == "vllm-slo run-1"
    assert "hush" not in str(told)
