"""What no workflow may do: run what is not pinned, have rights without need, or run a stranger's text."""

from __future__ import annotations

import re

import pytest

from tests.workflows.reading import FILES, Step, jobs, scripts, steps, workflow

PIN = re.compile(r"^[\w.-]+(/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
READ = {"contents": "read"}
# Who may do more than read the tree stands here; a new right is a line that a reviewer sees.
RIGHTS = {
    ("nightly", "publish"): {"pages": "write", "id-token": "write"},
    ("gate", "gate"): {"contents": "read", "id-token": "write"},
}
SECRETS = {"LLM_KEY", "NOTIFY_URL"}
LONGEST_MINUTES = 15 * 60


def uses() -> list[str]:
    """All lines that name an action, as they stand."""
    lines = [line for path in FILES for line in path.read_text().splitlines()]
    return [line.split("uses:", 1)[1].strip() for line in lines if re.match(r"^\s*(- )?uses:", line)]


def test_there_are_the_four_workflows_that_the_readme_tells_of() -> None:
    assert [path.stem for path in FILES] == ["checks", "gate", "nightly", "security"]


@pytest.mark.parametrize("line", sorted(set(uses())), ids=lambda line: line.partition("@")[0])
def test_every_action_is_pinned_to_a_commit_with_its_version_beside_it(line: str) -> None:
    assert PIN.match(line)


def test_no_action_escapes_the_reading_of_lines() -> None:
    assert len(uses()) == len([step for step in steps() if step.uses])


def test_an_action_is_used_at_one_commit_everywhere() -> None:
    repository: dict[str, set[str]] = {}
    for line in uses():
        name, _, pin = line.partition("@")
        repository.setdefault("/".join(name.split("/")[:2]), set()).add(pin)
    assert {name: pins for name, pins in repository.items() if len(pins) > 1} == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_workflow_may_read_the_tree_and_no_more(path: object) -> None:
    (document,) = [workflow(one) for one in FILES if one == path]
    assert document["permissions"] == READ


@pytest.mark.parametrize(("file", "job"), [(file, job) for file, job, _ in jobs()])
def test_a_job_has_the_rights_that_are_named_here_and_a_time_limit(file: str, job: str) -> None:
    (fields,) = [one for name, which, one in jobs() if (name, which) == (file, job)]
    assert fields.get("permissions") == RIGHTS.get((file, job))
    assert 0 < fields["timeout-minutes"] <= LONGEST_MINUTES


@pytest.mark.parametrize("step", scripts(), ids=str)
def test_no_expression_is_pasted_into_a_script(step: Step) -> None:
    assert step.run is not None
    assert "${{" not in step.run, "hand it over in env:, where it is a value and no program"


def test_secrets_travel_in_the_environment_of_the_one_step_that_needs_them() -> None:
    named: dict[str, set[str]] = {}
    for step in steps():
        held = dict(step.fields.get("env", {}))
        for name, value in held.items():
            if found := re.fullmatch(r"\$\{\{ secrets\.(\w+) \}\}", str(value)):
                named[str(step)] = {*named.get(str(step), set()), found[1]}
                assert name == found[1]
    assert set().union(*named.values()) == SECRETS
    in_text = [line for path in FILES for line in path.read_text().splitlines() if "secrets." in line]
    assert len(in_text) == sum(len(one) for one in named.values())


def test_nothing_starts_with_rights_because_a_stranger_asked() -> None:
    for path in FILES:
        assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(workflow(path)["on"])


def test_a_runner_of_ours_takes_no_code_of_strangers() -> None:
    hosts = {file for file, _, fields in jobs() if "self-hosted" in fields["runs-on"]}
    assert hosts == {"nightly"}
    (nightly,) = [workflow(path)["on"] for path in FILES if path.stem == "nightly"]
    assert set(nightly) == {"schedule", "workflow_dispatch"}


def test_a_checkout_leaves_no_token_behind() -> None:
    for step in steps():
        if step.uses and step.uses.startswith("actions/checkout@"):
            assert step.fields["with"]["persist-credentials"] is False, step


def test_who_may_ask_for_a_token_of_the_role_waits_for_a_person() -> None:
    (gate,) = [fields for file, _, fields in jobs() if file == "gate"]
    assert gate["environment"] == "release"
    (document,) = [workflow(path) for path in FILES if path.stem == "gate"]
    assert document["concurrency"] == {"group": "gate-eks", "cancel-in-progress": False}


def test_a_restored_download_is_never_what_was_installed() -> None:
    kept = [
        step.fields["with"]["path"].split()
        for step in steps()
        if (step.uses or "").startswith("actions/cache@")
    ]
    assert kept
    assert {path for paths in kept for path in paths} <= {".cache/uv", ".cache/pip", ".cache/npm"}
