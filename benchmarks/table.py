"""The tables: a benchmark's figures as Markdown, the same on a terminal and in the README."""

from collections.abc import Iterable, Mapping, Sequence

from benchmarks.figures import Figures, Run, ratio
from benchmarks.goals import OURS, Goal, goals
from benchmarks.roster import PEERS
from benchmarks.scenarios import FLAT_64, FOR_OURS, ONE, PACED_64, PACED_256, STEP_256

ABSENT = "–"
TRUE_AT = (PACED_64, PACED_256, STEP_256)
COST_AT = (PACED_256, FLAT_64)


def number(value: float | None, suffix: str = "") -> str:
    """Three significant digits, but whole numbers from a hundred up; a dash for what is not known."""
    if value is None:
        return ABSENT
    if abs(value) >= 100:
        return f"{value:,.0f}{suffix}"
    digits = 1 if abs(value) >= 10 else 2 if abs(value) >= 0.1 else 3
    return f"{value:z.{digits}f}{suffix}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned for whoever reads the text itself."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    return "\n".join(
        f"| {line} |" for line in [lines[0], " | ".join("-" * width for width in widths), *lines[1:]]
    )


def report(saved: Mapping[str, object], figures: Figures) -> str:
    """All that one benchmark says, from its saved output."""
    parts = [
        _heading(saved),
        _peers(figures),
        _ratios(figures),
        _reasons(figures),
        "### Ours alone\n\n" + _ours(figures),
        "### Goals\n\n" + _goals(goals(figures)),
    ]
    return "\n\n".join(part for part in parts if part)


def _heading(saved: Mapping[str, object]) -> str:
    machine = saved["machine"]
    assert isinstance(machine, Mapping)
    first = (
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, "
        f"Python {machine['python']}; {machine['pinning']}. Medians of n runs. "
        "The server is a simulator of known timing: nothing here says anything about vLLM's own speed."
    )
    return first + (" QUICK: too few requests for figures." if saved["quick"] else "")


def _peers(figures: Figures) -> str:
    header = [
        "client",
        "TTFT p99 error at 64 / 256 / 256 step (ms)",
        "ITL p99 error at the same (ms)",
        "CPU s per 1 M tokens, paced at 256 / flat out at 64",
        "a run of one request (s)",
        "peak memory at 256 streams (MiB)",
        "n",
    ]
    return markdown(
        header, [_row(figures, peer.name, peer.title) for peer in PEERS if _met(figures, peer.name)]
    )


def _row(figures: Figures, peer: str, title: str) -> list[str]:
    return [
        title,
        " / ".join(number(figures.ttft_error_ms(peer, scenario.name)) for scenario in TRUE_AT),
        " / ".join(number(figures.itl_error_ms(peer, scenario.name)) for scenario in TRUE_AT),
        " / ".join(number(figures.cpu_s_per_million_tokens(peer, scenario.name)) for scenario in COST_AT),
        number(figures.wall_s(peer, ONE.name)),
        number(figures.peak_mib(peer, PACED_256.name)),
        str(len(figures.good(peer, PACED_256.name))),
    ]


def _ratios(figures: Figures) -> str:
    header = [
        "client ÷ ours",
        "TTFT p99 error at 64 / 256 / 256 step",
        "CPU per token, paced / flat out",
        "a run of one request",
        "memory",
    ]
    rows = [
        _ratio_row(figures, peer.name, peer.title)
        for peer in PEERS
        if peer.name != OURS and _met(figures, peer.name)
    ]
    return markdown(header, rows) if _met(figures, OURS) and rows else ""


def _ratio_row(figures: Figures, peer: str, title: str) -> list[str]:
    def error(name: str, scenario: str) -> float | None:
        # What k6 calls waiting is no first token: its distance from one is not compared with anything.
        return None if "k6" in (peer, name) else figures.ttft_error_size_ms(name, scenario)

    cost = figures.cpu_s_per_million_tokens
    return [
        title,
        " / ".join(number(ratio(error(peer, one.name), error(OURS, one.name)), "×") for one in TRUE_AT),
        " / ".join(number(ratio(cost(peer, one.name), cost(OURS, one.name)), "×") for one in COST_AT),
        number(ratio(figures.wall_s(peer, ONE.name), figures.wall_s(OURS, ONE.name)), "×"),
        number(ratio(figures.peak_mib(peer, PACED_256.name), figures.peak_mib(OURS, PACED_256.name)), "×"),
    ]


def _reasons(figures: Figures) -> str:
    """Every run that counts for nothing, with its reason: no gap in a table goes unexplained."""
    failed = [(run, run.problem) for run in figures.runs if run.problem is not None]
    void = [(run, run.void) for run in figures.runs if run.void is not None]
    return "\n\n".join(
        f"{title}:\n\n{_listed(runs)}"
        for title, runs in (
            ("Runs that count for nothing", failed),
            ("Runs that their client itself calls void (their figures stand)", void),
        )
        if runs
    )


def _listed(runs: Iterable[tuple[Run, str]]) -> str:
    """Runs with what is said of them, alike ones on one line."""
    found: dict[tuple[str, str], list[str]] = {}
    for run, reason in runs:
        found.setdefault((run.peer, reason), []).append(f"{run.scenario} ({run.round})")
    return "\n".join(f"* {peer}, {', '.join(where)}: {reason}" for (peer, reason), where in found.items())


def _ours(figures: Figures) -> str:
    header = [
        "load",
        "requests",
        "TTFT p99 error (ms)",
        "ITL p99 error (ms)",
        "send lag p99 (ms)",
        "achieved ÷ offered rate",
        "CPU s per 1 M tokens",
        "peak memory (MiB)",
        "n",
    ]
    rows = [_own_row(figures, scenario.name) for scenario in FOR_OURS if figures.good(OURS, scenario.name)]
    return markdown(header, rows) if rows else "Not measured."


def _own_row(figures: Figures, scenario: str) -> list[str]:
    good = figures.good(OURS, scenario)
    share = figures.other(OURS, scenario, "achieved_share")
    open_loop = scenario.partition("-")[0] in ("constant", "poisson")
    return [
        scenario,
        f"{min(run.completed or 0 for run in good):,} of {good[0].asked:,}",
        number(figures.ttft_error_ms(OURS, scenario)),
        number(figures.itl_error_ms(OURS, scenario)),
        number(figures.other(OURS, scenario, "send_lag_p99_ms") if open_loop else None),
        f"{share:.5f}" if share is not None and open_loop else ABSENT,
        number(figures.cpu_s_per_million_tokens(OURS, scenario)),
        number(figures.peak_mib(OURS, scenario)),
        str(len(good)),
    ]


def _goals(found: Sequence[Goal]) -> str:
    rows = [
        [goal.what, number(goal.value), f"≤ {number(goal.limit)}", goal.unit, goal.verdict] for goal in found
    ]
    return markdown(["goal", "measured", "limit", "unit", "verdict"], rows)


def _met(figures: Figures, peer: str) -> bool:
    return any(run.peer == peer for run in figures.runs)
