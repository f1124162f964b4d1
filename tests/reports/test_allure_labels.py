"""Where a claim stands in Allure, what its parameters look like, and how it is made again."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from reports.allure_files.again import again_html, one_claim
from reports.allure_files.labels import question_of, severity_of, shown, tags_of
from tests.reports.runs import objective


@pytest.mark.parametrize(
    ("documented", "question"),
    [
        ("Is it quick enough? Objectives on TTFT.\n\nMore.", "Is it quick enough?"),
        ("Do all parts say what they should?\n", "Do all parts say what they should?"),
        ("Objectives of the knee.", "Objectives of the knee"),
        ("", "bad requests"),
        (None, "bad requests"),
    ],
)  # fmt: skip
def test_a_files_question_is_the_first_sentence_of_its_docstring(
    documented: str | None, question: str
) -> None:
    assert question_of(documented, "test_bad_requests") == question


@pytest.mark.parametrize(
    ("about", "required", "severity"),
    [
        ("latency", [True], "critical"),
        ("latency", [False], "minor"),
        ("security", [False], "minor"),
        ("latency", [False, True], "critical"),
        ("security", [], "critical"),
        ("correctness", [], "critical"),
        ("capacity", [], "normal"),
    ],
)
def test_severity_is_the_objectives_else_the_subjects(
    about: str, required: list[bool], severity: str
) -> None:
    assert (
        severity_of(["smoke", about], ["text", 4, *(objective(required=one) for one in required)]) == severity
    )


def test_marks_with_arguments_become_tags_once() -> None:
    marks = [("claim", ("eks-s3", "host-a6000")), ("smoke", ()), ("needs", ("gpu",)), ("claim", ("eks-s3",))]
    assert tags_of(marks) == ("from eks-s3", "from host-a6000", "needs gpu")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (objective(id="ttft-p95"), "ttft-p95"),
        ("/v1/chat", "/v1/chat"),
        (64, "64"),
        (("GET", "/x"), "('GET', '/x')"),
        (len, "len"),
        ("a\r\nb\x00", "a\\x0d\\x0ab\\x00"),
        ("x" * 500, "x" * 120 + "… (500 characters)"),
    ],
    ids=["objective", "text", "number", "tuple", "function", "control", "long"],
)
def test_a_parameter_is_shown_as_a_reader_knows_it(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_claim_is_made_again_by_one_line_for_a_shell_without_secrets() -> None:
    options = {
        "env": "attach",
        "engine": None,
        "calibrate": True,
        "duration_scale": 0.25,
        "base_url": "https://me:hush@stack.example:8443",
        "api_key_env": "STACK_KEY",
        "ca_bundle": Path("/tmp/a b/ca.pem"),
        "gate": True,
        "results": Path("/tmp/r"),
    }
    command = one_claim("suites/x/test_y.py::test_z[it's-a; rm -rf]", options, 77)
    assert shlex.split(command) == [
        "pytest",
        "suites/x/test_y.py::test_z[it's-a; rm -rf]",
        "--seed=77",
        "--env=attach",
        "--duration-scale=0.25",
        "--calibrate",
        "--base-url=https://HIDDEN@stack.example:8443",
        "--api-key-env=STACK_KEY",
        "--ca-bundle=/tmp/a b/ca.pem",
    ]
    assert "hush" not in command
    assert "&lt;x&gt;" in again_html("pytest 'a[<x>]'")
