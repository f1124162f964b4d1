"""Claims on the page: what failed stands open, what passed is folded by file, cases of a test share a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import escape

from instruments.results import ClaimRecord
from reports import wording
from reports.model import SessionReport
from reports.page.room import LONGEST_DETAIL, LONGEST_REASON, Room, cut

_WORST_FIRST = ("error", "failed", "undecided", "passed", "skipped")
_TOLD = {"error": "ended in error"}
MOST_NAMED = 40  # skipped claims that one reason names
MOST_REASONS = 40


@dataclass(frozen=True, slots=True)
class Case:
    """One claim: a test, or a case of a parametrized one. `detail` is what pytest said, where it is shown."""

    label: str
    told: str
    title: str
    duration: str
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Cases of one test that fared alike; `took` is a duration or the range of them."""

    test: str
    file: str
    title: str
    told: str  # of the worst
    cases: tuple[Case, ...]
    counts: str
    took: str
    unlisted: int = 0


@dataclass(frozen=True, slots=True)
class SuiteFile:
    """What passed of one suite file."""

    name: str
    rows: tuple[Row, ...]
    claims: int
    of: int
    took: str


def claims_view(report: SessionReport, room: Room) -> dict[str, Any]:
    """Rows of what failed (open, then folded), files of what passed, and skips by reason."""
    unkept = [claim for claim in report.claims if claim.outcome not in ("passed", "skipped")]
    unkept.sort(key=lambda claim: _badness(report.told(claim)))
    shown = _details(unkept, room)
    failed = _rows(unkept, report, lambda claim: _case(claim, report, shown.get(id(claim), "")))
    files = _files(report, room)
    return {
        "claim_counts": _counts([report.told(claim) for claim in report.claims]),
        "failed_rows": failed[: room.failed_open],
        "failed_folded": failed[room.failed_open : room.failed_open + room.failed_folded],
        "failed_unlisted": max(0, len(failed) - room.failed_open - room.failed_folded),
        "failed_claims": len(unkept),
        "undetailed": sum(bool(claim.detail) for claim in unkept) - len(shown),
        "passed_files": files[: room.files],
        "files_unlisted": max(0, len(files) - room.files),
        "skips": _skips(report),
        "reasons_unlisted": max(0, len(report.skip_reasons()) - MOST_REASONS),
    }


def test_of(nodeid: str) -> tuple[str, str, str]:
    """(file, test, case) of a node id; the case is what stands in brackets, with its brackets."""
    file, _, name = nodeid.partition("::")
    if not name:
        return file, file, ""
    test, bracket, case = name.partition("[")
    return file, test, bracket + case


def _badness(told: str) -> int:
    return _WORST_FIRST.index(told) if told in _WORST_FIRST else 0


def _rows(
    claims: Iterable[ClaimRecord], report: SessionReport, case_of: Callable[[ClaimRecord], Case]
) -> list[Row]:
    """One row a test, in the order of the claims."""
    by_test: dict[tuple[str, str], list[ClaimRecord]] = {}
    for claim in claims:
        by_test.setdefault(test_of(claim.nodeid)[:2], []).append(claim)
    totals: dict[tuple[str, str], int] = {}
    for claim in report.claims:
        key = test_of(claim.nodeid)[:2]
        totals[key] = totals.get(key, 0) + 1
    return [_row(of_test, totals[key], tuple(map(case_of, of_test))) for key, of_test in by_test.items()]


def _row(claims: Sequence[ClaimRecord], total: int, cases: tuple[Case, ...]) -> Row:
    file, test, case = test_of(claims[0].nodeid)
    told = [one.told for one in cases]
    titles = {claim.title for claim in claims}
    return Row(
        test=test + case if len(claims) == 1 else test,
        file=file,
        title=claims[0].title if len(titles) == 1 else _shared(titles) or test,
        told=min(told, key=_badness),
        cases=cases,
        counts=_of_cases(told, total),
        took=_took(claims),
    )


def _shared(titles: Iterable[str]) -> str:
    """What the titles of a test's cases begin with, to the last whole word."""
    first, last = min(titles), max(titles)
    same = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), None)
    return "" if not same else first[:same].rpartition(" ")[0].rstrip(" ,:–-")


