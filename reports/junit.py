"""junit.xml: the run as CI systems read tests (Jenkins, GitLab, GitHub); well-formed whatever a server said.

The elements and attributes are those that the readers have in common: `testsuites`, a `testsuite` for each
file, a `testcase` for each claim with `properties`, one of `failure`, `error` and `skipped`, `system-out`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from xml.etree import ElementTree as Xml

from reports import wording
from reports.cases import VERDICT, Case, CaseOutcome, cases
from reports.judged import Judged
from reports.model import SessionReport

NAME = "vllm-slo"
# What XML 1.0 has no way to write (https://www.w3.org/TR/xml/#charsets), and the other control characters.
_NOT_TEXT = re.compile("[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?)")
_FAILURES = (CaseOutcome.FAILED, CaseOutcome.VIOLATED, CaseOutcome.INCONCLUSIVE)


def junit(report: SessionReport) -> str:
    """The document as text, UTF-8 by its declaration. Times in seconds; instants are UTC, without a zone."""
    found = cases(report)
    by_file: dict[str, list[Case]] = {}
    for case in found:
        by_file.setdefault(case.file, []).append(case)
    simulated = ", simulated" if report.simulated else ""
    root = Xml.Element("testsuites", _counts(f"{NAME}{simulated}", found, report))
    for file, its in by_file.items():
        suite = Xml.SubElement(root, "testsuite", _counts(file or VERDICT, its, report))
        _properties(suite, _facts(report))
        for case in its:
            _testcase(suite, case, report)
    if not found:  # a run without a claim that is not red cannot be; readers want a suite all the same
        Xml.SubElement(root, "testsuite", _counts(VERDICT, [], report))
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _counts(name: str, found: Iterable[Case], report: SessionReport) -> dict[str, str]:
    its = list(found)
    counted = {
        "name": _text(name),
        "tests": str(len(its)),
        "failures": str(sum(case.outcome in _FAILURES for case in its)),
        "errors": str(sum(case.outcome is CaseOutcome.ERROR for case in its)),
        "skipped": str(sum(case.outcome is CaseOutcome.SKIPPED for case in its)),
        "time": f"{sum(case.duration_s for case in its):.3f}",
    }
    began = _instant(report.session.started_at)  # the session's: a claim keeps how long it took, not when
    return counted if began is None else {**counted, "timestamp": began}


def _testcase(suite: Xml.Element, case: Case, report: SessionReport) -> None:
    given = {"classname": _classname(case), "name": _text(case.name), "time": f"{case.duration_s:.3f}"}
    if case.file:
        given["file"] = _text(case.file)
    element = Xml.SubElement(suite, "testcase", given)
    told = {name: value for one in case.judged for name, value in _of_objective(one, report).items()}
    _properties(element, told)
    if case.outcome is CaseOutcome.SKIPPED:
        Xml.SubElement(element, "skipped", {"message": _text(case.message)})
    elif case.outcome.broken:
        kind = "error" if case.outcome is CaseOutcome.ERROR else "failure"
        said = Xml.SubElement(element, kind, {"type": case.outcome, "message": _text(case.message)})
        said.text = _text(case.detail or case.message)
    evidence = [line for line in (case.title, *case.told) if line]
    if evidence:
        Xml.SubElement(element, "system-out").text = _text("\n".join(evidence))


def _classname(case: Case) -> str:
    """'suites.latency.test_ttft': readers make folders of the dots."""
    dotted = case.file.removesuffix(".py").replace("/", ".")
    return _text(dotted or NAME)


def _facts(report: SessionReport) -> dict[str, str]:
    session = report.session
    return {
        "verdict": str(report.state),
        "reason": report.reason,
        "exit_code": str(report.exit_code),
        "run_id": session.run_id,
        "environment": session.environment,
        "engine": session.engine or wording.UNDEFINED,
        "simulated": str(report.simulated).lower(),
        "gate": str(session.gate).lower(),
        "seed": str(session.seed),
    }


def _of_objective(one: Judged, report: SessionReport) -> dict[str, str]:
    name, verdict = one.objective.id, one.verdict
    unit = wording.scale(one.objective)
    return {
        f"{name}.state": f"{one.state}{', simulated' if report.simulated else ''}",
        f"{name}.value": unit.quantity(verdict.value),
        f"{name}.interval": unit.interval(verdict.low, verdict.high),
        f"{name}.limit": wording.limit(one.objective),
        f"{name}.rests_on": wording.bad_of(verdict),
    }


def _properties(parent: Xml.Element, facts: Mapping[str, str]) -> None:
    if not facts:
        return
    holder = Xml.SubElement(parent, "properties")
    for name, value in facts.items():
        Xml.SubElement(holder, "property", {"name": _text(name), "value": _text(value)})


def _instant(iso: str | None) -> str | None:
    """'2026-11-21T06:00:00' in UTC; None for what is not a time. An offset is more than some readers take."""
    try:
        found = datetime.fromisoformat(iso or "")
    except ValueError:
        return None
    found = found if found.tzinfo is None else found.astimezone(UTC).replace(tzinfo=None)
    return found.isoformat(timespec="seconds")


def _text(text: str) -> str:
    """Without what steers a terminal, and without what no XML can hold."""
    return _NOT_TEXT.sub("\ufffd", _ESCAPES.sub("", text.replace("\r\n", "\n")))
