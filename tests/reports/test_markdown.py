"""The Markdown summary: the verdict first, the worst first, short enough for a comment, and only text."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from instruments.results import IncidentRecord
from instruments.slo import State
from reports.document import verdict_document
from reports.history import find_since
from reports.markdown import LIMIT, markdown, plain
from reports.model import read_report
from tests.reports.runs import RunBuilder, answered, even_load, failed, law, objective

GITHUB_TAKES = 65_536
HOSTILE = (
    "<b>x</b> | [y](javascript:z) ![i](https://evil.example/i.png) `q` **b** _i_ ~s~ $m$ &lt; <!-- c -->\n"
    "# title\n1. list @all @org/team #17 GH-18 !19 https://evil.example www.evil.example a@b.example "
    ":skull: \\"
)


def rendered(text: str) -> str:
    """As GitHub's flavour has it, without its links of bare addresses, which are looked for by themselves."""
    return str(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))


def of(run: RunBuilder) -> str:
    return markdown(read_report(run.folder.path))


def test_the_verdict_comes_first_and_the_way_to_come_to_it_last(met: RunBuilder) -> None:
    met.session(command=("pytest", "-m", "smoke", "--seed=7", "--api-key=hunter2"))
    assert of(met) == (
        "## ✅ MET\n\n1 of 1 required objective met, 1 of 1 claim passed\n\n"
        "Run run-1 on local, exit code 0. Claims: 1 passed.\n\n"
        "| state | objective | limit | measured | bad | headroom |\n|---|---|--:|--:|--:|--:|\n"
        "| ✅ MET | chat.ttft: TTFT p95 | ≤ 1.2 s | 0.95 s \\[0.9, 0.99\\] | 0 of 100 bad | 1.26× |\n\n"
        "Measure the same again, and judge the same records again:\n\n"
        "```sh\npytest -m smoke --seed=7 --api-key=HIDDEN\npython -m reports results/run-1\n```\n"
    )


def test_what_failed_is_above_what_is_met(run: RunBuilder) -> None:
    journal = run.load("chat-10", even_load())
    for name, limit in (("a-met", 5.0), ("b-violated", 0.5), ("c-met", 2.0)):
        run.judge(journal, objective(id=name, at_most=limit))
    text = of(run.claim("failed").session(exit_code=10))
    assert re.findall(r"^\| \S+ \S+ \| ([\w-]+):", text, re.M) == ["b-violated", "a-met", "c-met"]


def test_a_row_has_the_numbers_worked_out_by_hand(run: RunBuilder) -> None:
    # 5 of 20 failed: Clopper and Pearson at 95 % give 8.66 % to 49.1 %.
    records = [answered(i, 10) for i in range(15)] + [failed(15 + i) for i in range(5)]
    judged = objective(id="errors", indicator="error_share", statistic="share", at_most=0.01)
    run.judge(run.load("chat-10", records), judged)
    text = of(run.claim("failed", reason="VIOLATED").session(exit_code=10))
    assert text.startswith("## ❌ VIOLATED\n")
    assert (
        "| ❌ VIOLATED | errors: error share | ≤ 1 % | 25 % \\[8.657, 49.1\\] | 5 of 20 bad | 0.04× |" in text
    )


def test_what_is_beyond_25_is_folded(run: RunBuilder) -> None:
    journal = run.load("chat-10", even_load())
    for number in range(30):
        run.judge(journal, objective(id=f"o-{number:02d}", at_most=0.5 if number == 29 else 5.0), family=30)
    text = of(run.claim("failed").session(exit_code=10))
    open_, folded = text.split("<details><summary>5 more objectives, 5 of them met</summary>\n\n")
    assert [len(re.findall(r"\| o-\d\d:", part)) for part in (open_, folded)] == [25, 5]
    assert "| o-29:" in open_
    assert folded.count("</details>") == 1
    assert rendered(text).count("<table>") == 2


def test_what_the_place_left_out_and_simulated_are_told(met: RunBuilder) -> None:
    met.session(simulated=True, left_out=({"id": "chat-tpot", "why": "for qwen, this is llama"},))
    text = of(met)
    assert "- not judged here: chat-tpot: for qwen, this is llama\n" in text
    assert text.count("MET, simulated") == 2


def test_what_changed_is_told(run: RunBuilder) -> None:
    earlier = RunBuilder(run.folder.path.parent / "run-0")
    for one, began in ((earlier, "2026-11-20T06:00:00+00:00"), (run, "2026-11-21T06:00:00+00:00")):
        one.judge(one.load("chat-10", even_load()), objective(at_most=1.2 if one is earlier else 0.5))
        one.claim("passed").session(run_id=one.folder.path.name, started_at=began)
    earlier.folder.write_document("verdict.json", verdict_document(read_report(earlier.folder.path)))
    report = read_report(run.folder.path)
    text = markdown(report, find_since(report))
    told = text.partition("### What changed\n\n")[2]
    assert "run-0" in told.partition("\n")[0]
    assert "chat.ttft: MET → VIOLATED" in told
    assert "What changed" not in markdown(report)