def _of_cases(told: Sequence[str], total: int) -> str:
    """'21 cases, all passed', '8 of 21 cases failed', '2 failed, 1 undecided of 21 cases'; of one nothing."""
    if total == 1:
        return ""
    kinds = [name for name in _WORST_FIRST if name in told]
    if len(told) == total and len(kinds) == 1:
        return f"{wording.whole(total)} cases, all {_TOLD.get(kinds[0], kinds[0])}"
    if len(kinds) == 1:
        return f"{wording.whole(len(told))} of {wording.whole(total)} cases {_TOLD.get(kinds[0], kinds[0])}"
    parts = [f"{wording.whole(told.count(name))} {_TOLD.get(name, name)}" for name in kinds]
    return f"{', '.join(parts)} of {wording.whole(total)} cases"


def _took(claims: Sequence[ClaimRecord]) -> str:
    """The duration of one claim; of several the shortest and the longest: '0.42–3.2 s'."""
    least_s, most_s = (pick(claim.duration_s for claim in claims) for pick in (min, max))
    least, most = wording.duration(least_s), wording.duration(most_s)
    if least == most:
        return most
    if least_s >= 0.005 and most.endswith(" s") and " min " not in most:
        return f"{least.removesuffix(' s')}–{most}"
    return f"{least} to {most}"


def _case(claim: ClaimRecord, report: SessionReport, detail: str) -> Case:
    return Case(
        label=test_of(claim.nodeid)[2] or claim.nodeid.partition("::")[2] or claim.nodeid,
        told=report.told(claim),
        title=claim.title or claim.nodeid,
        duration=wording.duration(claim.duration_s),
        reason=cut(claim.reason, LONGEST_REASON),
        detail=detail,
    )


def _details(claims: Sequence[ClaimRecord], room: Room) -> dict[int, str]:
    """By the claim's identity the end of what pytest said of a failure, as long as there is room.

    Not by node id: a test that fails, and then ends in error while it is torn down, is two claims.
    """
    shown: dict[int, str] = {}
    left = room.details_characters
    for claim in claims:
        if not claim.detail or len(shown) == room.details:
            continue
        detail = _end(claim.detail)
        size = len(str(escape(detail)).encode("utf-8", "replace"))
        if size > left:
            break
        left -= size
        shown[id(claim)] = detail
    return shown


def _end(detail: str) -> str:
    """The end of a long failure: pytest says what went wrong last."""
    left_out = len(detail) - LONGEST_DETAIL
    return detail if left_out <= 0 else f"… {left_out:,} characters left out\n{detail[left_out:]}"


def _files(report: SessionReport, room: Room) -> list[SuiteFile]:
    """What passed, by suite file in the order of their names; cases are listed as long as there is room."""
    by_file: dict[str, list[ClaimRecord]] = {}
    of: dict[str, int] = {}
    for claim in report.claims:
        file = claim.nodeid.partition("::")[0]
        of[file] = of.get(file, 0) + 1
        if claim.outcome == "passed":
            by_file.setdefault(file, []).append(claim)
    left = room.cases
    found = []
    for name, claims in sorted(by_file.items()):
        rows = []
        for row in _rows(claims, report, lambda claim: _case(claim, report, "")):
            kept = row.cases[: max(0, left)]
            left -= len(row.cases)
            rows.append(_only(row, kept))
        took = wording.duration(sum(claim.duration_s for claim in claims))
        found.append(SuiteFile(name, tuple(rows), len(claims), of[name], took))
    return found


def _only(row: Row, cases: tuple[Case, ...]) -> Row:
    unlisted = len(row.cases) - len(cases)
    return Row(row.test, row.file, row.title, row.told, cases, row.counts, row.took, unlisted)


def _counts(told: Sequence[str]) -> str:
    """'78 failed, 2 undecided, 1,520 passed of 1,600'."""
    parts = [
        f"{wording.whole(told.count(name))} {_TOLD.get(name, name)}" for name in _WORST_FIRST if name in told
    ]
    return f"{', '.join(parts)} of {wording.many(len(told), 'claim')}"


def _skips(report: SessionReport) -> list[tuple[str, int, list[str]]]:
    """(reason, how many, the first of them by name), the most frequent first."""
    return [
        (cut(reason, LONGEST_REASON), len(claims), [claim.nodeid for claim in claims[:MOST_NAMED]])
        for reason, claims in list(report.skip_reasons().items())[:MOST_REASONS]
    ]
