"""Tables: numbers in three digits, aligned Markdown, a whole report, its place in the README."""

from pathlib import Path

import pytest

from benchmarks.figures import Figures, Run
from benchmarks.saved import BEGIN, END, rendered, save, with_figures
from benchmarks.table import markdown, number, report

MIB = 2**20
MACHINE = {"cores": 2, "memory_gib": 23.5, "system": "Linux 6.1", "python": "3.11.2", "pinning": "PINNED"}
SAVED = {"machine": MACHINE, "quick": False}
RUNS = [
    Run("ours", "one", 1, cpu_s=0.3, tokens=64, wall_s=0.25),
    Run("ours", "paced-64", 1, void="VOID: lag", ttft_p99_ms=50.5, ttft_p99_true_ms=50.0),
    Run("ours", "paced-256", 1, cpu_s=1.3, tokens=100_064, peak_rss_bytes=64 * MIB),
    Run("ours", "constant-200", 1, asked=1000, completed=1000, extra={"achieved_share": 0.99957}),
    Run("k6", "one", 1, cpu_s=0.5, tokens=64, wall_s=1.0),
    Run("k6", "paced-64", 1, ttft_p99_ms=45.0, ttft_p99_true_ms=50.0),
    Run("k6", "paced-256", 1, cpu_s=3.0, tokens=100_064, peak_rss_bytes=96 * MIB),
    Run("k6", "paced-256", 2, problem="exit status 1"),
    Run("k6", "flat-64", 2, problem="exit status 1"),
]


def test_numbers_are_told_in_three_digits_and_a_suffix_goes_with_a_number_only() -> None:
    told = {0.0: "0.000", 0.0504: "0.050", 0.104: "0.10", -0.256: "-0.26", 9.994: "9.99", 12.34: "12.3"}
    for value, text in (told | {-250.4: "-250", 1234.6: "1,235"}).items():
        assert number(value) == text
    assert (number(None), number(None, "×"), number(2.0, "×")) == ("–", "–", "2.00×")


def test_markdown_columns_are_as_wide_as_their_widest_cell() -> None:
    table = markdown(["a", "bcd"], [["1", "2"], ["long", "3"]])
    assert table == "| a    | bcd |\n| ---- | --- |\n| 1    | 2   |\n| long | 3   |"


def _rows(text: str, first: str) -> list[list[str]]:
    """The cells after the first one, of the rows whose first one begins so."""
    rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines())
    return [row[1:] for row in rows if row[0].startswith(first)]


def test_a_report_has_each_client_met_its_ratio_to_ours_and_a_reason_for_each_gap() -> None:
    told = report(SAVED, Figures(RUNS))
    assert told.startswith("2 cores, 23.5 GiB, Linux 6.1, Python 3.11.2; PINNED.")
    assert "QUICK" not in told
    assert _rows(told, "**ours**") == [["0.50 / – / –", "– / – / –", "10.0 / –", "0.25", "64.0", "1"]]
    figures, over_ours = _rows(told, "k6")
    assert figures == ["-5.00 / – / –", "– / – / –", "25.0 / –", "1.00", "96.0", "1"]
    assert over_ours == ["– / – / –", "2.50× / –", "4.00×", "1.50×"]  # what it times is no first token
    assert not _rows(told, "Locust")
    assert "count for nothing:\n\n* k6, paced-256 (2), flat-64 (2): exit status 1\n\n" in told
    assert "(their figures stand):\n\n* ours, paced-64 (1): VOID: lag\n\n" in told
    assert _rows(told, "constant-200") == [["1,000 of 1,000", *"–––", "0.99957", *"––", "1"]]
    assert ["0.25", "≤ 0.25", "s", "reached"] in _rows(told, "a run of one request")


def test_a_report_of_nothing_says_so() -> None:
    told = report(SAVED | {"quick": True}, Figures([]))
    assert "QUICK: too few requests" in told
    assert "### Ours alone\n\nNot measured.\n\n### Goals" in told
    assert "÷ ours" not in told


def test_saved_runs_are_read_back_as_they_were(tmp_path: Path) -> None:
    save(tmp_path / "new" / "figures.json", RUNS, rounds=1, quick=False)
    tables = report(SAVED, Figures(RUNS)).partition("\n")[2]  # all after the line about the machine
    assert rendered(tmp_path / "new" / "figures.json").partition("\n")[2] == tables


def test_figures_take_the_place_of_what_stands_between_the_markers() -> None:
    page = with_figures(f"before\n{BEGIN}\nold\n{END}\nafter\n", "| new |")
    assert page == f"before\n{BEGIN}\n\n| new |\n\n{END}\nafter\n"
    assert with_figures(page, "| new |") == page
    for lacking in ("nothing", BEGIN, END, f"{END}{BEGIN}"):
        with pytest.raises(ValueError, match="expected the lines"):
            with_figures(lacking, "x")