def test_hostile_text_is_no_markup(met: RunBuilder) -> None:
    met.claim("error", HOSTILE, reason=HOSTILE).session(
        run_id=HOSTILE, environment=HOSTILE, exit_reason=HOSTILE
    )
    met.folder.append_incident(IncidentRecord(HOSTILE, HOSTILE, HOSTILE, ""))
    met.folder.append_law(law(State.VIOLATED, load=HOSTILE, expected=HOSTILE, seen=HOSTILE))
    page = rendered(of(met))
    known = set("h2 h3 p table thead tbody tr th td ul li pre code".split())
    assert set(re.findall(r"<(\w+)", page)) <= known
    assert page.count("<h2>") == 1
    assert "&lt;b&gt;x&lt;/b&gt;" in page


@pytest.mark.parametrize(
    "sign", ["https://", "www.evil", "@all", "@org", "#17", "GH-18", "!19", "@b", ":skull:"]
)
def test_nothing_becomes_a_link_a_mention_or_a_reference(sign: str) -> None:
    text = plain(HOSTILE, 1_000)
    assert sign in HOSTILE
    assert sign not in text.replace("\\", "")
    assert sign not in re.sub("<[^>]*>", "", MarkdownIt("commonmark").render(text)), "after it was read, too"
    assert sign in MarkdownIt("commonmark").render(text).replace("\u200b", "")


def test_a_name_of_a_test_can_be_copied() -> None:
    assert plain("suites/a.py::TestB::test_c-1.2") == "suites/a.py::TestB::test\\_c-1.2"


@pytest.mark.parametrize(
    "text", ["1. one", "2) two", "- dash", "+ plus", "# title", "> said", "= = =", "---"]
)
def test_a_line_that_would_begin_a_block_is_text(text: str) -> None:
    for page in (rendered(plain(text)), rendered(f"- {plain(text)}")):
        assert re.sub(r"</?(p|ul|li)>|\s", "", page).replace("\u200b", "") == re.sub(
            r"\s", "", text.replace(">", "&gt;")
        )
        assert page.count("<li>") <= 1


def test_a_command_cannot_leave_its_fence(met: RunBuilder) -> None:
    text = of(met.session(command=("pytest", "-k", "```\n# out\n````")))
    assert "<h1>" not in rendered(text)
    assert text.count("`````") == 2


def test_the_largest_run_fits_a_comment_and_says_what_was_cut(run: RunBuilder) -> None:
    """Everything at once, everything hostile, a thousand of each."""
    long = HOSTILE.replace("\n", " ") * 4
    journal = run.load("chat-10", even_load())
    run.judge(journal, objective(id=long, at_most=0.5, family=long), family=1000)
    report = read_report(
        run.claim("error", long, reason=long).claim("skipped", reason=long).session(run_id=long).folder.path
    )
    (judged,) = report.verdicts
    session = replace(
        report.session,
        environment=long,
        left_out=tuple({"id": long, "why": str(n) + long} for n in range(1000)),
    )
    report = replace(
        report,
        session=session,
        reason=long,
        verdicts=tuple(replace(judged, reason=str(n) + long) for n in range(1000)),
        claims=tuple(replace(report.claims[n % 2], reason=str(n) + long) for n in range(2000)),
        incidents=(IncidentRecord("now", long, long, ""),) * 1000,
        problems=(long,) * 1000,
        missing=(long,) * 1000,
    )
    text = markdown(report)
    assert len(text) < LIMIT < GITHUB_TAKES
    for title in ("Why", "Not judged, and required by the gate", "Died", "Skipped", "To be doubted"):
        part = text.partition(f"### {title}\n\n")[2].partition("\n\n")[0]
        assert part.startswith("- "), title
        assert re.search(r"- Cut here to fit: \d[\d,]* more; report.html has all of them\.$", part), title
    assert "python -m reports results/run-1" in text
    assert set(re.findall(r"<(\w+)", rendered(text))) <= set(
        "h2 h3 p table thead tbody tr th td ul li pre code details summary".split()
    )


def test_what_is_cut_is_counted(met: RunBuilder) -> None:
    report = replace(read_report(met.folder.path), problems=tuple(f"{n:04d}" + "x" * 96 for n in range(50)))
    part = markdown(report).partition("### To be doubted\n\n")[2]
    # A line of 103 characters: 27 of them are 2,781, and 28 would be more than the 2,800 of a list.
    assert part.count("x" * 96) == 27
    assert "- Cut here to fit: 23 more; report.html has all of them." in part
