"""junit.xml: what its readers have in common, never green where the verdict is not, always well-formed."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

import pytest

from instruments.slo import State
from reports.junit import junit
from reports.model import read_report
from reports.overall import Overall
from tests.reports.runs import CLAIM, RunBuilder, answered, even_load, law, objective
from tests.reports.states import STATES, Make, undecided, violated

GREEN = {Overall.MET, Overall.CLAIMS_HOLD}
# What Jenkins, GitLab and the actions for GitHub read, as each documents it: element -> (its attributes that
# must be there, those that may be, its children in their order).
SHAPE: dict[str, tuple[set[str], set[str], list[str]]] = {
    "testsuites": ({"name", "tests", "failures", "errors", "skipped", "time"}, {"timestamp"}, ["testsuite"]),
    "testsuite": (
        {"name", "tests", "failures", "errors", "skipped", "time"},
        {"timestamp"},
        ["properties", "testcase"],
    ),
    "properties": (set(), set(), ["property"]),
    "property": ({"name", "value"}, set(), []),
    "testcase": (
        {"classname", "name", "time"},
        {"file"},
        ["properties", "failure", "error", "skipped", "system-out"],
    ),
    "failure": ({"type", "message"}, set(), []),
    "error": ({"type", "message"}, set(), []),
    "skipped": ({"message"}, set(), []),
    "system-out": (set(), set(), []),
}


def read(run: RunBuilder) -> Xml.Element:
    """The document, parsed from its bytes; its shape is that of every one."""
    text = junit(read_report(run.folder.path))
    root = Xml.fromstring(text.encode())  # noqa: S314 - made here
    assert root.tag == "testsuites"
    for element in root.iter():
        check(element)
    return root


def check(element: Xml.Element) -> None:
    must, may, children = SHAPE[element.tag]
    assert must <= set(element.keys()) <= must | may, element.tag
    places = [children.index(child.tag) for child in element]
    assert places == sorted(places), f"{element.tag}: {[child.tag for child in element]}"
    if element.tag == "testcase":
        assert len(element.findall("failure") + element.findall("error") + element.findall("skipped")) <= 1
    if element.tag in ("testsuites", "testsuite"):
        its = list(element.iter("testcase"))
        assert int(element.attrib["tests"]) == len(its)
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(element.attrib[name]) == sum(case.find(tag) is not None for case in its)


def red(root: Xml.Element) -> bool:
    return int(root.attrib["failures"]) + int(root.attrib["errors"]) > 0


@pytest.mark.parametrize(("make", "state"), STATES, ids=[f"{make.__name__}" for make, _ in STATES])
def test_it_is_red_wherever_the_verdict_is_not_green(run: RunBuilder, make: Make, state: Overall) -> None:
    make(run)
    assert read_report(run.folder.path).state is state
    root = read(run)
    assert red(root) is (state not in GREEN)
    said = {one.attrib["value"] for one in root.iter("property") if one.attrib["name"] == "verdict"}
    assert said == {str(state)}


def test_a_claim_is_a_case_with_its_objective(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", even_load()), objective())
    run.claim("passed").claim("skipped", "suites/gpu/test_a.py::test_b[x]", reason="no GPU").session()
    root = read(run)
    assert root.attrib == {
        "name": "vllm-slo", "tests": "2", "failures": "0", "errors": "0", "skipped": "1", "time": "3.000",
        "timestamp": "2026-11-21T06:00:00",
    }  # fmt: skip
    first, second = root.iter("testcase")
    assert first.attrib == {
        "classname": "suites.latency.test_ttft", "name": "test_chat", "time": "1.500",
        "file": "suites/latency/test_ttft.py",
    }  # fmt: skip
    told = {one.attrib["name"]: one.attrib["value"] for one in first.iter("property")}
    assert told == {
        "chat.ttft.state": "MET",
        "chat.ttft.value": "0.95 s",
        "chat.ttft.interval": "[0.9, 0.99]",
        "chat.ttft.limit": "≤ 1.2 s",
        "chat.ttft.rests_on": "0 of 100 bad",
    }
    out = first.findtext("system-out") or ""
    assert out.splitlines()[0] == "A chat is answered"
    assert "  records: loads/chat-10.jsonl" in out.splitlines()
    skip = second.find("skipped")
    assert skip is not None
    assert (second.attrib["name"], skip.attrib) == ("test_b[x]", {"message": "no GPU"})


def test_what_a_test_passed_and_its_records_do_not_bear_out_is_a_failure(run: RunBuilder) -> None:
    violated(run)
    (failure,) = read(run).iter("failure")
    assert failure.attrib["type"] == "violated"
    assert failure.attrib["message"].startswith(
        "VIOLATED: TTFT p95 (chat.ttft) is 950 ms [900, 990], limit ≤ 500 ms"
    )


@pytest.mark.parametrize("reason", ["INCONCLUSIVE: chat.ttft: too few", "INCONCLUSIVE: nothing was cached"])
def test_an_undecided_claim_is_a_failure_of_its_own_type(run: RunBuilder, reason: str) -> None:
    run.judge(run.load("chat-10", [answered(i, 10) for i in range(10)]), objective())
    run.claim("failed", reason=reason, detail="its\nlong story").session(exit_code=11)
    (failure,) = read(run).iter("failure")
    assert failure.attrib == {"type": "inconclusive", "message": reason}
    assert failure.text == "its\nlong story"


def test_each_way_to_break_has_its_type(run: RunBuilder) -> None:
    run.judge(run.load("chat-10", even_load()), objective(at_most=0.5))
    run.claim("failed", reason="VIOLATED: chat.ttft: over").claim(
        "failed", "suites/b.py::t", reason="assert 0"
    )
    run.claim("error", "suites/c.py::t", reason="StackDied").session(exit_code=1)
    root = read(run)
    assert [one.attrib["type"] for one in root.iter("failure")] == ["violated", "failed"]
    assert [one.attrib["type"] for one in root.iter("error")] == ["error"]
    assert [one.attrib["name"] for one in root] == [CLAIM.partition("::")[0], "suites/b.py", "suites/c.py"]


def test_the_case_of_the_verdict_says_why(run: RunBuilder) -> None:
    run.folder.append_law(law(State.VIOLATED, expected="1,100", seen="1,099"))
    run.claim("passed").session(exit_code=10)
    (failure,) = read(run).iter("failure")
    assert failure.attrib["type"] == "violated"
    assert "law VIOLATED: generation-tokens on chat-4: expected 1,100, seen 1,099" in (failure.text or "")


def test_there_is_no_such_case_where_a_claim_is_red_already(run: RunBuilder) -> None:
    undecided(run)
    assert [one.attrib["name"] for one in read(run).iter("testcase")] == ["test_chat"]


def test_whatever_a_server_says_it_is_well_formed(run: RunBuilder) -> None:
    # All that one byte and half a surrogate pair can be, an escape sequence, and the end of a CDATA section.
    hostile = (
        "".join(map(chr, range(256))) + "\ud800\ufffe\uffff ]]> </failure> & \x1b[31mred\x1b]0;title\x07"
    )
    run.claim("failed", f"suites/{hostile}.py::{hostile}", reason=hostile, detail=hostile, title=hostile)
    run.session(exit_code=1, run_id=hostile, environment=hostile)
    (failure,) = read(run).iter("failure")
    said = failure.text or ""
    assert "]]> </failure> & red" in said
    assert "title" not in said
    assert not any(one < " " and one not in "\n\t" for one in said)


def test_simulated_is_said(met: RunBuilder) -> None:
    root = read(met.session(simulated=True))
    assert root.attrib["name"] == "vllm-slo, simulated"
    told = {one.attrib["name"]: one.attrib["value"] for one in root.iter("property")}
    assert (told["simulated"], told["chat.ttft.state"]) == ("true", "MET, simulated")


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("2026-11-21T08:00:00+02:00", "2026-11-21T06:00:00"),
        ("2026-11-21T06:00:00", "2026-11-21T06:00:00"),
        ("x", None),
    ],
)
def test_instants_are_utc_without_a_zone(met: RunBuilder, given: str, written: str | None) -> None:
    assert read(met.session(started_at=given)).get("timestamp") == written
