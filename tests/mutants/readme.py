"""The list of claims in suites/README.md, from the suites' own words and from measured seconds.

    python -m tests.mutants.readme [--costs results/latest]

`--costs` takes the seconds from that run's claims.jsonl, and keeps those of claims that it did not run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from .claims import SUITES, ClaimFunction, SuiteFile, suite_files

README = SUITES / "README.md"
COSTS = Path(__file__).with_name("costs.json")
BEGIN, END = "<!-- claims: python -m tests.mutants.readme -->", "<!-- end of claims -->"
ORDER = ("smoke", "latency", "capacity", "security", "observability", "reliability", "correctness")

Costs = Mapping[str, float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the list anew."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.readme")
    parser.add_argument("--costs", type=Path, metavar="RUN", help="folder of a run: take its seconds")
    given = parser.parse_args(arguments)
    if given.costs is not None:
        costs = dict(read_costs()) | costs_of(given.costs / "claims.jsonl")
        known = {claim.nodeid for file in suite_files() for claim in file.claims}
        kept = {name: costs[name] for name in sorted(costs) if name in known}
        COSTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def renewed(readme: str) -> str:
    """The page with the list as it must be. Raises ValueError where its two marks are not there once each."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after:
        raise ValueError(f"expected {BEGIN} and {END} once each in suites/README.md")
    return f"{before}{BEGIN}\n{chr(10).join(listed(suite_files(), read_costs()))}\n{END}{after}"


def listed(files: Sequence[SuiteFile], costs: Costs) -> Iterator[str]:
    """Lines: a heading a suite, a paragraph and a table a file."""
    places = {name: place for place, name in enumerate(ORDER)}
    ordered = sorted(files, key=lambda file: (places.get(file.suite, len(ORDER)), file.suite, file.path))
    for suite, group in groupby(ordered, key=lambda file: file.suite):
        members = list(group)
        claims = [claim for file in members for claim in file.claims]
        yield from ("", f"### {suite}: {len(claims)} claims, {_total(claims, costs)}", "")
        for file in members:
            name = Path(file.path).name
            words = " ".join((f"**`{name}`** {file.question}", *file.words))
            yield from (words, "", "| claim | says | comes from | s |", "|---|---|---|---|")
            yield from (_row(claim, costs) for claim in file.claims)
            yield ""


def costs_of(claims: Path) -> dict[str, float]:
    """Seconds by function, of all its parameters together, of those that ran."""
    seconds: dict[str, float] = defaultdict(float)
    for line in claims.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        if one["outcome"] != "skipped":
            seconds[one["nodeid"].partition("[")[0]] += one["duration_s"]
    return {name: round(value, 1) for name, value in seconds.items()}


def read_costs() -> Costs:
    """Seconds as they were last measured."""
    found: Costs = json.loads(COSTS.read_text(encoding="utf-8")) if COSTS.exists() else {}
    return found


def _row(claim: ClaimFunction, costs: Costs) -> str:
    origins = ", ".join(origin for origin in claim.origins if origin != "nobody") or "–"
    seconds = f"{costs[claim.nodeid]:.3g}" if claim.nodeid in costs else "–"
    title = claim.title.replace("|", "\\|").rstrip(".")
    return f"| `{claim.name.removeprefix('test_')}` | {title} | {origins} | {seconds} |"


def _total(claims: Sequence[ClaimFunction], costs: Costs) -> str:
    known = [costs[claim.nodeid] for claim in claims if claim.nodeid in costs]
    return f"{sum(known):.0f} s" if known else "not timed"


if __name__ == "__main__":
    sys.exit(main())
